//! Which of the certificates in `sslrootcert` may vouch for others, as OpenSSL has it, and so libpq. To rustls each is an
//! authority for ever, whatever it says of itself: the certificate of one server, in that file to be known again, would then
//! vouch for any other.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_cert::certificate::Version;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::{AssociatedOid as _, ObjectIdentifier};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, NameConstraints, SubjectAltName};
use x509_cert::{Certificate, TbsCertificate};

/// RFC 5280, `id-kp-serverAuth`.
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");

/// What a certificate may insist on: the rest nobody here would look at.
const KNOWN: [ObjectIdentifier; 5] =
    [BasicConstraints::OID, KeyUsage::OID, ExtendedKeyUsage::OID, NameConstraints::OID, SubjectAltName::OID];

/// Whether a chain may end with it: an authority that has signed itself, and is valid now. Any other may stand between.
pub(crate) fn may_vouch(certificate: &CertificateDer<'_>) -> bool {
    let Ok(Certificate { tbs_certificate: it, .. }) = Certificate::from_der(certificate) else { return false };
    let now = Duration::from_secs(UnixTime::now().as_secs());
    let insists = it.extensions.iter().flatten().any(|ext| ext.critical && !KNOWN.contains(&ext.extn_id));
    it.issuer == it.subject && is_authority(&it) && is_for_servers(&it) && is_valid(&it, now) && !insists
}

/// Whether it is a server's own, signed by itself, and valid then (in time since 1970): known as itself, and as no other.
pub(crate) fn is_its_own(certificate: &CertificateDer<'_>, then: Duration) -> bool {
    let Ok(Certificate { tbs_certificate: it, .. }) = Certificate::from_der(certificate) else { return false };
    it.issuer == it.subject && is_for_servers(&it) && is_valid(&it, then)
}

/// As OpenSSL's `check_ca`. The first version of X.509 had no word for it.
fn is_authority(certificate: &TbsCertificate) -> bool {
    let signs = match certificate.get::<KeyUsage>() {
        Ok(usage) => usage.map(|(_, usage)| usage.key_cert_sign()),
        Err(_) => Some(false),
    };
    match certificate.get::<BasicConstraints>() {
        Ok(Some((_, constraints))) => constraints.ca && signs != Some(false),
        Ok(None) => signs.unwrap_or(certificate.version == Version::V1),
        Err(_) => false,
    }
}

fn is_for_servers(certificate: &TbsCertificate) -> bool {
    match certificate.get::<ExtendedKeyUsage>() {
        Ok(usage) => usage.is_none_or(|(_, usage)| usage.0.contains(&SERVER_AUTH)),
        Err(_) => false,
    }
}

fn is_valid(certificate: &TbsCertificate, then: Duration) -> bool {
    let validity = &certificate.validity;
    (validity.not_before.to_unix_duration()..=validity.not_after.to_unix_duration()).contains(&then)
}

//! Which of the certificates in `sslrootcert` may vouch for others, as OpenSSL has it, and so libpq. To rustls each is an
//! authority for ever, whatever it says of itself: the certificate of one server, in that file to be known again, would then
//! vouch for any other.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_cert::certificate::Version;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::{Certificate, TbsCertificate};

/// Whether it is an authority, and valid now.
pub(crate) fn may_vouch(certificate: &CertificateDer<'_>) -> bool {
    let Ok(certificate) = Certificate::from_der(certificate) else { return false };
    let now = Duration::from_secs(UnixTime::now().as_secs());
    is_authority(&certificate.tbs_certificate) && is_valid(&certificate.tbs_certificate, now)
}

/// Whether it was signed by itself: one that was is known as itself, and no other is.
pub(crate) fn is_its_own(certificate: &CertificateDer<'_>) -> bool {
    Certificate::from_der(certificate).is_ok_and(|it| it.tbs_certificate.issuer == it.tbs_certificate.subject)
}

/// Whether it is valid then, in time since 1970.
pub(crate) fn is_valid_at(certificate: &CertificateDer<'_>, then: Duration) -> bool {
    Certificate::from_der(certificate).is_ok_and(|it| is_valid(&it.tbs_certificate, then))
}

/// The first version of X.509 had no word for it: such a one is, if it has signed itself.
fn is_authority(certificate: &TbsCertificate) -> bool {
    match certificate.get::<BasicConstraints>() {
        Ok(Some((_, constraints))) => constraints.ca,
        Ok(None) => certificate.version == Version::V1 && certificate.issuer == certificate.subject,
        Err(_) => false,
    }
}

fn is_valid(certificate: &TbsCertificate, then: Duration) -> bool {
    let validity = &certificate.validity;
    (validity.not_before.to_unix_duration()..=validity.not_after.to_unix_duration()).contains(&then)
}

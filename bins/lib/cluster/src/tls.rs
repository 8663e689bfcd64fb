//! TLS by rustls, with libpq's meanings of `sslmode` (PostgreSQL manual, "SSL Support").

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::authority;
use crate::conninfo::Conninfo;
use crate::protection::{Protection, SslMode, TlsVersion};

/// How TLS is to be made for this connection.
///
/// # Errors
/// If root certificates are needed and cannot be read.
pub fn connector(info: &Conninfo) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(&info.protection, &provider)?;
    let (oldest, newest) = info.protection.tls;
    let versions = [(TlsVersion::V1_2, &TLS12), (TlsVersion::V1_3, &TLS13)];
    let versions: Vec<_> =
        versions.into_iter().filter(|(v, _)| (oldest..=newest).contains(v)).map(|(_, v)| v).collect();
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .context("rustls has no such version of TLS")?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn verifier(info: &Protection, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
    let file = match info.sslmode {
        SslMode::Disable | SslMode::Prefer => None,
        // libpq: with a root certificate at hand, `require` behaves as `verify-ca`.
        SslMode::Require => info.sslrootcert.clone().or_else(usual_root_certificate),
        SslMode::VerifyCa | SslMode::VerifyFull => {
            let file = info.sslrootcert.clone().or_else(usual_root_certificate);
            Some(file.context("sslmode=verify-… needs root certificates: give sslrootcert=FILE or sslrootcert=system")?)
        }
    };
    let check_host = info.sslmode == SslMode::VerifyFull;
    let provider = provider.clone();
    let Some(file) = file else {
        return Ok(Arc::new(Verifier {
            is_checked: false,
            known: None,
            roots: Vec::new(),
            between: Vec::new(),
            check_host,
            provider,
        }));
    };
    let list = std::env::home_dir().map(|home| home.join(".postgresql/root.crl")).filter(|list| list.exists());
    if let Some(list) = list.filter(|_| file != "system") {
        // As `sslcrl` is: libpq looks there without being told, but for the system's roots.
        bail!("{}: certificates would count here that this list revokes; use psql, or move it away", list.display());
    }
    let roots = root_certificates(&file)?;
    ensure!(!roots.is_empty(), "sslrootcert {file}: there is no certificate in it");
    let mut store = RootCertStore::empty();
    let (last, between): (Vec<_>, Vec<_>) = roots.iter().cloned().partition(authority::may_vouch);
    store.add_parsable_certificates(last);
    let known = (!store.is_empty())
        .then(|| WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone()).build());
    let known = known.transpose().with_context(|| format!("sslrootcert {file}"))?;
    Ok(Arc::new(Verifier { is_checked: true, known, roots, between, check_host, provider }))
}

fn usual_root_certificate() -> Option<String> {
    let file: PathBuf = std::env::home_dir()?.join(".postgresql/root.crt");
    file.is_file().then(|| file.display().to_string())
}

fn root_certificates(file: &str) -> Result<Vec<CertificateDer<'static>>> {
    if file == "system" {
        return Ok(rustls_native_certs::load_native_certs().certs);
    }
    let certificates = CertificateDer::pem_file_iter(file).with_context(|| format!("sslrootcert {file}"))?;
    certificates.map(|certificate| certificate.with_context(|| format!("sslrootcert {file}"))).collect()
}

/// Checks as much of a server's certificate as `sslmode` asks for.
#[derive(Debug)]
struct Verifier {
    /// `sslmode` asks for no more than encryption, if not.
    is_checked: bool,
    /// Who may have signed it; `None`: none of the roots may.
    known: Option<Arc<WebPkiServerVerifier>>,
    /// All of the file, one by one.
    roots: Vec<CertificateDer<'static>>,
    /// Those of them with which no chain may end: they stand between, as those that the server sends.
    between: Vec<CertificateDer<'static>>,
    check_host: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.is_checked {
            return Ok(ServerCertVerified::assertion());
        }
        // A self-signed certificate that is itself the root: usual with PostgreSQL, and not for webpki.
        if self.roots.contains(end_entity) && authority::is_its_own(end_entity, Duration::from_secs(now.as_secs())) {
            if self.check_host {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        let Some(known) = &self.known else { return Err(CertificateError::UnknownIssuer.into()) };
        let between: Vec<CertificateDer<'_>> = intermediates.iter().chain(&self.between).cloned().collect();
        match known.verify_server_cert(end_entity, &between, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.check_host => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

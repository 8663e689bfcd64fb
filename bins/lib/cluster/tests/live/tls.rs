//! `sslmode` means what libpq says (PostgreSQL manual, "SSL Support").

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use cluster::blocking::Blocking;
use cluster::conninfo::Conninfo;
use cluster::file::ClusterFile;
use lab::account::Account;
use lab::down::down;
use lab::local::converge::converge;
use lab::wanted::Wanted;
use program::progress::Progress;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection};

/// A lab whose servers have TLS, or have not; taken down when dropped.
struct Lab {
    home: tempfile::TempDir,
    file: ClusterFile,
    /// The administrator's, for whatever name the server is called by.
    passfile: tempfile::NamedTempFile,
}

impl Lab {
    fn new() -> Lab {
        Lab::with(&[]).unwrap()
    }

    /// With this certificate, and the key of its name. `None`: PostgreSQL is here without TLS, which is said beside the results.
    fn with_certificate(certificate: &Path) -> Option<Lab> {
        let key = certificate.with_extension("key");
        let settings = [("ssl", Path::new("on")), ("ssl_cert_file", certificate), ("ssl_key_file", &key)];
        match Lab::with(&settings) {
            Err(error) if format!("{error:#}").contains("SSL is not supported by this build") => {
                // Not by a macro, whose words go with a test that passes.
                let _ = writeln!(std::io::stderr(), "NOT TRIED: sslmode, since PostgreSQL is built without SSL here");
                None
            }
            lab => Some(lab.unwrap()),
        }
    }

    fn with(settings: &[(&str, &Path)]) -> anyhow::Result<Lab> {
        let home = lab::scratch::home()?;
        let settings: Vec<(String, String)> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), value.display().to_string())).collect();
        let wanted = Wanted { settings, ..lab::scratch::wanted(&home) };
        let file = ClusterFile::read(&converge(&wanted, &Progress::new(true))?)?;
        let passfile = lab::scratch::passfile_for_any_address(&file.roles.admin)?;
        Ok(Lab { home, file, passfile })
    }

    /// Connects with these parameters; whether the connection is encrypted, or why there is none.
    fn connect(&self, parameters: &str) -> Result<bool, String> {
        let (node, admin) = (&self.file.node[0], &self.file.roles.admin);
        let text = format!(
            "port={} dbname={} user={} passfile='{}' {parameters}",
            node.port,
            node.dbname,
            admin.user,
            self.passfile.path().display()
        );
        let info = Conninfo::from_argument(&text).map_err(|error| format!("{error:#}"))?;
        let session = Blocking::open(&info, "test").map_err(|error| format!("{error:#}"))?;
        Ok(session.text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").unwrap() == "t")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let dir = self.home.path().join(&self.file.name);
        let removed = down(&dir);
        if !std::thread::panicking() {
            removed.unwrap();
            assert!(!dir.exists());
        }
    }
}

/// Certificates in a directory that the servers' user can reach: `ca.crt` has signed `server.crt`, for the name
/// `localhost`; `other.crt` is of somebody else; `selfsigned.crt` is its own authority.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn new() -> Certificates {
        let made = Certificates(lab::scratch::home().unwrap());
        const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        made.openssl(&format!("req -x509 {KEY} -keyout ca.key -out ca.crt -subj /CN=ours -days 2"));
        made.openssl(&format!("req -x509 {KEY} -keyout other.key -out other.crt -subj /CN=other -days 2"));
        made.openssl(&format!("req -new {KEY} -keyout server.key -out server.csr -subj /CN=localhost"));
        fs::write(made.path("server.ext"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
        made.openssl(
            "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 -extfile server.ext",
        );
        made.openssl(&format!(
            "req -x509 {KEY} -keyout selfsigned.key -out selfsigned.crt -subj /CN=localhost -days 2 \
             -addext subjectAltName=DNS:localhost"
        ));
        // One server's own, which says that it vouches for nobody; and an authority whose time is over.
        made.openssl(&format!(
            "req -x509 {KEY} -keyout pinned.key -out pinned.crt -subj /CN=localhost -days 2 \
             -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE"
        ));
        made.openssl(&format!("req -new {KEY} -keyout expired.key -out expired.csr -subj /CN=expired"));
        let config = "[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n\
                      [v3]\nbasicConstraints=critical,CA:TRUE\n";
        for (file, text) in [("ca.cnf", config), ("index", ""), ("serial", "01\n")] {
            fs::write(made.path(file), text).unwrap();
        }
        made.openssl(
            "ca -batch -selfsign -config ca.cnf -name d -extensions v3 -in expired.csr -keyfile expired.key \
             -startdate 20200101000000Z -enddate 20210101000000Z -notext -out expired.crt",
        );
        made.openssl(&format!(
            "req -x509 {KEY} -keyout clients.key -out clients.crt -subj /CN=clients -days 2 -addext extendedKeyUsage=clientAuth"
        ));
        made.openssl(&format!("req -new {KEY} -keyout between.key -out between.csr -subj /CN=between"));
        fs::write(made.path("between.ext"), "basicConstraints=critical,CA:TRUE\n").unwrap();
        made.openssl(
            "x509 -req -in between.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out between.crt -days 2 -extfile between.ext",
        );
        let read = |name: &str| fs::read_to_string(made.path(name)).unwrap();
        fs::write(made.path("bundle.crt"), read("between.crt") + &read("ca.crt")).unwrap();
        for by in ["pinned", "expired", "clients", "between"] {
            fs::copy(made.path("server.key"), made.path(&format!("by-{by}.key"))).unwrap();
            made.openssl(&format!(
                "x509 -req -in server.csr -CA {by}.crt -CAkey {by}.key -CAcreateserial -out by-{by}.crt -days 2 -extfile server.ext"
            ));
        }
        for name in ["server", "selfsigned", "pinned", "by-pinned", "by-expired", "by-clients", "by-between"]
            .iter()
            .flat_map(|name| [format!("{name}.key"), format!("{name}.crt")])
        {
            let name = name.as_str();
            fs::set_permissions(made.path(name), fs::Permissions::from_mode(0o600)).unwrap();
            Account::for_servers().unwrap().own(&fs::File::open(made.path(name)).unwrap()).unwrap();
        }
        made
    }

    fn openssl(&self, args: &str) {
        let output = Command::new("openssl").args(args.split(' ')).current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// As OpenSSL has it. To rustls any certificate among the roots is an authority, for ever.
#[test]
fn only_an_authority_that_is_valid_vouches_for_others() {
    let certificates = Certificates::new();
    let try_with = |served: &str, root: &str| {
        let lab = Lab::with_certificate(&certificates.path(&format!("{served}.crt")))?;
        let root = certificates.path(&format!("{root}.crt"));
        let reach = "host=localhost hostaddr=127.0.0.1 sslmode=verify-full";
        Some(lab.connect(&format!("{reach} sslrootcert='{}'", root.display())))
    };
    let Some(itself) = try_with("pinned", "pinned") else { return };
    assert_eq!(itself, Ok(true), "a server whose own certificate is known");
    assert_eq!(try_with("by-between", "bundle").unwrap(), Ok(true), "who stands between is in the file");
    for by in ["pinned", "expired", "clients", "between"] {
        let said = try_with(&format!("by-{by}"), by).unwrap().unwrap_err();
        assert!(said.contains("certificate"), "{by}: {said}");
    }
}

#[test]
fn each_sslmode_means_what_libpq_says() {
    let certificates = Certificates::new();
    let path = |name: &str| certificates.path(name);
    let Some(lab) = Lab::with_certificate(&path("server.crt")) else { return };
    let (ours, other) = (path("ca.crt"), path("other.crt"));
    let root = |file: &Path| format!("sslrootcert='{}'", file.display());
    let (ours, other) = (root(&ours), root(&other));

    for (parameters, encrypted) in [
        ("host=127.0.0.1 sslmode=disable".to_owned(), false),
        ("host=127.0.0.1 sslmode=prefer".to_owned(), true),
        ("host=127.0.0.1".to_owned(), true),
        (format!("host=127.0.0.1 sslmode=require {ours}"), true),
        (format!("host=127.0.0.1 sslmode=verify-ca {ours}"), true),
        (format!("host=localhost hostaddr=127.0.0.1 sslmode=verify-full {ours}"), true),
    ] {
        assert_eq!(lab.connect(&parameters), Ok(encrypted), "{parameters}");
    }
    for (parameters, why) in [
        // With a root certificate at hand, `require` is `verify-ca`.
        (format!("host=127.0.0.1 sslmode=require {other}"), "UnknownIssuer"),
        (format!("host=127.0.0.1 sslmode=verify-ca {other}"), "UnknownIssuer"),
        (format!("host=localhost hostaddr=127.0.0.1 sslmode=verify-full {other}"), "UnknownIssuer"),
        (format!("host=127.0.0.1 sslmode=verify-full {ours}"), "certificate not valid for name"),
        (format!("host=db.example hostaddr=127.0.0.1 sslmode=verify-full {ours}"), "certificate not valid for name"),
        ("host=127.0.0.1 sslmode=verify-full sslrootcert=system".to_owned(), "UnknownIssuer"),
        ("host=127.0.0.1 sslrootcert=system".to_owned(), "UnknownIssuer"),
        ("host=127.0.0.1 sslrootcert=system sslmode=require".to_owned(), "sslmode=verify-full"),
        ("host=127.0.0.1 sslmode=verify-ca sslrootcert=/no/such/root.crt".to_owned(), "/no/such/root.crt"),
    ] {
        let error = lab.connect(&parameters).expect_err(&parameters);
        assert!(error.contains(why), "{parameters}: {error}");
    }
}

#[test]
fn channel_binding_that_is_required_is_there_or_the_server_is_refused() {
    let certificates = Certificates::new();
    let path = |name: &str| certificates.path(name);
    let Some(lab) = Lab::with_certificate(&path("server.crt")) else { return };
    for (parameters, encrypted) in [
        ("host=127.0.0.1 sslmode=require channel_binding=require", Ok(true)),
        ("host=127.0.0.1 sslmode=require channel_binding=disable", Ok(true)),
        ("host=127.0.0.1 sslmode=disable channel_binding=prefer", Ok(false)),
    ] {
        assert_eq!(lab.connect(parameters), encrypted, "{parameters}");
    }
    let error = lab.connect("host=127.0.0.1 sslmode=disable channel_binding=require").unwrap_err();
    assert!(error.contains("channel binding"), "{error}");
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let lab = Lab::new();
    assert_eq!(lab.connect("host=127.0.0.1 sslmode=prefer"), Ok(false));
    let error = lab.connect("host=127.0.0.1 sslmode=require").unwrap_err();
    assert!(error.contains("TLS"), "{error}");
}

#[test]
fn a_self_signed_certificate_is_its_own_root() {
    let certificates = Certificates::new();
    let path = |name: &str| certificates.path(name);
    let Some(lab) = Lab::with_certificate(&path("selfsigned.crt")) else { return };
    assert_eq!(lab.connect("host=127.0.0.1 sslmode=require"), Ok(true));
    let root = format!("sslrootcert='{}'", path("selfsigned.crt").display());
    assert_eq!(lab.connect(&format!("host=127.0.0.1 sslmode=verify-ca {root}")), Ok(true));
    assert_eq!(lab.connect(&format!("host=localhost hostaddr=127.0.0.1 sslmode=verify-full {root}")), Ok(true));
    assert!(lab.connect(&format!("host=127.0.0.1 sslmode=verify-full {root}")).is_err());
}

/// Listens once, with this certificate and this key, up to the end of the handshake; its port.
fn handshake_with(certificate: &Path, key: &Path) -> u16 {
    let key = ring::sign::any_supported_type(&PrivateKeyDer::from_pem_file(key).unwrap()).unwrap();
    let shown = CertifiedKey::new(vec![CertificateDer::from_pem_file(certificate).unwrap()], key);
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 8]).unwrap(); // SSLRequest
        stream.write_all(b"S").unwrap();
        let _ = ServerConnection::new(Arc::new(config)).unwrap().complete_io(&mut stream);
    });
    port
}

/// A certificate is no secret: everybody has seen it who has once been at the server's port.
#[test]
fn who_shows_the_servers_certificate_and_has_not_its_key_is_refused() {
    let certificates = Certificates::new();
    let path = |name: &str| certificates.path(name);
    let root = path("ca.crt");
    for version in ["TLSv1.2", "TLSv1.3"] {
        for (key, is_refused) in [("server.key", false), ("other.key", true)] {
            let port = handshake_with(&path("server.crt"), &path(key));
            let text = format!(
                "host=localhost hostaddr=127.0.0.1 port={port} user=u dbname=d sslmode=verify-full sslrootcert='{}' \
                 ssl_min_protocol_version={version} ssl_max_protocol_version={version} connect_timeout=5",
                root.display()
            );
            let error = Blocking::open(&Conninfo::from_argument(&text).unwrap(), "test").err().unwrap();
            // With its key the handshake comes to its end, and there is no PostgreSQL behind it.
            assert_eq!(format!("{error:#}").contains("BadSignature"), is_refused, "{version}, {key}: {error:#}");
        }
    }
}

/// What is its own authority counts if it is the one that was given, and not because it is one.
#[test]
fn a_certificate_that_somebody_else_has_signed_himself_is_refused() {
    let certificates = Certificates::new();
    let path = |name: &str| certificates.path(name);
    for (root, is_refused) in [("other.crt", false), ("ca.crt", true), ("selfsigned.crt", true)] {
        for sslmode in ["require", "verify-ca"] {
            let port = handshake_with(&path("other.crt"), &path("other.key"));
            let text = format!(
                "host=127.0.0.1 port={port} user=u dbname=d sslmode={sslmode} sslrootcert='{}' connect_timeout=5",
                path(root).display()
            );
            let error = Blocking::open(&Conninfo::from_argument(&text).unwrap(), "test").err().unwrap();
            let refused = format!("{error:#}").contains("invalid peer certificate");
            assert_eq!(refused, is_refused, "{sslmode}, {root}: {error:#}");
        }
    }
}

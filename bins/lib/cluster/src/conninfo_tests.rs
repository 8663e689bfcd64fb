//! Which connection strings are read, how, and which are refused.

use super::*;
use crate::protection::SslMode;

fn read(text: &str) -> Result<Conninfo> {
    Conninfo::from_parameters(tokenize(text)?, |_| None, || Ok("me".to_owned()))
}

#[test]
fn where_a_connection_leads_is_told_in_one_line() {
    let info = Conninfo::from_argument("host='a\nverdict   held' user=u dbname=d port=1").unwrap();
    assert!(!info.describe().contains('\n') && info.describe().contains("verdict"), "{}", info.describe());
}

#[test]
fn pairs_with_quotes_and_escapes() {
    let info = read(r"host = db1  port=5433 user='o\'neil' dbname='a b' options=-c\ work_mem=1MB").unwrap();
    assert_eq!((info.host.as_str(), info.port), ("db1", 5433));
    assert_eq!((info.user.as_str(), info.dbname.as_str()), ("o'neil", "a b"));
    assert_eq!(info.options.as_deref(), Some("-c work_mem=1MB"));
}

#[test]
fn uris_with_everything() {
    let info = read("postgresql://u%40x@[::1]:5433/my%20db?sslmode=verify-full&connect_timeout=3").unwrap();
    assert_eq!((info.host.as_str(), info.port, info.user.as_str()), ("::1", 5433, "u@x"));
    assert_eq!((info.dbname.as_str(), info.protection.sslmode), ("my db", SslMode::VerifyFull));
    assert_eq!(info.connect_timeout, Duration::from_secs(3));
    assert_eq!(read("postgres:///x?host=/run/pg").unwrap().host, "/run/pg");
}

#[test]
fn libpqs_defaults() {
    let info = read("").unwrap();
    assert_eq!((info.port, info.user.as_str()), (5432, "me"));
    assert_eq!((info.dbname.as_str(), info.protection.sslmode), ("me", SslMode::Prefer));
    assert_eq!(read("hostaddr=127.0.0.2").unwrap().host, "127.0.0.2", "what a passfile and a certificate name");
    // Without a host: the socket, if there is one.
    let [empty, dir] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    std::fs::write(dir.path().join(".s.PGSQL.5433"), "").unwrap();
    let dirs = [empty.path().to_str().unwrap(), dir.path().to_str().unwrap()];
    assert_eq!((default_host(5433, &dirs).as_str(), default_host(5434, &dirs).as_str()), (dirs[1], "localhost"));
}

#[test]
fn the_environment_fills_gaps_and_only_gaps() {
    let environment = |name: &str| match name {
        "PGHOST" => Some("env".to_owned()),
        "PGPORT" => Some("6000".to_owned()),
        "PGUSER" => Some("envuser".to_owned()),
        _ => None,
    };
    let info =
        Conninfo::from_parameters(tokenize("host=given").unwrap(), environment, || anyhow::bail!("not asked")).unwrap();
    assert_eq!((info.host.as_str(), info.port, info.user.as_str()), ("given", 6000, "envuser"));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (text, names) in [
        ("port=0", "port"),
        ("port=65536", "port"),
        ("hots=x", "hots"),
        ("host=a,b", "host"),
        ("host='a", "quote"),
        ("nonsense", "key=value"),
        ("passfile=/no/such/file", "/no/such/file"),
        ("postgresql://%zz", "%"),
    ] {
        let error = format!("{:#}", read(text).unwrap_err());
        assert!(error.contains(names), "{text}: {error}");
    }
}

#[test]
fn a_password_on_the_command_line_is_refused_and_not_repeated() {
    for text in ["user=u password=hunter2", "postgresql://u:hunter2@h/d", "postgresql://h/d?password=hunter2"] {
        let error = format!("{:#}", Conninfo::from_argument(text).unwrap_err());
        assert!(error.contains("passfile") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_password_never_shows() {
    assert!(!format!("{:?}", read("user=u password=hunter2").unwrap()).contains("hunter2"));
}

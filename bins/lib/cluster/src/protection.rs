//! How a connection is protected: libpq's parameters and environment variables for it, each obeyed or refused by name.

use anyhow::{Context as _, Result, bail, ensure};
use tokio_postgres::config::ChannelBinding;

use crate::auth::RequireAuth;
use crate::peer::ServerUser;

/// How TLS is to be made. The meanings are libpq's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS if the server has it.
    Prefer,
    /// TLS, whoever the server is (if a root certificate file is there, as `VerifyCa`).
    Require,
    /// TLS with a server whose certificate a known authority has signed.
    VerifyCa,
    /// And whose certificate names the host.
    VerifyFull,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2, the oldest that rustls speaks.
    V1_2,
    /// 1.3.
    V1_3,
}

/// What a connection has to be before a password leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// TLS.
    pub sslmode: SslMode,
    /// Root certificates: a PEM file, or `system`.
    pub sslrootcert: Option<String>,
    /// The oldest and the newest version of TLS.
    pub tls: (TlsVersion, TlsVersion),
    /// Whether the authentication has to be bound to the TLS session: with `require` a server that does not do so by SCRAM
    /// is refused.
    pub channel_binding: ChannelBinding,
    /// How the server may ask who we are.
    pub require_auth: RequireAuth,
    /// As whom the server runs, where that can be seen.
    pub server_user: ServerUser,
}

/// The parameters of this file, and the variables for them.
pub(crate) const PARAMETERS: [(&str, &str); 14] = [
    ("sslmode", "PGSSLMODE"),
    ("requiressl", "PGREQUIRESSL"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("sslcertmode", "PGSSLCERTMODE"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("gssencmode", "PGGSSENCMODE"),
    ("require_auth", "PGREQUIREAUTH"),
    ("requirepeer", "PGREQUIREPEER"),
    ("min_protocol_version", "PGMINPROTOCOLVERSION"),
];

impl Protection {
    /// A lab's: SCRAM and nothing else, from a server of this user. There is no TLS within one machine.
    #[must_use]
    pub fn of_lab(server_user: ServerUser) -> Protection {
        Protection {
            sslmode: SslMode::Disable,
            sslrootcert: None,
            tls: (TlsVersion::V1_2, TlsVersion::V1_3),
            channel_binding: ChannelBinding::Prefer,
            require_auth: RequireAuth::scram(),
            server_user,
        }
    }

    /// What the parameters ask for; `get` knows those that are given and not empty.
    ///
    /// # Errors
    /// If one is asked for that we cannot keep: a promise that is ignored is none.
    pub(crate) fn of(get: impl Fn(&str) -> Option<String>) -> Result<Protection> {
        let is = |key: &str, value: &str| get(key).as_deref() == Some(value);
        ensure!(!is("gssencmode", "require"), "conninfo: gssencmode=require is not supported");
        only(&get, "gssencmode", &["disable", "prefer"])?;
        only(&get, "sslnegotiation", &["postgres"])?;
        only(&get, "sslcertmode", &["disable", "allow"])?;
        only(&get, "min_protocol_version", &["3.0"])?;
        for list in ["sslcrl", "sslcrldir"] {
            ensure!(
                get(list).is_none(),
                "conninfo: {list} is not supported: certificates would count that are revoked"
            );
        }
        let sslrootcert = get("sslrootcert");
        let require_auth = get("require_auth").map(|text| text.parse()).transpose();
        Ok(Protection {
            sslmode: sslmode(&get, sslrootcert.as_deref() == Some("system"))?,
            sslrootcert,
            tls: tls_versions(&get)?,
            channel_binding: channel_binding(get("channel_binding").as_deref().unwrap_or("prefer"))?,
            require_auth: require_auth
                .map_err(|why: String| anyhow::anyhow!("conninfo: {why}"))?
                .unwrap_or(RequireAuth::ANY),
            server_user: get("requirepeer").map_or(Ok(ServerUser::Unknown), |name| ServerUser::required(&name))?,
        })
    }
}

/// Fails if a parameter has another value than one of these, with which we do what it says.
fn only(get: &impl Fn(&str) -> Option<String>, key: &str, values: &[&str]) -> Result<()> {
    match get(key) {
        Some(value) if !values.contains(&value.as_str()) => {
            bail!("conninfo: {key}={value} is not supported: use {}", values.join(" or "))
        }
        _ => Ok(()),
    }
}

fn sslmode(get: &impl Fn(&str) -> Option<String>, known_to_the_system: bool) -> Result<SslMode> {
    let given = get("sslmode").or_else(|| (get("requiressl")? == "1").then(|| "require".to_owned()));
    let mode = match given.as_deref() {
        None if known_to_the_system => SslMode::VerifyFull,
        None => SslMode::Prefer,
        Some("disable") => SslMode::Disable,
        Some("allow" | "prefer") => SslMode::Prefer,
        Some("require") => SslMode::Require,
        Some("verify-ca") => SslMode::VerifyCa,
        Some("verify-full") => SslMode::VerifyFull,
        Some(text) => bail!("conninfo: sslmode={text}: use disable, prefer, require, verify-ca or verify-full"),
    };
    // Those authorities sign for everybody: without the name, anybody's certificate would do.
    ensure!(
        !known_to_the_system || mode == SslMode::VerifyFull,
        "conninfo: sslrootcert=system needs sslmode=verify-full, not {}",
        given.unwrap_or_default()
    );
    Ok(mode)
}

fn tls_versions(get: &impl Fn(&str) -> Option<String>) -> Result<(TlsVersion, TlsVersion)> {
    let version = |key: &str, ours: TlsVersion| -> Result<Option<TlsVersion>> {
        let Some(text) = get(key) else { return Ok(Some(ours)) };
        Ok(match text.to_ascii_lowercase().as_str() {
            "tlsv1" | "tlsv1.1" => None,
            "tlsv1.2" => Some(TlsVersion::V1_2),
            "tlsv1.3" => Some(TlsVersion::V1_3),
            _ => bail!("conninfo: {key}={text}: use TLSv1.2 or TLSv1.3"),
        })
    };
    let (min, max) = ("ssl_min_protocol_version", "ssl_max_protocol_version");
    let oldest = version(min, TlsVersion::V1_2)?.unwrap_or(TlsVersion::V1_2);
    let newest = version(max, TlsVersion::V1_3)?;
    let newest = newest.with_context(|| format!("conninfo: {max}: nothing older than TLSv1.2 is spoken here"))?;
    ensure!(oldest <= newest, "conninfo: {min} is newer than {max}");
    Ok((oldest, newest))
}

fn channel_binding(text: &str) -> Result<ChannelBinding> {
    Ok(match text {
        "disable" => ChannelBinding::Disable,
        "prefer" => ChannelBinding::Prefer,
        "require" => ChannelBinding::Require,
        _ => bail!("conninfo: channel_binding={text}: use disable, prefer or require"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conninfo::{Conninfo, tokenize};

    /// The protection of a connection string, with these variables in the environment.
    fn of(text: &str, set: &[(&str, &str)]) -> Result<Protection> {
        let get = |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        Ok(Conninfo::from_parameters(tokenize(text)?, get, || Ok("me".to_owned()))?.protection)
    }

    fn default() -> Protection {
        of("", &[]).unwrap()
    }

    /// What becomes of a variable.
    enum Is {
        /// The connection is as it says.
        Obeyed(Protection),
        /// There is none, and an error with this in it.
        Refused(&'static str),
        /// There is nothing to obey: with this value it promises nothing that we would not keep.
        Kept,
    }
    use Is::{Kept, Obeyed, Refused};

    /// Every variable of libpq 18 (PostgreSQL manual, "Environment Variables"; `PQconninfoOptions` in fe-connect.c) that has
    /// to do with whom we talk to and who may listen. The others are those of [`crate::conninfo`], and of a session's
    /// settings (PGDATESTYLE, PGTZ, PGGEQO, PGCLIENTENCODING, PGAPPNAME, PGLOCALEDIR).
    #[test]
    fn each_variable_of_libpq_is_obeyed_or_refused() {
        let requires = |text: &str| Protection { require_auth: text.parse().unwrap(), ..default() };
        let binds = |channel_binding| Protection { channel_binding, ..default() };
        let speaks = |oldest, newest| Protection { tls: (oldest, newest), ..default() };
        let ssl = |sslmode| Protection { sslmode, ..default() };
        let root = |file: &str, sslmode| Protection { sslrootcert: Some(file.to_owned()), sslmode, ..default() };
        let peer = ServerUser::Required { name: "root".to_owned(), uid: 0 };
        for (variable, value, is) in [
            ("PGREQUIREAUTH", "scram-sha-256", Obeyed(requires("scram-sha-256"))),
            ("PGREQUIREAUTH", "!password,!md5,!none", Obeyed(requires("!password,!md5,!none"))),
            ("PGREQUIREAUTH", "scram", Refused("require_auth=scram")),
            ("PGCHANNELBINDING", "require", Obeyed(binds(ChannelBinding::Require))),
            ("PGCHANNELBINDING", "disable", Obeyed(binds(ChannelBinding::Disable))),
            ("PGCHANNELBINDING", "maybe", Refused("channel_binding=maybe")),
            ("PGSSLMODE", "disable", Obeyed(ssl(SslMode::Disable))),
            ("PGSSLMODE", "allow", Obeyed(ssl(SslMode::Prefer))),
            ("PGSSLMODE", "require", Obeyed(ssl(SslMode::Require))),
            ("PGSSLMODE", "verify-ca", Obeyed(ssl(SslMode::VerifyCa))),
            ("PGSSLMODE", "verify-full", Obeyed(ssl(SslMode::VerifyFull))),
            ("PGSSLMODE", "maybe", Refused("sslmode=maybe")),
            ("PGREQUIRESSL", "1", Obeyed(ssl(SslMode::Require))),
            ("PGREQUIRESSL", "0", Kept),
            ("PGSSLROOTCERT", "/root.crt", Obeyed(root("/root.crt", SslMode::Prefer))),
            ("PGSSLROOTCERT", "system", Obeyed(root("system", SslMode::VerifyFull))),
            ("PGSSLCRL", "/root.crl", Refused("sslcrl")),
            ("PGSSLCRLDIR", "/crl", Refused("sslcrldir")),
            ("PGSSLMINPROTOCOLVERSION", "TLSv1.3", Obeyed(speaks(TlsVersion::V1_3, TlsVersion::V1_3))),
            ("PGSSLMINPROTOCOLVERSION", "TLSv1", Kept), // 1.2 is newer
            ("PGSSLMINPROTOCOLVERSION", "TLSv2", Refused("ssl_min_protocol_version=TLSv2")),
            ("PGSSLMAXPROTOCOLVERSION", "tlsv1.2", Obeyed(speaks(TlsVersion::V1_2, TlsVersion::V1_2))),
            ("PGSSLMAXPROTOCOLVERSION", "TLSv1.1", Refused("ssl_max_protocol_version")),
            ("PGSSLNEGOTIATION", "postgres", Kept),
            ("PGSSLNEGOTIATION", "direct", Refused("sslnegotiation=direct")),
            ("PGSSLCERTMODE", "allow", Kept),
            ("PGSSLCERTMODE", "require", Refused("sslcertmode=require")),
            ("PGSSLCERT", "/my.crt", Kept), // we show none: a server that insists refuses us
            ("PGSSLKEY", "/my.key", Kept),
            ("PGSSLSNI", "0", Kept),
            ("PGSSLCOMPRESSION", "0", Kept),
            ("PGGSSENCMODE", "prefer", Kept),
            ("PGGSSENCMODE", "disable", Kept),
            ("PGGSSENCMODE", "require", Refused("gssencmode=require")),
            ("PGGSSENCMODE", "maybe", Refused("gssencmode=maybe")),
            ("PGGSSDELEGATION", "1", Kept), // there is no GSSAPI here, and so nothing to hand on
            ("PGKRBSRVNAME", "postgres", Kept),
            ("PGGSSLIB", "gssapi", Kept),
            ("PGREQUIREPEER", "root", Obeyed(Protection { server_user: peer, ..default() })),
            ("PGREQUIREPEER", "no such user", Refused("requirepeer=no such user")),
            ("PGMINPROTOCOLVERSION", "3.0", Kept),
            ("PGMINPROTOCOLVERSION", "3.2", Refused("min_protocol_version=3.2")),
            ("PGMAXPROTOCOLVERSION", "latest", Kept),
            ("PGTARGETSESSIONATTRS", "read-write", Kept), // which node is what is asked of each
            ("PGLOADBALANCEHOSTS", "random", Kept),
            ("PGPASSFILE", "/no/such/passfile", Refused("/no/such/passfile")),
            ("PGSERVICE", "no such service", Refused("no such service")),
        ] {
            let found = of("", &[(variable, value)]);
            match is {
                Obeyed(protection) => assert_eq!(found.unwrap(), protection, "{variable}={value}"),
                Kept => assert_eq!(found.unwrap(), default(), "{variable}={value}"),
                Refused(names) => {
                    let error = format!("{:#}", found.expect_err(variable));
                    assert!(error.contains(names), "{variable}={value}: {error}");
                }
            }
            // The string says the same, and outweighs the variable.
            let Some((key, _)) = PARAMETERS.iter().find(|(_, name)| *name == variable) else { continue };
            let said = |found: Result<Protection>| found.map_err(|error| format!("{error:#}"));
            let by_variable = said(of("", &[(variable, value)]));
            assert_eq!(said(of(&format!("{key}='{value}'"), &[])), by_variable, "{key}={value}");
        }
        assert_eq!(of("require_auth=none", &[("PGREQUIREAUTH", "md5")]).unwrap().require_auth, "none".parse().unwrap());
        assert_eq!(of("", &[("PGREQUIRESSL", "1"), ("PGSSLMODE", "disable")]).unwrap().sslmode, SslMode::Disable);
        let error = of("ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2", &[]).unwrap_err();
        assert!(error.to_string().contains("newer than"), "{error}");
    }

    #[test]
    fn the_systems_authorities_are_worth_nothing_without_the_hosts_name() {
        assert_eq!(of("sslrootcert=system", &[]).unwrap().sslmode, SslMode::VerifyFull);
        assert_eq!(of("sslrootcert=system sslmode=verify-full", &[]).unwrap().sslmode, SslMode::VerifyFull);
        for weaker in ["disable", "allow", "prefer", "require", "verify-ca"] {
            let by_string = of(&format!("sslrootcert=system sslmode={weaker}"), &[]);
            for refused in [by_string, of("sslrootcert=system", &[("PGSSLMODE", weaker)])] {
                let error = refused.expect_err(weaker).to_string();
                assert!(error.contains("sslmode=verify-full") && error.contains(weaker), "{error}");
            }
        }
    }
}

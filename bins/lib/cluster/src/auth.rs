//! How a server may ask who we are: libpq's `require_auth` (PostgreSQL manual, "Parameter Key Words").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A way in which a server finds out who a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The password itself is asked for.
    Password,
    /// A hash of the password, by which it can be guessed fast.
    Md5,
    /// Kerberos. Our driver cannot do it.
    Gss,
    /// Windows. Our driver cannot do it.
    Sspi,
    /// A proof of both sides that they know the password, or a hash of it; neither says it.
    Scram,
    /// A bearer token. Our driver cannot do it.
    OAuth,
    /// Nothing is asked for, and so nothing is shown either: anybody's server can do that.
    None,
}

impl Method {
    const ALL: [Method; 7] =
        [Method::Password, Method::Md5, Method::Gss, Method::Sspi, Method::Scram, Method::OAuth, Method::None];

    /// libpq's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Password => "password",
            Method::Md5 => "md5",
            Method::Gss => "gss",
            Method::Sspi => "sspi",
            Method::Scram => "scram-sha-256",
            Method::OAuth => "oauth",
            Method::None => "none",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The methods that a connection takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequireAuth(u8);

impl RequireAuth {
    /// Whatever the server asks for: libpq's default.
    pub const ANY: RequireAuth = RequireAuth(0b111_1111);

    /// SCRAM and nothing else: no password leaves, and the server has to prove that it knows it, too.
    #[must_use]
    pub fn scram() -> RequireAuth {
        RequireAuth(Method::Scram.bit())
    }

    /// Whether a method is taken.
    #[must_use]
    pub fn takes(self, method: Method) -> bool {
        self.0 & method.bit() != 0
    }
}

/// `scram-sha-256,none`, or `!password,!md5`: either what is taken or what is not.
impl FromStr for RequireAuth {
    type Err = String;

    fn from_str(text: &str) -> Result<RequireAuth, String> {
        let (mut named, mut negated) = (0, None);
        for word in text.split(',') {
            let (name, no) = word.strip_prefix('!').map_or((word, false), |name| (name, true));
            let method = Method::ALL.into_iter().find(|method| method.as_str() == name);
            let method = method.ok_or_else(|| format!("require_auth={text}: `{name}` is no method"))?;
            if *negated.get_or_insert(no) != no {
                return Err(format!("require_auth={text}: methods with and without `!` cannot be mixed"));
            }
            if named & method.bit() != 0 {
                return Err(format!("require_auth={text}: `{name}` is there twice"));
            }
            named |= method.bit();
        }
        Ok(RequireAuth(if negated == Some(true) { RequireAuth::ANY.0 & !named } else { named }))
    }
}

impl fmt::Display for RequireAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken: Vec<_> = Method::ALL.into_iter().filter(|m| self.takes(*m)).map(Method::as_str).collect();
        f.write_str(&taken.join(","))
    }
}

impl Serialize for RequireAuth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RequireAuth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RequireAuth, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_mean_what_libpq_says() {
        for (text, taken) in [
            ("scram-sha-256", "scram-sha-256"),
            ("md5,scram-sha-256", "md5,scram-sha-256"),
            ("!password", "md5,gss,sspi,scram-sha-256,oauth,none"),
            ("!password,!md5,!none", "gss,sspi,scram-sha-256,oauth"),
            ("none", "none"),
        ] {
            assert_eq!(text.parse::<RequireAuth>().unwrap().to_string(), taken, "{text}");
        }
        assert_eq!(RequireAuth::scram(), "scram-sha-256".parse().unwrap());
        for (text, names) in [
            ("", "is no method"),
            ("scram", "`scram`"),
            ("scram-sha-256,", "``"),
            ("!md5,scram-sha-256", "mixed"),
            ("md5,!scram-sha-256", "mixed"),
            ("md5,md5", "twice"),
            ("!!md5", "`!md5`"),
        ] {
            let error = text.parse::<RequireAuth>().unwrap_err();
            assert!(error.contains(names), "{text}: {error}");
        }
    }
}

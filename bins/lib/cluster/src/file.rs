//! `cluster.toml`: what `setup` writes and every other program reads. It names password files and holds no password.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use program::trust;
use report::foreign::in_line;
pub use report::words::Backend as BackendName;
use serde::{Deserialize, Serialize};

use crate::auth::RequireAuth;
use crate::ident::check_node_name;
use crate::peer::ServerUser;
use crate::protection::Protection;

/// A cluster, as its file describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterFile {
    /// Its name.
    pub name: String,
    /// How its nodes are run.
    pub backend: BackendName,
    /// How its servers may ask who we are, as libpq's `require_auth`; without it the servers of labs by SCRAM only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_auth: Option<RequireAuth>,
    /// The number of the operating system's user whose servers alone may answer on this machine; 0: the container engine's
    /// processes, which are root's or ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_uid: Option<u32>,
    /// What the local backend needs; only there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalSection>,
    /// What the compose backend needs; only there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compose: Option<ComposeSection>,
    /// Who connects as what.
    pub roles: Logins,
    /// The nodes.
    pub node: Vec<NodeSection>,
}

/// What the local backend needs to act on its nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalSection {
    /// The lab's directory, which bears our marker.
    pub dir: PathBuf,
    /// Where PostgreSQL's programs are.
    pub bin: PathBuf,
}

/// What the compose backend needs to act on its nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComposeSection {
    /// The lab's directory, which bears our marker.
    pub dir: PathBuf,
    /// The name of the compose project.
    pub project: String,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSection {
    /// Its name: also its slot and `application_name`.
    pub name: String,
    /// Where it listens.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database that the programs work in.
    pub dbname: String,
}

/// The roles of a cluster. Each program says in `--help` which it uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logins {
    /// May do everything.
    pub admin: Login,
    /// Reads and writes the tables.
    pub application: Login,
    /// Reads tables and statistics.
    pub monitor: Login,
    /// Streams WAL.
    pub replication: Login,
    /// May do what `pg_rewind` does, and no more.
    pub rewind: Login,
}

/// A user and where its password is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password file (libpq's format, 0600).
    pub passfile: PathBuf,
}

/// Which of the logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginKind {
    /// May do everything.
    Admin,
    /// Reads and writes the tables.
    Application,
    /// Reads tables and statistics.
    Monitor,
}

impl ClusterFile {
    /// Reads a cluster file that only we or root could have written: it says who gets which password.
    ///
    /// # Errors
    /// If it is somebody else's, cannot be read, or something in it cannot be; the error names the file and the line or
    /// the field.
    pub fn read(path: &Path) -> Result<ClusterFile> {
        let named = || format!("cluster file {}", path.display());
        let read = trust::read_if_there(path).map_err(|error| {
            anyhow!("{error:#}; one that you trust all the same is taken from stdin (`--cluster - < FILE`)")
        });
        let text = read.with_context(named)?.with_context(|| format!("{}: there is no such file", named()))?;
        ClusterFile::parse(&text).with_context(|| format!("cluster file {}", path.display()))
    }

    /// Parses the text of a cluster file.
    ///
    /// # Errors
    /// As [`ClusterFile::read`].
    pub fn parse(text: &str) -> Result<ClusterFile> {
        let told =
            |error: toml::de::Error| anyhow!("{}", in_line(text, error.span().map(|span| span.start), error.message()));
        check_texts(&toml::from_str(text).map_err(told)?)?; // before any of them stands in a message
        let file: ClusterFile = toml::from_str(text).map_err(told)?;
        ensure!(!file.node.is_empty(), "`node`: there is none");
        for (index, node) in file.node.iter().enumerate() {
            check_node_name(&node.name)?;
            ensure!(node.port > 0, "node {}: port 0 is no port", node.name);
            for other in &file.node[..index] {
                ensure!(other.name != node.name, "node {}: the name is given twice", node.name);
                let same = (&other.host, other.port) == (&node.host, node.port);
                ensure!(!same, "nodes {} and {}: both are at {}:{}", other.name, node.name, node.host, node.port);
            }
        }
        Ok(file)
    }

    /// What a connection to one of its nodes has to be.
    #[must_use]
    pub fn protection(&self) -> Protection {
        let of_backend = if self.backend == BackendName::External { RequireAuth::ANY } else { RequireAuth::scram() };
        Protection {
            require_auth: self.require_auth.unwrap_or(of_backend),
            ..Protection::of_lab(self.server_uid.map_or(ServerUser::Unknown, ServerUser::of_lab))
        }
    }

    /// The text of the file.
    ///
    /// # Errors
    /// If a path in it is not UTF-8.
    pub fn render(&self) -> Result<String> {
        let body = toml::to_string(self).context("cannot write the cluster file")?;
        Ok(format!("# Written by pg-understudy's setup, which writes it anew: your own changes do not stay.\n{body}"))
    }
}

/// Sees that no text in it could move the cursor, or make a line that passes for ours.
fn check_texts(table: &toml::Table) -> Result<()> {
    table.iter().try_for_each(|(key, value)| {
        ensure!(!key.contains(char::is_control), "a key holds a control character");
        check_text(key, value)
    })
}

fn check_text(key: &str, value: &toml::Value) -> Result<()> {
    match value {
        toml::Value::String(text) => {
            ensure!(!text.contains(char::is_control), "`{key}` holds a control character");
            Ok(())
        }
        toml::Value::Array(values) => values.iter().try_for_each(|value| check_text(key, value)),
        toml::Value::Table(table) => check_texts(table),
        _ => Ok(()),
    }
}

/// Where labs live: `UNDERSTUDY_HOME`; else `/var/lib/pg-understudy` for root (the servers' user must be able to reach
/// it), and below the state directory of the XDG Base Directory Specification for everybody else.
///
/// # Errors
/// If there is no home directory.
pub fn labs_home(is_root: bool) -> Result<PathBuf> {
    home_by(is_root, std::env::home_dir(), |name| std::env::var_os(name).map(PathBuf::from))
}

fn home_by(is_root: bool, own: Option<PathBuf>, variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.as_os_str().is_empty());
    if let Some(home) = set("UNDERSTUDY_HOME") {
        ensure!(home.is_absolute(), "UNDERSTUDY_HOME={}: it must be an absolute path", home.display());
        return Ok(home);
    }
    if is_root {
        return Ok(PathBuf::from("/var/lib/pg-understudy"));
    }
    let state = set("XDG_STATE_HOME").or_else(|| Some(own?.join(".local/state")));
    Ok(state.context("there is no home directory: set UNDERSTUDY_HOME")?.join("pg-understudy"))
}

/// The name, within the home of labs, of the link to the cluster file that `setup` wrote last.
pub const LATEST: &str = "latest.toml";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_in_it_may_hold_a_control_character() {
        for (text, other) in [
            ("127.0.0.1", "a\\nverdict   held"),
            ("understudy", "d\\u001b[2J"),
            ("/l/secrets/passfile", "/x\\nverdict   held"),
            ("local", "a\\nverdict   held"),
        ] {
            let odd = example().render().unwrap().replacen(&format!("\"{text}\""), &format!("\"{other}\""), 1);
            let said = format!("{:#}", ClusterFile::parse(&odd).unwrap_err());
            assert!(said.contains("control character"), "{odd}: {said}");
        }
    }

    fn example() -> ClusterFile {
        let login = |user: &str| Login { user: user.into(), passfile: "/l/secrets/passfile".into() };
        let node = |name: &str, port| NodeSection {
            name: name.into(),
            host: "127.0.0.1".into(),
            port,
            dbname: "understudy".into(),
        };
        ClusterFile {
            name: "demo".into(),
            backend: BackendName::Local,
            require_auth: Some(RequireAuth::scram()),
            server_uid: Some(104),
            local: Some(LocalSection { dir: "/l".into(), bin: "/usr/lib/postgresql/15/bin".into() }),
            compose: None,
            roles: Logins {
                admin: login("a"),
                application: login("b"),
                monitor: login("c"),
                replication: login("d"),
                rewind: login("e"),
            },
            node: vec![node("node1", 15432), node("node2", 15433)],
        }
    }

    #[test]
    fn goes_there_and_back() {
        assert_eq!(ClusterFile::parse(&example().render().unwrap()).unwrap(), example());
    }

    #[test]
    fn names_what_is_wrong() {
        let good = example().render().unwrap();
        for (from, to, names) in [
            ("backend =", "bakend =", "bakend"),
            (
                "\"local\"",
                "\"kubernetes\"",
                "unknown variant `kubernetes`, expected one of `local`, `compose`, `external`",
            ),
            ("name = \"node2\"", "name = \"node1\"", "node1"),
            ("name = \"node2\"", "name = \"Node2\"", "Node2"),
            ("15433", "0", "port"),
            ("15433", "65536", "port"),
            ("15433", "15432", "15432"),
            ("\"scram-sha-256\"", "\"scram\"", "`scram` is no method"),
        ] {
            let error = format!("{:#}", ClusterFile::parse(&good.replace(from, to)).unwrap_err());
            assert!(error.contains(names), "{from} -> {to}: {error}");
        }
    }

    #[test]
    fn a_lab_takes_scram_only_also_by_a_file_that_does_not_say_so() {
        let mut file = ClusterFile { require_auth: None, server_uid: None, ..example() };
        assert_eq!(file.protection().require_auth, RequireAuth::scram());
        file.backend = BackendName::External;
        assert_eq!(file.protection().require_auth, RequireAuth::ANY);
        file.require_auth = Some(RequireAuth::scram());
        assert_eq!(file.protection().require_auth, RequireAuth::scram());
        assert_eq!(example().protection(), Protection::of_lab(ServerUser::Lab(104)));
    }

    #[test]
    fn labs_live_where_the_variable_says_or_where_the_users_state_does() {
        let home = |is_root, set: &[(&str, &str)]| {
            let value = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            home_by(is_root, Some("/home/alice".into()), value).map_err(|error| error.to_string())
        };
        let is = |path: &str| Ok(PathBuf::from(path));
        for is_root in [false, true] {
            assert_eq!(home(is_root, &[("UNDERSTUDY_HOME", "/labs"), ("XDG_STATE_HOME", "/state")]), is("/labs"));
            assert!(home(is_root, &[("UNDERSTUDY_HOME", "labs")]).unwrap_err().contains("absolute"));
        }
        assert_eq!(home(true, &[("UNDERSTUDY_HOME", ""), ("XDG_STATE_HOME", "/state")]), is("/var/lib/pg-understudy"));
        assert_eq!(home(false, &[("XDG_STATE_HOME", "/state")]), is("/state/pg-understudy"));
        assert_eq!(home(false, &[("XDG_STATE_HOME", "")]), is("/home/alice/.local/state/pg-understudy"));
        assert!(home_by(false, None, |_| None).unwrap_err().to_string().contains("set UNDERSTUDY_HOME"));
    }

    #[test]
    fn an_error_shows_the_line() {
        let text = example().render().unwrap().replace("port = 15433", "port = \"x\"");
        let error = format!("{:#}", ClusterFile::parse(&text).unwrap_err());
        assert!(error.contains("line"), "{error}");
    }
}

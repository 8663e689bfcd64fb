//! Text for PostgreSQL's configuration files.
//!
//! A node's configuration lives beside its data directory, where `pg_rewind` and `pg_basebackup` cannot overwrite it:
//! the `postgresql.conf` in the data directory is the same one line on every node, and includes the rest.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
pub use report::words::SyncMode;

use crate::standby::Upstream;

/// `postgresql.conf` of every data directory.
pub const INCLUDE: &str = "# Everything is in the directory conf beside this data directory.\n\
    include '../conf/postgresql.conf'\n";

/// What every node has, on every backend.
pub const BASE: &str = include_str!("../../../../compose/postgresql.base.conf");

/// What `postgresql.conf` of a node depends on.
pub struct Node<'a> {
    /// Its name.
    pub name: &'a str,
    /// The address that it listens at.
    pub listen: &'a str,
    /// Its port.
    pub port: u16,
    /// Its directory of configuration files.
    pub conf: &'a Path,
    /// The directory of its socket.
    pub socket: &'a Path,
    /// How commits wait.
    pub sync: SyncMode,
    /// `--set`.
    pub settings: &'a BTreeMap<String, String>,
}

/// `postgresql.conf` of a node. Every node gets what it needs to be primary.
///
/// # Errors
/// If a path is not UTF-8.
pub fn postgresql_conf(node: &Node<'_>) -> Result<String> {
    let hba = node.conf.join("pg_hba.conf");
    let hba = hba.to_str().with_context(|| format!("{}: not UTF-8", hba.display()))?;
    let socket = node.socket.to_str().with_context(|| format!("{}: not UTF-8", node.socket.display()))?;
    let mut lines = vec![
        "# Written by pg-understudy's setup, which writes it anew: use `setup --set name=value`.".to_owned(),
        BASE.trim_end().to_owned(),
        setting("synchronous_commit", node.sync.synchronous_commit()),
        "# From --set.".to_owned(),
    ];
    lines.extend(node.settings.iter().map(|(name, value)| setting(name, value)));
    lines.extend([
        "# What the lab relies on.".to_owned(),
        setting("cluster_name", node.name),
        setting("listen_addresses", node.listen),
        setting("port", &node.port.to_string()),
        "# For WAL and pg_rewind. On loopback anybody could answer while this server is down; in here nobody can."
            .to_owned(),
        setting("unix_socket_directories", &cluster::ident::quote(socket)),
        setting("unix_socket_permissions", "0700"),
        setting("hba_file", hba),
        "# Whom this node follows while it is a standby, and whose confirmation commits wait for while it is primary."
            .to_owned(),
        "include_if_exists 'follow.conf'".to_owned(),
        "include_if_exists 'sync.conf'".to_owned(),
    ]);
    Ok(lines.join("\n") + "\n")
}

/// `pg_hba.conf` of every node: SCRAM; servers and tools over the socket alone, everybody else over loopback, too.
pub const PG_HBA: &str = "\
# Written by pg-understudy's setup.
# TYPE  DATABASE     USER                    ADDRESS       METHOD
local   replication  understudy_replication                scram-sha-256
local   all          understudy_replication                reject
local   all          all                                   scram-sha-256
host    all          understudy_replication  127.0.0.1/32  reject
host    all          understudy_rewind       127.0.0.1/32  reject
host    all          all                     127.0.0.1/32  scram-sha-256
";

/// `follow.conf`: whom a standby receives WAL from; with `None` from nobody.
#[must_use]
pub fn follow_conf(upstream: Option<&Upstream>) -> String {
    match upstream {
        None => setting("primary_conninfo", "") + "\n",
        Some(u) => {
            format!("{}\n{}\n", setting("primary_conninfo", &u.conninfo()), setting("primary_slot_name", &u.slot))
        }
    }
}

/// `sync.conf`: whose confirmation commits wait for.
#[must_use]
pub fn sync_conf(names: &str) -> String {
    setting("synchronous_standby_names", names) + "\n"
}

/// The value of `synchronous_standby_names` for a quorum of these standbys.
#[must_use]
pub fn sync_names(sync: SyncMode, quorum: u32, standbys: &[String]) -> String {
    if sync == SyncMode::Async || standbys.is_empty() {
        return String::new();
    }
    let names: Vec<String> = standbys.iter().map(|name| cluster::ident::quote(name)).collect();
    format!("ANY {quorum} ({})", names.join(", "))
}

/// One line: `name = 'value'`.
#[must_use]
pub fn setting(name: &str, value: &str) -> String {
    format!("{name} = '{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted() {
        assert_eq!(setting("a", r"it's \ here"), r"a = 'it''s \\ here'");
    }

    #[test]
    fn what_a_node_relies_on_comes_after_what_was_asked_for_and_that_after_the_base() {
        let settings =
            BTreeMap::from([("wal_keep_size".to_owned(), "1GB".to_owned()), ("port".to_owned(), "1".to_owned())]);
        let dir = Path::new("/lab/node1");
        let node = Node {
            name: "node1",
            listen: "*",
            port: 5432,
            conf: dir,
            socket: dir,
            sync: SyncMode::On,
            settings: &settings,
        };
        let text = postgresql_conf(&node).unwrap();
        let last = |name: &str| text.lines().rfind(|line| line.split(" = ").next() == Some(name)).map(str::to_owned);
        assert_eq!(last("wal_keep_size").unwrap(), "wal_keep_size = '1GB'");
        assert_eq!(last("port").unwrap(), "port = '5432'");
        assert!(last("wal_level").is_some_and(|line| BASE.contains(&line)));
    }

    #[test]
    fn a_quorum_names_its_standbys() {
        let names = ["node2".to_owned(), "node3".to_owned()];
        assert_eq!(sync_names(SyncMode::On, 1, &names), r#"ANY 1 ("node2", "node3")"#);
        assert_eq!(sync_names(SyncMode::Async, 1, &names), "");
    }
}

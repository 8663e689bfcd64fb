//! `--set name=value`: what may be chosen, the same on every backend.

use anyhow::{Context as _, Result, bail, ensure};

/// Settings that `--set` may not touch, and what to use instead.
const NOT_BY_SET: [(&str, &str); 24] = [
    ("port", "--port"),
    ("cluster_name", "nothing: it is the node's name"),
    ("listen_addresses", "nothing: labs listen on loopback"),
    ("unix_socket_directories", "nothing: it is the lab's own"),
    ("unix_socket_permissions", "nothing: it is the lab's own"),
    ("unix_socket_group", "nothing: it is the lab's own"),
    ("hba_file", "nothing: it is the lab's own"),
    ("ident_file", "nothing: it is the lab's own"),
    ("config_file", "nothing: it is the lab's own"),
    ("data_directory", "--home"),
    ("primary_conninfo", "nothing: setup knows whom a standby follows"),
    ("primary_slot_name", "nothing: setup knows whom a standby follows"),
    ("synchronous_standby_names", "--sync and --quorum"),
    ("synchronous_commit", "--sync"),
    ("include", "--set for each of its settings"),
    ("include_if_exists", "--set for each of its settings"),
    ("include_dir", "--set for each of its settings"),
    ("logging_collector", "nothing: a lab reads its servers' logs where they are"),
    ("log_destination", "nothing: a lab reads its servers' logs where they are"),
    ("shared_memory_type", "nothing: a lab takes its servers' memory away after a kill"),
    ("dynamic_shared_memory_type", "nothing: a lab takes its servers' memory away after a kill"),
    ("external_pid_file", "nothing: servers write into their own directories only"),
    ("transaction_read_only", "nothing: a primary takes writes"),
    ("promote_trigger_file", "nothing: who is promoted is for the drill to say"),
];

/// The values that a setting must have for a node to be primary, or a standby of one.
enum Needed {
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A number that is no smaller.
    AtLeast(u32),
}

/// What every node of a lab needs, and what for.
const NEEDED: [(&str, Needed, &str); 5] = [
    ("wal_level", Needed::OneOf(&["replica", "logical"]), "a primary has no standby without it"),
    ("max_wal_senders", Needed::AtLeast(10), "each standby and each base backup takes one or two"),
    ("max_replication_slots", Needed::AtLeast(10), "each standby takes one"),
    ("hot_standby", Needed::OneOf(&["on", "true", "yes", "1"]), "a standby is asked what it has"),
    ("default_transaction_read_only", Needed::OneOf(&["off", "false", "no", "0"]), "a primary takes writes"),
];

/// Parses `--set name=value`. The value `default` takes a setting back.
///
/// # Errors
/// If it is not of that form, sets what another option sets, or what no node could be primary or standby with.
pub fn parse_setting(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once('=').with_context(|| format!("--set {text}: write it as name=value"))?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    ensure!(!name.is_empty() && name.chars().all(plain), "--set {text}: `{name}` is not the name of a setting");
    ensure!(!value.contains(['\n', '\r', '\0']), "--set {name}: the value has a line break");
    if value != "default" {
        check(&name, &value)?;
    }
    Ok((name, value))
}

fn check(name: &str, value: &str) -> Result<()> {
    if let Some((_, instead)) = NOT_BY_SET.iter().find(|(taken, _)| *taken == name) {
        bail!("--set {name}: use {instead}");
    }
    if name.starts_with("recovery_target") {
        bail!("--set {name}: use nothing: a standby of a lab replays all that there is");
    }
    let Some((_, needed, because)) = NEEDED.iter().find(|(other, ..)| *other == name) else { return Ok(()) };
    match needed {
        Needed::OneOf(words) => ensure!(
            words.contains(&value.to_ascii_lowercase().as_str()),
            "--set {name}={value}: a lab needs {}: {because}",
            words.join(" or ")
        ),
        Needed::AtLeast(least) => ensure!(
            value.parse::<u32>().is_ok_and(|number| number >= *least),
            "--set {name}={value}: a lab needs {least} or more: {because}"
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_takes_settings_and_nothing_else() {
        assert_eq!(parse_setting("work_mem=8MB").unwrap(), ("work_mem".into(), "8MB".into()));
        assert_eq!(parse_setting("search_path=a, b").unwrap().1, "a, b");
        for text in ["work_mem", "=x", "a b=c", "x'=1", "a=b\nc=d", "a=b\rc=d", "port=1", "Synchronous_Commit=off"] {
            assert!(parse_setting(text).is_err(), "{text:?}");
        }
    }

    /// What says where a server reads, writes and listens, and who may connect.
    #[test]
    fn what_keeps_a_lab_apart_is_not_for_set() {
        for name in [
            "include",
            "include_if_exists",
            "include_dir",
            "config_file",
            "data_directory",
            "hba_file",
            "ident_file",
            "listen_addresses",
            "unix_socket_directories",
            "unix_socket_permissions",
            "unix_socket_group",
            "external_pid_file",
            "primary_conninfo",
            "logging_collector",
            "log_destination",
            "promote_trigger_file",
        ] {
            let said = parse_setting(&format!("{name}=x")).unwrap_err().to_string();
            assert!(said.contains(&format!("--set {name}: use ")), "{said}");
        }
    }

    #[test]
    fn what_no_node_could_be_primary_or_standby_with_is_refused_by_name() {
        for (text, word) in [
            ("wal_level=minimal", "replica or logical"),
            ("WAL_LEVEL = minimal", "or logical"),
            ("max_wal_senders=0", "10 or more"),
            ("max_replication_slots=9", "10 or more"),
            ("hot_standby=off", "a standby is asked"),
            ("default_transaction_read_only=on", "a primary takes writes"),
            ("include=/tmp/mine.conf", "--set for each"),
            ("logging_collector=on", "logs"),
            ("log_destination=csvlog", "logs"),
            ("recovery_target_time=2020-01-01", "replays all"),
        ] {
            let refused = parse_setting(text).unwrap_err().to_string();
            let name = text.split('=').next().unwrap().trim().to_lowercase();
            assert!(refused.contains(word) && refused.contains(&format!("--set {name}")), "{text}: {refused}");
        }
        for harmless in ["wal_level=logical", "max_wal_senders=20", "hot_standby=on", "wal_level=default"] {
            parse_setting(harmless).unwrap();
        }
    }
}

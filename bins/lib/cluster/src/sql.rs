//! The statements of `sql/`, built into the programs.

/// Name and text of each file.
macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../../../sql/", $name, ".sql")))),*]
    };
}

/// All files of `sql/`, by name.
pub const FILES: &[(&str, &str)] = files![
    "catch_up_mark"
    "checkers"
    "current_timeline"
    "final_read"
    "final_read_settings"
    "free_walsenders"
    "heartbeat"
    "heartbeat_beat"
    "heartbeat_claim"
    "heartbeat_end"
    "heartbeat_poll"
    "heartbeat_takeover"
    "identity"
    "lag_server_stats"
    "ledger_insert"
    "may_monitor"
    "orphaned_setups"
    "pending_settings"
    "quorum"
    "received"
    "receiver"
    "refused_settings"
    "roles"
    "schema"
    "seed_empty"
    "seed_tables"
    "session_state"
    "settings"
    "standby_names"
    "timeline_history"
    "verify_blocks"
    "verify_by_bitmap"
    "verify_by_index"
    "verify_by_scan"
    "verify_catalogs"
    "verify_checkers"
    "verify_checkpoint"
    "verify_collation"
    "verify_columns"
    "verify_hindered"
    "verify_in_the_way"
    "verify_indexes"
    "verify_ledger"
    "verify_ledger_count"
    "verify_lock_holders"
    "verify_members"
    "verify_own_settings"
    "verify_receiver"
    "verify_relations"
    "verify_running"
    "verify_sender"
    "verify_sequences"
    "verify_session"
    "verify_settings"
    "verify_settled"
    "verify_types"
    "verify_value_columns"
    "verify_value_leaves"
    "verify_value_relations"
    "verify_waiting_commits"
    "walsender"
    "writers_left"
];

/// The text of `sql/NAME.sql`. A name that is not there does not compile.
#[macro_export]
macro_rules! sql {
    ($name:literal) => {
        const { $crate::sql::get($name) }
    };
}

/// The text of a file, found while compiling.
///
/// # Panics
/// If there is no such file.
#[must_use]
pub const fn get(name: &str) -> &'static str {
    let mut index = 0;
    while index < FILES.len() {
        if same(FILES[index].0.as_bytes(), name.as_bytes()) {
            return FILES[index].1;
        }
        index += 1;
    }
    panic!("no such file in sql/: add it to the list")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}

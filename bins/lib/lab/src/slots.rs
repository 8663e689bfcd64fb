//! Physical replication slots: one on the primary for each other node. They are not copied to standbys.

use anyhow::Result;
use cluster::session::Session;

/// Makes a slot unless it is there; says whether it was made. It keeps WAL from this moment on, not from the first
/// connection on.
///
/// # Errors
/// If the primary refuses.
pub fn ensure(primary: &Session, name: &str) -> Result<bool> {
    let is_there = || -> Result<bool> {
        primary.value("SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)", &[&name])
    };
    if is_there()? {
        return Ok(false);
    }
    match primary.execute("SELECT pg_create_physical_replication_slot($1, true)", &[&name]) {
        Err(_) if is_there()? => Ok(false), // a container that starts makes its own
        made => made.map(|_| true),
    }
}

/// Removes a slot if it is there and nobody uses it.
///
/// # Errors
/// If the primary refuses.
pub fn drop(primary: &Session, name: &str) -> Result<()> {
    let sql =
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active";
    primary.execute(sql, &[&name])?;
    Ok(())
}

/// The physical slots that a node has.
///
/// # Errors
/// If it does not answer.
pub fn names(node: &Session) -> Result<Vec<String>> {
    let rows = node.rows("SELECT slot_name::text FROM pg_replication_slots WHERE slot_type = 'physical'", &[])?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

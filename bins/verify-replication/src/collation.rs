//! Collations whose version differs on a standby: the same text sorts differently there, so its indexes miss rows.

use program::progress::Progress;

use crate::node::NodeSessions;

/// Warns if this server's collation is not the one that the database was made with (PostgreSQL 15 and newer know).
pub(crate) fn check(node: &NodeSessions, progress: &Progress) {
    let version = node.control.value::<i32>("SELECT pg_catalog.current_setting('server_version_num')::int", &[]);
    if !version.is_ok_and(|version| version >= 150_000) {
        return;
    }
    let Ok(rows) = node.control.rows(cluster::sql!("verify_collation"), &[]) else { return };
    for row in rows {
        let text = |index| row.try_get::<_, Option<String>>(index).ok().flatten();
        if let (Some(made), Some(actual)) = (text(0), text(1))
            && made != actual
        {
            progress.warn(&format!(
                "{}: collation version {actual} here, {made} in the database: check text indexes with amcheck",
                node.name
            ));
        }
    }
}

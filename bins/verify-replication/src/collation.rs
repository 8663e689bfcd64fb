//! Collations whose version changed below a standby: the same text sorts differently, and its indexes lead astray.

use program::progress::Progress;

use crate::node::Node;

/// Warns if this server's collation is not the one that the database was made with (PostgreSQL 15 and newer know).
pub(crate) fn check(node: &Node, progress: &Progress) {
    let version = node.door.value::<i32>("SELECT pg_catalog.current_setting('server_version_num')::int", &[]);
    if !version.is_ok_and(|version| version >= 150_000) {
        return;
    }
    let Ok(rows) = node.door.rows(cluster::sql!("verify_collation"), &[]) else { return };
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

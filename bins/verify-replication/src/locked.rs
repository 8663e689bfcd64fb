//! Tables that somebody keeps locked are read later, and there is one wait for all of them together.

use std::time::{Duration, Instant};

use anyhow::Result;
use cluster::session::Session;

use crate::node::{NodeSessions, Standby};
use crate::subject::Subject;

/// How long a table's lock is waited for before the other tables are read. Short locks are released by then.
const GLANCE: Duration = Duration::from_millis(100);

/// The same for tables beyond the first few, and for those for which there is no time left.
const BLINK: Duration = Duration::from_millis(10);

/// So many tables are a few.
const FEW: usize = 20;

/// The longest wait for one table once all others are read, before another one is tried.
const TURN: Duration = Duration::from_secs(1);

/// The wait for all tables that are still locked then, together.
const TOGETHER: Duration = Duration::from_secs(10);

/// How long to wait for a table's lock, where so many others are locked already.
pub(crate) fn glance(locked: usize) -> Duration {
    if locked < FEW { GLANCE } else { BLINK }
}

/// What is left of the wait for locked tables.
pub(crate) struct Left(Duration);

impl Left {
    /// All of it.
    pub(crate) fn new() -> Left {
        Left(TOGETHER)
    }

    /// Whether a table is still locked, after a turn of waiting for it as long as there is time left.
    pub(crate) fn is_locked(&mut self, primary: &mut NodeSessions, standbys: &mut [Standby], table: &Subject) -> bool {
        let begun = Instant::now();
        let locked = is_locked(primary, standbys, table, self.0.min(TURN).max(BLINK));
        self.0 = self.0.saturating_sub(begun.elapsed().max(Duration::from_millis(1)));
        locked
    }

    /// Whether it is used up.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_zero()
    }
}

/// Whether a table is locked against readers on one of the nodes, and stays so for `wait`.
pub(crate) fn is_locked(primary: &mut NodeSessions, standbys: &mut [Standby], table: &Subject, wait: Duration) -> bool {
    let nodes = standbys.iter_mut().filter_map(|standby| standby.node.as_mut().ok());
    std::iter::once(primary).chain(nodes).any(|node| node.reader().is_locked(&table.quoted(), wait))
}

/// Why a table cannot be read on a node: who has it locked, and what to do. `None`: it can.
pub(crate) fn why(node: &mut NodeSessions, table: &Subject) -> Option<String> {
    if !node.reader().is_locked(&table.quoted(), BLINK) {
        return None;
    }
    let holders = holders(&node.control, table).unwrap_or_default();
    let by = if holders.is_empty() { "by nobody who is seen by now".to_owned() } else { holders.join("; ") };
    Some(format!("it is locked on {}: {by}", node.name))
}

fn holders(session: &Session, table: &Subject) -> Result<Vec<String>> {
    let mut holders = Vec::new();
    for row in session.rows(cluster::sql!("verify_lock_holders"), &[&table.oid])? {
        let (pid, name, state): (Option<i32>, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let since = row.try_get::<_, Option<String>>(3)?.map(|since| format!(", since {since}")).unwrap_or_default();
        let (granted, replays, waits): (bool, bool, bool) = (row.try_get(4)?, row.try_get(5)?, row.try_get(6)?);
        let blockers: String = row.try_get(7)?;
        holders.push(match pid {
            None => format!("by the prepared transaction {name}{since}: COMMIT PREPARED or ROLLBACK PREPARED ends it"),
            Some(pid) if !granted => {
                let name = if replays { "replay" } else { &name };
                format!("pid {pid} ({name}{since}) waits for it before us, and that one for pid {blockers}")
            }
            Some(pid) if replays => {
                format!("by replay (pid {pid}): a transaction on the primary has it locked, or had, if replay stands")
            }
            Some(pid) if waits => format!(
                "by pid {pid} ({name}{since}), whose commit waits for a synchronous standby: see that one of \
                 synchronous_standby_names answers"
            ),
            Some(pid) => format!("by pid {pid} ({name}, {state}{since}): end it, or compare again later"),
        });
    }
    Ok(holders)
}

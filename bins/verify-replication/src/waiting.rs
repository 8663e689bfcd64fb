//! Commits on the primary that wait for a synchronous standby. They are visible on the standby and not yet on the primary, so
//! rows do not agree and tables stay locked for as long as no synchronous standby answers.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use cluster::session::Session;

use crate::tid::Xid;

/// How long a commit has to be seen waiting before it counts as stuck. Other commits go on within milliseconds.
const STUCK: Duration = Duration::from_secs(8);

/// The commits that were seen to wait, by the process, and since when.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<HashMap<i32, Instant>>);

/// What such commits hold.
#[derive(Debug, Default)]
pub(crate) struct Stuck {
    /// Their transactions, with subtransactions.
    xids: BTreeSet<Xid>,
    commits: usize,
    first: String,
}

impl Waiting {
    /// The commits that are stuck by now; `None` if there are none, or it cannot be asked.
    pub(crate) fn stuck(&self, primary: &Session) -> Option<Stuck> {
        self.ask(primary, STUCK).ok().filter(|stuck| stuck.commits > 0)
    }

    /// The commits that wait at this moment; `None` as in [`Waiting::stuck`].
    pub(crate) fn now(&self, primary: &Session) -> Option<Stuck> {
        self.ask(primary, Duration::ZERO).ok().filter(|stuck| stuck.commits > 0)
    }

    fn ask(&self, primary: &Session, for_long: Duration) -> Result<Stuck> {
        let rows = primary.rows(cluster::sql!("verify_waiting_commits"), &[])?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = rows.iter().map(|row| row.try_get::<_, i32>(0)).collect::<Result<BTreeSet<_>, _>>()?;
        known.retain(|pid, _| waiting.contains(pid));
        let mut stuck = Stuck::default();
        for row in &rows {
            let pid: i32 = row.try_get(0)?;
            if known.entry(pid).or_insert_with(Instant::now).elapsed() < for_long {
                continue;
            }
            if stuck.commits == 0 {
                let application: Option<String> = row.try_get(1)?;
                let since: Option<String> = row.try_get(2)?;
                let (application, since) = (application.unwrap_or_default(), since.unwrap_or_default());
                stuck.first = format!("pid {pid}, {application}, since {since}");
            }
            stuck.commits += 1;
            stuck.xids.extend(row.try_get::<_, Vec<i64>>(3)?.into_iter().map(|xid| Xid((xid & 0xFFFF_FFFF) as u32)));
        }
        Ok(stuck)
    }
}

impl Stuck {
    /// Whether the end of all these transactions depends on them.
    pub(crate) fn hold(&self, xids: &BTreeSet<Xid>) -> bool {
        !xids.is_empty() && xids.is_subset(&self.xids)
    }
}

impl std::fmt::Display for Stuck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wait = if self.commits == 1 { "commit on the primary waits" } else { "commits on the primary wait" };
        write!(
            f,
            "{} {wait} for a synchronous standby (such as {}): see that one of synchronous_standby_names answers, \
             and compare again",
            self.commits, self.first
        )
    }
}

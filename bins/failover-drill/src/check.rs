//! What must hold before a drill begins. It only reads: `--dry-run` checks the same.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cluster::args::Cluster;
use cluster::file::LoginKind;
use cluster::session::Session;
use cluster::topology;
use cluster::wait::until_true;
use lab::open::OpenLab;
use lab::standby::{streams_from, timeline_of};
use lab::{conf, settings};
use report::foreign::one_line;

/// How often the quorum is looked for.
const LOOK: Duration = Duration::from_millis(2);

/// Time for the quorum to show: a standby that has just connected is counted within a status interval.
const QUORUM_DEADLINE: Duration = Duration::from_secs(30);

/// A cluster that a drill can begin on.
pub(crate) struct Fit {
    pub(crate) primary: String,
    /// The primary's timeline.
    pub(crate) timeline: u32,
    /// As the running server says it: the programs on the disk may be newer.
    pub(crate) server_version: String,
    pub(crate) standbys: Vec<String>,
    /// Sessions of the administrator, by node.
    pub(crate) sessions: BTreeMap<String, Session>,
}

/// Sees that there is one primary, that every standby streams from it, in a sync mode that the quorum shows, and that every
/// node starts with the settings that it has.
///
/// # Errors
/// If it is not so, with the node's name.
pub(crate) fn check(lab: &OpenLab, cluster: &Cluster) -> Result<Fit> {
    let asked = topology::ask(cluster, LoginKind::Admin, "understudy failover-drill")?;
    if let Some((_, error)) = asked.unreachable.first() {
        bail!("a node does not answer: {error:#}; `setup` brings it back");
    }
    ensure!(!asked.standbys.is_empty(), "there is no standby to take over");
    let (primary, on_primary) = asked.primary;
    let timeline = timeline_of(&on_primary)?;
    has_its_settings(&primary.name, &on_primary)?;
    let (mut standbys, mut sessions) = (Vec::new(), BTreeMap::new());
    for (node, session) in asked.standbys {
        let upstream = lab.upstream(&primary.name, &node.name)?;
        let streams = streams_from(&on_primary, &session, &upstream, Some(timeline))?;
        ensure!(streams, "{} does not stream from {}: `setup` mends that", node.name, primary.name);
        has_its_settings(&node.name, &session)?;
        standbys.push(node.name.clone());
        sessions.insert(node.name, session);
    }
    let version: String = on_primary.value("SHOW server_version", &[])?;
    if is_sync(lab) {
        wait_quorum(lab, || on_primary.value::<i64>(cluster::sql!("quorum"), &[]))
            .context("a sync run needs its quorum before T0")?;
    }
    sessions.insert(primary.name.clone(), on_primary);
    Ok(Fit {
        primary: primary.name,
        timeline,
        server_version: one_line(version.split_whitespace().next().unwrap_or_default()).into_owned(),
        standbys,
        sessions,
    })
}

/// Sees that a node starts with the settings that it has now: a drill restarts the one that is killed, and what comes to
/// light only then is no finding about the takeover.
fn has_its_settings(node: &str, session: &Session) -> Result<()> {
    let refused = settings::refused(session)?;
    ensure!(
        refused.is_empty(),
        "node {node} would not start again with its configuration ({}): mend the file; `setup` writes the lab's own anew",
        refused.join("; ")
    );
    let pending = settings::pending(session)?;
    ensure!(
        pending.is_empty(),
        "node {node}: {} will change with its next restart, which a drill would bring: restart it first; `setup` says how",
        pending.join(", ")
    );
    Ok(())
}

/// Whether commits of the lab wait for standbys.
pub(crate) fn is_sync(lab: &OpenLab) -> bool {
    lab.sync != conf::SyncMode::Async
}

/// Waits until as many standbys as the lab was set up for count as synchronous; `count` asks the primary.
pub(crate) fn wait_quorum(lab: &OpenLab, mut count: impl FnMut() -> Result<i64>) -> Result<()> {
    let quorum = i64::from(lab.quorum);
    let what = "the quorum to show in pg_stat_replication";
    until_true(what, QUORUM_DEADLINE, LOOK, || Ok(count()? >= quorum))
}

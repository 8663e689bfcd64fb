//! Descent: does a standby follow this very primary?
//!
//! To be in recovery and far enough in the WAL proves nothing: a node that once ran alone has WAL of its own, and passes
//! any wait for an LSN. So both sides are asked, and a standby must not have more WAL than the primary has written. That
//! both have one system identifier was checked before. The sender compares the histories of timelines: it refuses a
//! receiver whose timeline left its own, so a standby that receives the primary's timeline has passed the same forks.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, anyhow};
use cluster::catch_up;
use cluster::session::Session;
use cluster::topology::replayed;
use cluster::wait::Attempt;
use report::lsn::Lsn;
use report::timeline::of_wal_file;
use report::verify::Descent;

use crate::node::{NodeSessions, Standby, within};

/// The pause between two looks.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// What a standby's receiver has to reach, and on which timeline.
struct Aim {
    mark: Lsn,
    timeline: u32,
    /// A checkpoint is proof only beyond this.
    since: Lsn,
}

/// A standby's receiver.
struct Receiver {
    status: String,
    timeline: Option<u32>,
    flushed: Option<Lsn>,
    slot: Option<String>,
    application: Option<String>,
    from: Option<String>,
}

/// Proves that each standby follows the primary. A standby for which this fails within `limit` is given up.
///
/// `since`: the first mark of this run. It is kept from one database to the next.
pub(crate) fn prove(
    primary: &NodeSessions,
    standbys: &mut [Standby],
    limit: Duration,
    since: &mut Option<Lsn>,
) -> Result<()> {
    let begun = Instant::now();
    let aim = match aim(&primary.control) {
        Ok(aim) => Aim { since: *since.get_or_insert(aim.mark), ..aim },
        Err(error) => {
            primary.lose(&error);
            return Ok(());
        }
    };
    loop {
        let mut open = Vec::new();
        for index in 0..standbys.len() {
            let standby = &mut standbys[index];
            if let Ok(node) = &mut standby.node
                && let Err(error) = node.reopen_if_ended()
            {
                standby.node = Err(unproven(&error));
            }
            let Some(looked) = look(primary, standbys, index, &aim) else { continue };
            let standby = &mut standbys[index];
            match looked {
                Attempt::Done(descent) => standby.descent = Some(descent),
                Attempt::Never(error) => standby.node = Err(unproven(&error)),
                Attempt::NotYet(why) => open.push((index, why)),
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        if begun.elapsed() >= limit {
            for (index, why) in open {
                standbys[index].node = Err(unproven(&anyhow!("{why}")));
            }
            return Ok(());
        }
        program::stop::pause(POLL_EVERY)?;
    }
}

fn unproven(why: &Error) -> String {
    format!("it is not proven that it follows this primary: {why:#}")
}

fn aim(primary: &Session) -> Result<Aim> {
    let mark = catch_up::mark(primary).context("cannot set a mark in its WAL")?;
    let file: String = primary.value(cluster::sql!("current_timeline"), &[])?;
    let timeline = of_wal_file(&file).with_context(|| format!("{file:?} is no WAL file's name"))?;
    Ok(Aim { mark, timeline, since: mark })
}

/// One look at one standby; `None` if nothing is to be found out of it.
fn look(primary: &NodeSessions, standbys: &[Standby], index: usize, aim: &Aim) -> Option<Attempt<Descent>> {
    let standby = standbys.get(index).filter(|standby| standby.descent.is_none())?;
    let node = standby.node.as_ref().ok()?;
    let looked = match receiver(&node.control) {
        Ok(Some(receiver)) => streams(primary, standbys, &receiver, aim),
        Ok(None) => restartpoint(primary, node, aim),
        Err(error) => Err(error),
    };
    Some(match looked {
        Ok(look) => look,
        Err(error) if primary.control.is_closed() => Attempt::Never(error),
        Err(error) => Attempt::NotYet(format!("{error:#}")),
    })
}

/// Whether a receiver streams from the primary, or from a standby that is proven.
fn streams(primary: &NodeSessions, standbys: &[Standby], receiver: &Receiver, aim: &Aim) -> Result<Attempt<Descent>> {
    let not_yet = |why: String| Ok(Attempt::NotYet(why));
    let Some(flushed) = receiver.flushed.filter(|_| receiver.status == "streaming") else {
        return not_yet(format!("its receiver is {}", receiver.status));
    };
    if let Err(error) = within(&primary.control, flushed) {
        return Ok(Attempt::Never(error));
    }
    if receiver.timeline != Some(aim.timeline) {
        let timeline = receiver.timeline.unwrap_or_default();
        return not_yet(format!(
            "it receives on timeline {timeline}, and the primary writes timeline {}",
            aim.timeline
        ));
    }
    if flushed < aim.mark {
        return not_yet(format!("it has received up to {flushed}, and not up to {}", aim.mark));
    }
    if sends(&primary.control, receiver, aim)? {
        return Ok(Attempt::Done(Descent::Streams));
    }
    for upstream in standbys.iter().filter(|standby| standby.descent.is_some()) {
        if let Ok(node) = &upstream.node
            && sends(&node.control, receiver, aim)?
        {
            return Ok(Attempt::Done(Descent::Cascades));
        }
    }
    not_yet(format!(
        "its receiver streams from {}, and neither the primary nor a standby that is named and proven says that it sends \
         to it",
        receiver.from.as_deref().unwrap_or("somewhere")
    ))
}

/// Whether a node without a receiver made its last restartpoint at the primary's last checkpoint, and that after this run began: two
/// that were one once, and went different ways since, have the checkpoints before that in common.
fn restartpoint(primary: &NodeSessions, standby: &NodeSessions, aim: &Aim) -> Result<Attempt<Descent>> {
    let at = replayed(&standby.control)?.unwrap_or_default();
    if let Err(error) = within(&primary.control, at) {
        return Ok(Attempt::Never(error));
    }
    let sql = cluster::sql!("verify_checkpoint");
    let checkpoint = |node: &Session| -> Result<(String, Lsn)> {
        let rows = node.rows(sql, &[])?;
        let row = rows.first().context("no control file")?;
        Ok((row.try_get(0)?, row.try_get::<_, String>(1)?.parse()?))
    };
    let (here, there) = (checkpoint(&primary.control)?, checkpoint(&standby.control)?);
    Ok(match here == there && there.1 >= aim.since {
        true => Attempt::Done(Descent::Restartpoint),
        false => Attempt::NotYet(
            "it has no receiver, and has made no restartpoint yet at a checkpoint that the primary has made since this run began \
             (one that is fed from an archive is proven by that: CHECKPOINT on the primary, wait until its WAL has arrived, \
             CHECKPOINT on the standby, while --catch-up-timeout lasts)"
                .to_owned(),
        ),
    })
}

/// Whether a node says that it sends to this receiver.
fn sends(upstream: &Session, receiver: &Receiver, aim: &Aim) -> Result<bool> {
    upstream.value(cluster::sql!("verify_sender"), &[&receiver.slot, &receiver.application, &aim.mark.to_string()])
}

fn receiver(standby: &Session) -> Result<Option<Receiver>> {
    let rows = standby.rows(cluster::sql!("verify_receiver"), &[])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let status: Option<String> = row.try_get(0)?;
    Ok(Some(Receiver {
        status: status.context("its receiver is not shown to this role: it needs pg_monitor")?,
        timeline: row.try_get::<_, Option<i32>>(1)?.and_then(|timeline| u32::try_from(timeline).ok()),
        flushed: row.try_get::<_, Option<String>>(2)?.map(|lsn| lsn.parse()).transpose()?,
        slot: row.try_get(3)?,
        application: row.try_get(4)?,
        from: row.try_get(5)?,
    }))
}

//! The load of a drill: `write-load` as a child, and its ledger followed as a file (a full pipe would stall an open
//! loop).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use cluster::wait::{Attempt, until};
use program::child::Program;
use program::clock::Clock;
use program::run::Run;
use program::trust;
use report::glance::glance;
use report::ledger::Event;

/// How often the ledger is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// How long the ledger is read before deadlines and signals are looked at again.
const FOLLOW: Duration = Duration::from_millis(50);

/// How many lines of it are read before the clock is.
const LINES: u32 = 256;

/// Time for the load to begin: it looks for the primary and connects all clients.
const BEGIN_DEADLINE: Duration = Duration::from_secs(35);

/// Time for a load that is silent to flow again: a checkpoint or a busy machine holds it up for less.
const FLOW_DEADLINE: Duration = Duration::from_secs(5);

/// How many acks in a row make a client well again.
const ACKS_IN_A_ROW: u32 = 5;

/// What the load is to be.
pub(crate) struct LoadPlan {
    pub(crate) cluster_file: PathBuf,
    pub(crate) rate: String,
    pub(crate) clients: u32,
    pub(crate) synchronous_commit: &'static str,
    pub(crate) op_timeout: Duration,
}

/// A running load.
pub(crate) struct Load {
    program: Program,
    op_timeout: Duration,
    ledger: Growing,
}

/// The ledger, as far as it was read.
struct Growing {
    reader: BufReader<File>,
    line: String,
    header_read: bool,
    seen: Seen,
}

/// What was seen of the ledger so far.
#[derive(Debug, Default)]
struct Seen {
    acks: u64,
    last_ack_us: u64,
    newest_timeline: u32,
    /// Acks in a row on the newest timeline, per worker that ever had an ack.
    in_a_row: BTreeMap<u32, u32>,
}

impl Load {
    /// Starts the load and waits for its first ack.
    pub(crate) fn begin(dir: &Path, plan: &LoadPlan, run: &Run) -> Result<Load> {
        let ledger = dir.join("ledger.csv");
        let log = log_file(dir, "write-load")?;
        let stdout = create_new(&dir.join("load.csv"))?;
        let op_timeout = format!("{}us", plan.op_timeout.as_micros());
        let args = [
            "--cluster".as_ref(),
            plan.cluster_file.as_os_str(),
            "--ledger".as_ref(),
            ledger.as_os_str(),
            "--rate".as_ref(),
            plan.rate.as_ref(),
            "--clients".as_ref(),
            plan.clients.to_string().as_ref(),
            "--synchronous-commit".as_ref(),
            plan.synchronous_commit.as_ref(),
            "--op-timeout".as_ref(),
            op_timeout.as_ref(),
        ]
        .map(|arg: &std::ffi::OsStr| arg.to_owned());
        let mut program = Program::start("write-load", args, run, stdout, log)?;
        let file = until("write-load to make its ledger", BEGIN_DEADLINE, LOOK, || {
            Ok(match (trust::open_plain(&ledger), ended(&mut program, dir)?) {
                (Ok(file), _) => Attempt::Done(file),
                (Err(_), Some(why)) => Attempt::Never(anyhow!(why)),
                (Err(error), None) => Attempt::NotYet(format!("{error:#}")),
            })
        })?;
        let mut load = Load { program, op_timeout: plan.op_timeout, ledger: Growing::new(file) };
        load.wait("the first ack", BEGIN_DEADLINE, dir, |seen| seen.acks > 0)?;
        Ok(load)
    }

    /// Lets it run; fails if it ends by itself.
    pub(crate) fn run_for(&mut self, time: Duration, dir: &Path) -> Result<()> {
        let end = std::time::Instant::now() + time;
        while std::time::Instant::now() < end {
            program::stop::pause(LOOK.min(end.saturating_duration_since(std::time::Instant::now())))?;
            self.ledger.follow()?;
            if let Some(why) = ended(&mut self.program, dir)? {
                anyhow::bail!("{why}");
            }
        }
        Ok(())
    }

    /// Waits for the first ack on a timeline newer than `old`.
    pub(crate) fn wait_for_timeline(&mut self, old: u32, limit: Duration, dir: &Path) -> Result<()> {
        self.wait("the first ack on the new timeline", limit, dir, |seen| seen.newest_timeline > old)
    }

    /// Waits for an ack that came at `since_us` or later.
    pub(crate) fn wait_for_ack_since(&mut self, since_us: u64, limit: Duration, dir: &Path) -> Result<()> {
        self.wait("an ack of the primary that goes on", limit, dir, |seen| seen.last_ack_us >= since_us)
    }

    /// Every client has to be well anew.
    pub(crate) fn count_anew(&mut self) {
        self.ledger.seen.in_a_row.values_mut().for_each(|row| *row = 0);
    }

    /// The newest timeline that an ack came from.
    pub(crate) fn newest_timeline(&self) -> u32 {
        self.ledger.seen.newest_timeline
    }

    /// Waits until every client had five acks in a row on the newest timeline.
    pub(crate) fn wait_all_well(&mut self, limit: Duration, dir: &Path) -> Result<()> {
        self.wait("five acks in a row for every client", limit, dir, |seen| {
            seen.in_a_row.values().all(|row| *row >= ACKS_IN_A_ROW)
        })
    }

    /// Waits until a write was acknowledged since `since_us`, and within the last half of `allowed_us` microseconds: the other
    /// half is for what comes next.
    pub(crate) fn wait_flowing(&mut self, clock: Clock, since_us: u64, allowed_us: u64, dir: &Path) -> Result<()> {
        let limit = FLOW_DEADLINE + Duration::from_micros(allowed_us);
        self.wait("the load to flow (is its table locked?)", limit, dir, |seen| {
            seen.last_ack_us >= since_us && clock.now_us().saturating_sub(seen.last_ack_us) <= allowed_us / 2
        })
    }

    /// Whether it still runs.
    pub(crate) fn lives(&mut self) -> bool {
        matches!(self.program.ended(), Ok(None))
    }

    /// Asks it to finish normally and waits for it.
    pub(crate) fn end(&mut self) -> Result<()> {
        // It drains what is in flight (one time-out) and what is due (another).
        let status = self.program.finish(self.op_timeout * 2 + Duration::from_secs(5))?;
        ensure!(status.success(), "write-load ended with {status}: see log/write-load.log");
        Ok(())
    }

    fn wait(&mut self, what: &str, limit: Duration, dir: &Path, so: impl Fn(&Seen) -> bool) -> Result<()> {
        until(what, limit, LOOK, || {
            self.ledger.follow()?;
            let Seen { acks, newest_timeline, .. } = self.ledger.seen;
            let seen = || format!("{acks} acks, newest timeline {newest_timeline}");
            Ok(match (so(&self.ledger.seen), ended(&mut self.program, dir)?) {
                (true, _) => Attempt::Done(()),
                (false, Some(why)) => Attempt::Never(anyhow!(why)),
                (false, None) => Attempt::NotYet(seen()),
            })
        })
    }
}

impl Growing {
    fn new(file: File) -> Growing {
        Growing { reader: BufReader::new(file), line: String::new(), header_read: false, seen: Seen::default() }
    }

    /// Reads what the ledger has got since the last time, for a while: it may grow as fast as it is read, and deadlines and
    /// signals are looked at in between.
    fn follow(&mut self) -> Result<()> {
        let end = std::time::Instant::now() + FOLLOW;
        while std::time::Instant::now() < end && self.follow_lines(LINES)? {}
        Ok(())
    }

    /// Reads at most so many lines; says whether there may be more.
    fn follow_lines(&mut self, most: u32) -> Result<bool> {
        for _ in 0..most {
            if !self.follow_line()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn follow_line(&mut self) -> Result<bool> {
        if self.reader.read_line(&mut self.line).context("cannot read the ledger")? == 0 || !self.line.ends_with('\n') {
            return Ok(false); // the rest of the row comes next time
        }
        if self.header_read {
            self.seen.take(&self.line)?;
        }
        self.header_read = true;
        self.line.clear();
        Ok(true)
    }
}

impl Seen {
    fn take(&mut self, line: &str) -> Result<()> {
        let Some(row) = glance(line)? else { return Ok(()) };
        let Some(worker) = row.worker else { return Ok(()) };
        match row.event {
            Event::Acked | Event::AckedLocal => {
                let timeline = row.timeline.unwrap_or(0);
                if timeline > self.newest_timeline {
                    self.newest_timeline = timeline;
                    self.in_a_row.values_mut().for_each(|row| *row = 0);
                }
                self.acks += 1;
                self.last_ack_us = self.last_ack_us.max(row.at_us);
                let row = self.in_a_row.entry(worker).or_default();
                *row = if timeline == self.newest_timeline { *row + 1 } else { 0 };
            }
            Event::Failed | Event::Unknown | Event::ConnectFailed | Event::Disconnected => {
                self.in_a_row.entry(worker).and_modify(|row| *row = 0);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Why the load has ended, if it has.
fn ended(program: &mut Program, dir: &Path) -> Result<Option<String>> {
    let Some(status) = program.ended()? else { return Ok(None) };
    let log = trust::read_plain(&dir.join("log/write-load.log")).unwrap_or_default();
    Ok(Some(format!("write-load ended by itself ({status}): {}", log.trim())))
}

fn log_file(dir: &Path, name: &str) -> Result<File> {
    let logs = dir.join("log");
    std::fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    create_new(&logs.join(format!("{name}.log")))
}

fn create_new(path: &Path) -> Result<File> {
    File::create_new(path).with_context(|| format!("cannot make {}: nothing is ever overwritten", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(rows: &[&str]) -> Seen {
        let mut seen = Seen::default();
        rows.iter().for_each(|row| seen.take(&format!("r,{row}\n")).unwrap());
        seen
    }

    #[test]
    fn acks_in_a_row_are_counted_on_the_newest_timeline_and_end_with_a_failure() {
        let old = ["1,0,1,sent,,,,n,1", "2,0,1,acked,,,,n,1", "3,1,1,acked,,,,n,1", "4,0,2,acked,,,,n,1"];
        assert_eq!(seen(&old).in_a_row, [(0, 2), (1, 1)].into());
        let new = [&old[..], &["5,1,2,acked,,,,n,2"]].concat();
        assert_eq!(seen(&new).in_a_row, [(0, 0), (1, 1)].into(), "each has to be well on the new one");
        let late = [&new[..], &["6,1,3,acked,,,,n,1"]].concat();
        assert_eq!(seen(&late).in_a_row, [(0, 0), (1, 0)].into(), "an ack of the old primary");
        for failure in
            ["7,1,3,failed,,,,n,2", "7,1,3,unknown,,,,n,2", "7,1,,connect_failed,,,,n,", "7,1,,disconnected,,,,n,"]
        {
            let failed = seen(&[&new[..], &[failure]].concat());
            assert_eq!(failed.in_a_row, [(0, 0), (1, 0)].into(), "{failure}");
            assert_eq!((failed.acks, failed.newest_timeline, failed.last_ack_us), (4, 2, 5));
        }
    }

    #[test]
    fn half_a_row_is_read_once_the_rest_of_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.csv");
        let mut written = create_new(&path).unwrap();
        let mut ledger = Growing::new(File::open(&path).unwrap());
        let mut acks_after = |text: &str| {
            std::io::Write::write_all(&mut written, text.as_bytes()).unwrap();
            ledger.follow().unwrap();
            ledger.seen.acks
        };
        assert_eq!(acks_after("run,at_us,worker,seq,event,scheduled_us,latency_us,sqlstate,node,timeline\n"), 0);
        assert_eq!(acks_after("r,2,0,1,acked,,,,n,1"), 0, "its timeline may be 12");
        assert_eq!(acks_after("2\nr,3,0,2,ack"), 1);
        assert_eq!(acks_after("ed,,,,n,12\n"), 2);
        assert_eq!(ledger.seen.newest_timeline, 12);
    }

    /// Clients write their rows as they come.
    #[test]
    fn the_last_ack_is_the_latest_and_who_never_had_one_is_not_waited_for() {
        let seen = seen(&["9,0,1,acked,,,,n,1", "8,1,1,acked_local,,,,n,1", "9,2,,connect_failed,,,,n,"]);
        assert_eq!((seen.last_ack_us, seen.acks, seen.in_a_row), (9, 2, [(0, 1), (1, 1)].into()));
    }
}

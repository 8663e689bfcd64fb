//! What a run's folder holds of a drill, read back: plan, events, ledger and reads. The verdict follows from these files and
//! from nothing else, so each of them has to be what it was when the drill ended: see [`crate::seal`].

use std::io::Read;

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::event::{EventRow, Mark};
use crate::ledger::Ledger;
use crate::plan::PlanRow;
use crate::reads::{Present, ReadKind, ReadRow};
use crate::rows;
use crate::seal::Seal;

/// What was to be drilled.
pub const PLAN: &str = "plan.csv";
/// What happened.
pub const EVENTS: &str = "events.csv";
/// What the clients were told.
pub const LEDGER: &str = "ledger.csv";
/// What was there.
pub const READS: &str = "reads.csv";

/// The files that are sealed in `events.csv`, which then seals itself.
pub const SEALED: [&str; 3] = [PLAN, LEDGER, READS];

/// The evidence of one drill.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What was to be drilled.
    pub plan: PlanRow,
    /// What happened, in the order of the file.
    pub events: Vec<EventRow>,
    /// What the clients were told.
    pub ledger: Ledger,
    /// What reads of nodes found.
    pub reads: Vec<ReadRow>,
}

impl Evidence {
    /// Reads the files of a run; `open` opens one by its name.
    ///
    /// # Errors
    /// If one is not there, cannot be read, or is not what it was when the drill ended. No verdict can stand on such files.
    pub fn read<R: Read>(open: impl Fn(&str) -> Result<R>) -> Result<Evidence> {
        let events = sealed_events(open(EVENTS)?).context(EVENTS)?;
        for file in SEALED {
            check_seal(file, &events, &open).context(file)?;
        }
        let plan: Vec<PlanRow> = rows::read(open(PLAN)?).context(PLAN)?;
        let [plan] = <[PlanRow; 1]>::try_from(plan).map_err(|rows| anyhow!("{PLAN} has {} rows", rows.len()))?;
        let evidence = Evidence {
            events,
            ledger: Ledger::read(open(LEDGER)?).context(LEDGER)?,
            reads: rows::read(open(READS)?).context(READS)?,
            plan,
        };
        evidence.of_one_run()?;
        Ok(evidence)
    }

    /// Whether something happened.
    #[must_use]
    pub fn has(&self, mark: Mark) -> bool {
        self.events.iter().any(|event| event.mark == mark)
    }

    /// What the final read found; `None`: it was not done.
    ///
    /// # Errors
    /// If its rows cannot be, or are not as many as the event of it says.
    pub fn final_read(&self) -> Result<Option<Present>> {
        self.read_of(Mark::FinalReadDone, ReadKind::Final, None)
    }

    /// What was found in the old primary's data directory in a step; `None`: it was not read.
    ///
    /// # Errors
    /// As [`Evidence::final_read`].
    pub fn old_primary(&self, step: u32) -> Result<Option<Present>> {
        self.read_of(Mark::DivergentRead, ReadKind::OldPrimary, Some(step))
    }

    fn read_of(&self, done: Mark, read: ReadKind, step: Option<u32>) -> Result<Option<Present>> {
        let of = |other: Option<u32>| step.is_none() || other == step;
        let Some(event) = self.events.iter().find(|event| event.mark == done && of(event.step)) else {
            return Ok(None);
        };
        let found =
            Present::from_rows(self.reads.iter().filter(|row| row.read == read && of(row.step))).context(READS)?;
        let (told, len) = (event.count.unwrap_or_default(), found.len());
        ensure!(told == len as u64, "{READS} holds {len} writes of a read that found {told}");
        Ok(Some(found))
    }

    fn of_one_run(&self) -> Result<()> {
        let run = &self.plan.run;
        let of_events = self.events.iter().map(|row| (EVENTS, &row.run));
        let mut all = of_events.chain(self.reads.iter().map(|row| (READS, &row.run))).collect::<Vec<_>>();
        if !self.ledger.run.is_empty() {
            all.push((LEDGER, &self.ledger.run));
        }
        match all.into_iter().find(|(_, other)| *other != run) {
            Some((file, other)) => bail!("{file} is of run {other}, {PLAN} of run {run}"),
            None => Ok(()),
        }
    }
}

/// The events, up to the seal of their own file and with it. After it only `verdict` may come, which is no evidence.
fn sealed_events(mut input: impl Read) -> Result<Vec<EventRow>> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).context("cannot read it")?;
    ensure!(bytes.ends_with(b"\n"), "it is torn: its last line does not end");
    let (mut events, mut sealed) = (Vec::new(), false);
    let mut csv = csv::Reader::from_reader(&bytes[..]);
    let (header, mut record) = (csv.headers()?.clone(), csv::StringRecord::new());
    while csv.read_record(&mut record)? {
        let at = record.position().map_or(0, csv::Position::byte) as usize;
        let event: EventRow = record.deserialize(Some(&header))?;
        ensure!(!sealed || event.mark == Mark::Verdict, "after its seal there is `{}`", event.mark);
        if event.mark == Mark::Sealed && event.file.as_deref() == Some(EVENTS) {
            compare(&event, &Seal::of(&bytes[..at])?)?;
            sealed = true;
        }
        if event.mark != Mark::Verdict {
            events.push(event);
        }
    }
    ensure!(sealed, "it has no seal: the drill was not finished, could not write all of it, or is of an older version");
    Ok(events)
}

fn check_seal<R: Read>(file: &str, events: &[EventRow], open: impl Fn(&str) -> Result<R>) -> Result<()> {
    let mut seals = events.iter().filter(|event| event.mark == Mark::Sealed && event.file.as_deref() == Some(file));
    let seal = seals.next().with_context(|| format!("{EVENTS} has no seal of it"))?;
    compare(seal, &Seal::of(open(file)?)?)
}

fn compare(told: &EventRow, is: &Seal) -> Result<()> {
    let told = Seal { lines: told.count.unwrap_or_default(), md5: told.md5.clone().unwrap_or_default() };
    ensure!(told == *is, "it is not what it was when the drill ended: {told} then, {is} now");
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The files of a drill on paper that held: an ack every 10 ms, a kill at 500 ms, the first ack after it at 620 ms.
    pub(crate) struct Files(pub(crate) BTreeMap<&'static str, String>);

    impl Files {
        pub(crate) fn of_a_drill_that_held() -> Files {
            let mut ledger = "run,at_us,worker,seq,event,scheduled_us,latency_us,sqlstate,node,timeline\n".to_owned();
            let writes = (1..=49).map(|seq| (seq, 1)).chain((50..=99).map(|seq| (seq, 2)));
            for (seq, timeline) in writes {
                let at_us = seq * 10_000 + if timeline == 1 { 0 } else { 119_000 };
                ledger += &format!("r,{at_us},0,{seq},sent,,,,n,{timeline}\n");
                ledger += &format!("r,{},0,{seq},acked,,,,n,{timeline}\n", at_us + 1_000);
            }
            ledger += "r,1200000,,99,end,,,,,\n";
            let plan = "run,backend,pg_version,sync,standbys,clients,rate_per_s,op_timeout_us,max_lost\n\
                r,local,15.1,on,1,1,100,5000000,0\n";
            let reads = "run,read,node,step,worker,first_seq,last_seq,times,intact\n\
                r,old_primary,a,1,0,1,49,1,true\nr,final,b,1,0,1,99,1,true\n";
            let mut events = "run,at_us,mark,node,detail,step,fault,lsn,count,rejoin,file,md5\n".to_owned();
            for (at_us, mark, node, more) in [
                (450_000, "step_begun", "a", "1,kill,,,,,"),
                (500_000, "t0", "a", "1,,,,,,"),
                (505_000, "fault_proven", "a", "1,,,,,,"),
                (510_000, "chosen", "b", "1,,0/100,,,,"),
                (511_000, "promote_accepted", "b", "1,,,,,,"),
                (560_000, "t3", "b", "1,,,,,,"),
                (700_000, "fork_read", "b", "1,,0/100,,,,"),
                (701_000, "old_end_read", "a", "1,,0/180,,,,"),
                (720_000, "divergent_read", "a", "1,,,49,,,"),
                (730_000, "rejoin_begun", "a", "1,,,,,,"),
                (900_000, "t6", "a", "1,,,,,,"),
                (901_000, "rejoined", "a", "1,,,,rewind,,"),
                (1_150_000, "load_ending", "", "1,,,,,,"),
                (1_210_000, "primaries_counted", "", "1,,,1,,,"),
                (1_220_000, "final_read_done", "b", "1,,,99,,,"),
            ] {
                events += &format!("r,{at_us},{mark},{node},,{more}\n");
            }
            let files = [(PLAN, plan.to_owned()), (LEDGER, ledger), (READS, reads.to_owned()), (EVENTS, events)];
            let mut files = Files(files.into());
            for file in [PLAN, LEDGER, READS, EVENTS] {
                files.seal(file);
            }
            files
        }

        fn seal(&mut self, file: &str) {
            let Seal { lines, md5 } = Seal::of(self.0[file].as_bytes()).unwrap();
            *self.0.get_mut(EVENTS).unwrap() += &format!("r,1230000,sealed,,,1,,,{lines},,{file},{md5}\n");
        }

        pub(crate) fn read(&self) -> Result<Evidence> {
            Evidence::read(|name| self.0.get(name).map(String::as_bytes).with_context(|| format!("no {name}")))
        }

        fn with(mut self, file: &'static str, change: impl FnOnce(String) -> String) -> String {
            let text = self.0.remove(file).unwrap();
            self.0.insert(file, change(text));
            format!("{:#}", self.read().unwrap_err())
        }
    }

    #[test]
    fn whole_files_are_evidence_with_or_without_the_verdicts_after_them() {
        let mut files = Files::of_a_drill_that_held();
        let evidence = files.read().unwrap();
        assert_eq!((evidence.ledger.acks.len(), evidence.final_read().unwrap().unwrap().len()), (99, 99));
        assert_eq!(evidence.old_primary(1).unwrap().unwrap().len(), 49);
        assert!(evidence.old_primary(2).unwrap().is_none());
        *files.0.get_mut(EVENTS).unwrap() += "r,1240000,verdict,,unknown: why,1,,,,,,\n";
        assert_eq!(files.read().unwrap().events, evidence.events);
    }

    #[test]
    fn damaged_files_are_no_evidence_and_the_file_is_named() {
        let held = Files::of_a_drill_that_held;
        let said = held().with(LEDGER, |text| text.replace("r,11000,0,1,acked,,,,n,1\n", ""));
        assert!(said.starts_with("ledger.csv: it is not what it was when the drill ended: 200 lines with"), "{said}");
        let said = held().with(PLAN, |text| text.replace(",on,", ",async,"));
        assert!(said.starts_with("plan.csv: it is not what it was"), "{said}");
        let said = held().with(EVENTS, |text| text.replace("r,505000,fault_proven,a,,1,,,,,,\n", ""));
        assert!(said.starts_with("events.csv: it is not what it was"), "{said}");
        let said = held().with(EVENTS, |text| text.trim_end().to_owned());
        assert!(said.contains("it is torn"), "{said}");
        let said = held().with(EVENTS, |text| text.split_once("r,1230000").unwrap().0.to_owned());
        assert!(said.contains("it has no seal"), "{said}");
        let said = held().with(EVENTS, |text| text + "r,1240000,note,,,1,,,,,,\n");
        assert!(said.contains("after its seal there is `note`"), "{said}");
    }

    /// The files after a change, sealed anew.
    fn sealed_with(file: &'static str, change: impl FnOnce(&str) -> String) -> Files {
        let mut files = Files::of_a_drill_that_held();
        files.0.insert(file, change(&files.0[file]));
        let events = files.0[EVENTS].split_once("r,1230000").unwrap().0.to_owned();
        files.0.insert(EVENTS, events);
        for file in [PLAN, LEDGER, READS, EVENTS] {
            files.seal(file);
        }
        files
    }

    #[test]
    fn files_of_two_runs_are_no_evidence() {
        let files = sealed_with(READS, |text| text.replace("r,final", "q,final"));
        assert_eq!(files.read().unwrap_err().to_string(), "reads.csv is of run q, plan.csv of run r");
        let files = sealed_with(LEDGER, |text| text.replace("\nr,", "\nq,"));
        assert_eq!(files.read().unwrap_err().to_string(), "ledger.csv is of run q, plan.csv of run r");
    }

    #[test]
    fn a_read_holds_as_many_writes_as_the_event_of_it_says() {
        let evidence = sealed_with(EVENTS, |text| text.replace(",,99,,,\n", ",,98,,,\n")).read().unwrap();
        assert_eq!(evidence.final_read().unwrap_err().to_string(), "reads.csv holds 99 writes of a read that found 98");
    }
}

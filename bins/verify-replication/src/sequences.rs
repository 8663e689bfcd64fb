//! Sequences: their definitions, and where they stand.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use program::progress::Progress;
use report::verdict::Verdict;
use report::verify::VerifyRow;

use crate::causes::{Causes, with_hint};
use crate::node::{NodeSessions, Standby};
use crate::read_error::{ReadError, is_of_a_name};
use crate::reader::{Reader, column};
use crate::recheck::ended;
use crate::sequence_state::{Definition, Sequence, Wrong, compare as judge};
use crate::subject::Subject;
use crate::table::per_second;
use crate::tid::Xid;

/// How often a sequence that seems wrong is read again: it may be used, set back, or altered meanwhile.
const LOOKS: u32 = 20;

/// How often it must be wrong beside a primary that did not move, and never right: one that is set to and fro all the time
/// seems so at one look of four, at worst, and agrees at the others.
const PROOFS: u32 = 6;

/// The pause before a look is repeated, times the number of the look.
const PAUSE: Duration = Duration::from_millis(5);

/// What was found of one sequence on one standby.
#[derive(Clone, Debug)]
enum SequenceResult {
    Agrees,
    Wrong(Wrong, String),
    Corrupt(String),
    Unknown(String),
}

/// A sequence that is to be looked at again.
#[derive(Clone, Debug, Default)]
struct Open {
    proofs: u32,
    /// How often it could not be read because of damage. `ALTER SEQUENCE` gives it another file, and a read in that moment
    /// finds the file empty: no row, or no block where one should be.
    damaged: u32,
    /// Writers of what the standby showed that are known to have ended before the next look.
    ended: BTreeSet<Xid>,
}

/// Compares all sequences on all standbys: one row each, by standby. With them, those that were dropped meanwhile.
pub(crate) fn compare(
    primary: &mut NodeSessions,
    standbys: &mut [Standby],
    sequences: &[Subject],
    limit: Duration,
    run: &str,
    (causes, progress): (&mut Causes, &Progress),
) -> (Vec<VerifyRow>, BTreeSet<String>) {
    let (mut rows, mut dropped) = (Vec::new(), BTreeSet::new());
    for standby in standbys {
        let begun = Instant::now();
        let found = look(primary, standby, sequences, limit);
        let elapsed_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let (Err(why), Ok(_)) = (&found, &standby.node) {
            progress.warn(&format!("sequences on {}: {why}", standby.name));
        }
        for sequence in sequences {
            let found = found.as_ref().ok().and_then(|found| found.get(&sequence.oid));
            if matches!(found, Some(SequenceResult::Unknown(_))) && sequence.is_dropped(&primary.control) {
                dropped.insert(sequence.title());
                continue;
            }
            match found {
                Some(SequenceResult::Wrong(_, why) | SequenceResult::Corrupt(why)) => {
                    progress.warn(&format!("sequence {} on {}: {why}", sequence.title(), standby.name));
                }
                Some(SequenceResult::Unknown(why)) => {
                    for why in with_hint(vec![why.clone()], sequence, &primary.control) {
                        causes.add(why, &format!("sequence {}", sequence.title()), &standby.name);
                    }
                }
                Some(SequenceResult::Agrees) | None => {}
            }
            rows.push(row(run, sequence, &standby.name, found, elapsed_us));
        }
    }
    (rows, dropped)
}

/// What is found of each sequence on this standby.
fn look(
    primary: &mut NodeSessions,
    standby: &mut Standby,
    sequences: &[Subject],
    limit: Duration,
) -> Result<HashMap<u32, SequenceResult>, String> {
    let mut open: HashMap<u32, Open> = sequences.iter().map(|one| (one.oid, Open::default())).collect();
    let mut found = HashMap::new();
    for round in 1..=LOOKS {
        standby.node.as_ref().map_err(Clone::clone)?;
        let asked: Vec<&Subject> = sequences.iter().filter(|one| open.contains_key(&one.oid)).collect();
        // All that is read on the primary before the standby catches up must be on the standby after that.
        let mut first = read(primary.reader(), &asked).map_err(|error| error.to_string())?;
        standby.catch_up(primary, limit);
        let node = standby.node.as_mut().map_err(|why| why.clone())?;
        let mut on_standby = read(node.reader(), &asked).map_err(|error| error.to_string())?;
        let mut second = read(primary.reader(), &asked).map_err(|error| error.to_string())?;
        for one in asked {
            let reads = [&mut first, &mut on_standby, &mut second].map(|read| read.remove(&one.oid));
            let mut state = open.remove(&one.oid).unwrap_or_default();
            match weigh(&reads, &mut state, node.at_rest) {
                Some(done) => drop(found.insert(one.oid, done)),
                None if round == LOOKS => {
                    found.insert(one.oid, SequenceResult::Unknown(format!("still changing after {LOOKS} looks")));
                }
                None => {
                    let writers = reads[1].iter().flatten().flat_map(|on_standby| on_standby.writers).collect();
                    state.ended = ended(primary.reader(), &writers).map_err(|error| error.to_string())?;
                    open.insert(one.oid, state);
                }
            }
        }
        if open.is_empty() {
            break;
        }
        program::stop::pause(PAUSE * round).map_err(|error| error.to_string())?;
    }
    Ok(found)
}

/// What three reads of one sequence prove; `None`: it has to be looked at again.
fn weigh(reads: &[Option<Result<Sequence, ReadError>>; 3], open: &mut Open, at_rest: bool) -> Option<SequenceResult> {
    if let (true, [Some(Ok(_)), None, _]) = (at_rest, reads) {
        return Some(SequenceResult::Wrong(Wrong::Defined, "it is not there".to_owned()));
    }
    for read in reads {
        match read {
            Some(Err(error)) if error.is_damage() => {
                open.damaged += 1;
                let lasts = at_rest || open.damaged == LOOKS;
                return lasts.then(|| SequenceResult::Corrupt(error.to_string()));
            }
            // It was renamed since its definition was read.
            Some(Err(error)) if !at_rest && is_of_a_name(&error.to_string()) => return None,
            Some(Err(error)) => return Some(SequenceResult::Unknown(format!("it was not read: {error}"))),
            None => return Some(SequenceResult::Unknown("it was not read: it is not there".to_owned())),
            Some(Ok(_)) => {}
        }
    }
    let [Some(Ok(first)), Some(Ok(on_standby)), Some(Ok(second))] = reads else { return None };
    let Some(wrong) = judge(first, on_standby, second) else { return Some(SequenceResult::Agrees) };
    // Either of two copies at rest may have been ahead, as a standby.
    if at_rest && judge(on_standby, first, on_standby).is_none() {
        return Some(SequenceResult::Agrees);
    }
    // A change of its definition can be visible on the standby while its commit still waits on the primary.
    let settled = at_rest || on_standby.writers.iter().all(|writer| open.ended.contains(writer));
    open.proofs += u32::from(first == second && settled);
    (open.proofs >= PROOFS).then(|| SequenceResult::Wrong(wrong, words(wrong, second, on_standby)))
}

fn words(wrong: Wrong, on_primary: &Sequence, on_standby: &Sequence) -> String {
    match wrong {
        Wrong::Behind => format!("it is behind: {} there, {} here", on_standby.last, on_primary.last),
        Wrong::Elsewhere => format!(
            "it stands at {} there, at {} here: the WAL explains {} increments of {} ahead, and no more",
            on_standby.last,
            on_primary.last,
            if on_primary.called { on_primary.logged.clamp(0, 32) } else { 0 },
            on_primary.definition.increment
        ),
        Wrong::Defined => {
            format!("it is defined otherwise: {} there, {} here", on_standby.definition, on_primary.definition)
        }
    }
}

/// Reads sequences: definitions of all at once, positions one by one, since each is a relation of its own.
pub(crate) fn read(
    reader: &mut Reader,
    sequences: &[&Subject],
) -> Result<HashMap<u32, Result<Sequence, ReadError>>, ReadError> {
    let oids: Vec<u32> = sequences.iter().map(|one| one.oid).collect();
    let mut defined = HashMap::new();
    for row in reader.rows(cluster::sql!("verify_sequences"), &[&oids])? {
        let definition = Definition {
            start: column(&row, 1)?,
            increment: column(&row, 2)?,
            min: column(&row, 3)?,
            max: column(&row, 4)?,
            cache: column(&row, 5)?,
            cycle: column(&row, 6)?,
            kind: column(&row, 7)?,
        };
        let oid = column(&row, 0)?;
        let named = Subject { oid, schema: column(&row, 10)?, name: column(&row, 11)? };
        defined.insert(oid, (definition, [column(&row, 8)?, column(&row, 9)?], named));
    }
    let mut read = HashMap::new();
    for one in sequences {
        let Some((definition, writers, named)) = defined.remove(&one.oid) else { continue };
        let position = position(reader, &named);
        if position.is_err() && reader.is_closed() {
            return Err(position.err().unwrap_or_else(|| ReadError::Lost("its session is gone".to_owned())));
        }
        let sequence = |(last, logged, called)| Sequence { definition, writers, last, called, logged };
        read.insert(one.oid, position.map(sequence));
    }
    Ok(read)
}

/// Last value, how many are logged ahead, whether it was handed out.
fn position(reader: &mut Reader, sequence: &Subject) -> Result<(i64, i64, bool), ReadError> {
    let sql = format!("SELECT t.last_value, t.log_cnt, t.is_called FROM {}", sequence.rows());
    let rows = reader.rows(&sql, &[])?;
    let row = rows.first().ok_or_else(|| ReadError::Corrupt("a sequence without a row".to_owned()))?;
    Ok((column(row, 0)?, column(row, 1)?, column(row, 2)?))
}

fn row(run: &str, sequence: &Subject, standby: &str, found: Option<&SequenceResult>, elapsed_us: u64) -> VerifyRow {
    let (compared, verdict) = match found {
        Some(SequenceResult::Agrees) => (true, Verdict::Held),
        Some(SequenceResult::Wrong(..) | SequenceResult::Corrupt(_)) => (true, Verdict::Broken),
        Some(SequenceResult::Unknown(_)) | None => (false, Verdict::Unknown),
    };
    let count = |is: bool| compared.then_some(u64::from(is));
    VerifyRow {
        run: run.to_owned(),
        table: format!("sequence {}", sequence.title()),
        standby: standby.to_owned(),
        rows_primary: compared.then_some(1),
        rows_standby: compared.then_some(1),
        missing: count(matches!(found, Some(SequenceResult::Wrong(Wrong::Behind, _)))),
        extra: count(false),
        different: count(matches!(found, Some(SequenceResult::Wrong(Wrong::Elsewhere | Wrong::Defined, _)))),
        corrupt: count(matches!(found, Some(SequenceResult::Corrupt(_)))),
        chunks: 0,
        rechecked: 0,
        elapsed_us,
        rows_per_s: per_second(u64::from(compared), elapsed_us),
        verdict,
        descent: None,
        database: None,
        equal: None,
        indexes: None,
        index_faults: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: i64) -> Sequence {
        let (min, max) = (1, i64::MAX);
        let definition = Definition { kind: "bigint".into(), start: 1, increment: 1, min, max, cache: 1, cycle: false };
        Sequence { definition, writers: [Xid(2), Xid(2)], last, called: true, logged: 0 }
    }

    /// Looks at a sequence as long as that is open, with these three reads in turn.
    fn looked_at(all: impl Iterator<Item = [i64; 3]>) -> Option<SequenceResult> {
        let mut open = Open { ended: [Xid(2)].into(), ..Open::default() };
        all.take(LOOKS as usize).find_map(|reads| weigh(&reads.map(|last| Some(Ok(at(last)))), &mut open, false))
    }

    #[test]
    fn one_that_is_set_to_and_fro_is_not_wrong_for_looking_so_a_few_times() {
        let unlucky = [[1, 1_000, 1], [1_000, 1, 1_000], [1, 1_000, 1], [1_000, 1, 1_000], [1, 1, 1_000]];
        assert!(matches!(looked_at(unlucky.into_iter()), Some(SequenceResult::Agrees)));
    }

    #[test]
    fn one_that_is_elsewhere_is_wrong_whenever_the_primary_does_not_move() {
        let used = (1..).map(|n| if n % 3 == 0 { [n, 1_000, n + 1] } else { [n, 1_000, n] });
        assert!(matches!(looked_at(used), Some(SequenceResult::Wrong(Wrong::Elsewhere, _))));
    }
}

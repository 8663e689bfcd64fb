//! What verify-replication compared, what it named as not compared, and what it passed over in silence.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use report::verdict::Verdict;
use report::verify::VerifyRow;

/// A relation as the server's catalog has it.
#[derive(Debug)]
pub(super) struct Relation {
    kind: String,
    /// Schema and name, quoted where SQL wants it.
    title: String,
    indexes: Vec<String>,
}

/// How many things of a kind there are, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) relations: u64,
    /// Compared to an end: with a verdict.
    pub(super) compared: u64,
    /// Not compared to an end, and named.
    pub(super) named: u64,
    /// Neither.
    pub(super) silent: u64,
    /// Called broken, on a standby that is as it should be.
    pub(super) broken: u64,
}

impl Relation {
    /// A line of `relations.sql`.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn read(line: &str) -> Result<Relation> {
        let mut fields = line.split('\x1f').map(str::to_owned);
        let mut next = || fields.next().with_context(|| format!("not a line of relations.sql: {line:?}"));
        let (kind, title, indexes) = (next()?, next()?, next()?);
        let indexes = indexes.split('\x1e').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Ok(Relation { kind, title, indexes })
    }

    /// The row on it, if there is one.
    fn row<'a>(&self, rows: &'a [VerifyRow]) -> Option<&'a VerifyRow> {
        let name = if self.kind == "sequence" { format!("sequence {}", self.title) } else { self.title.clone() };
        rows.iter().find(|row| row.table == name)
    }
}

/// What became of each kind of relation, and of the indexes.
pub(super) fn tally<'a>(relations: &'a [Relation], rows: &[VerifyRow], said: &str) -> BTreeMap<&'a str, Tally> {
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for relation in relations {
        let row = relation.row(rows);
        let tally = tallies.entry(&relation.kind).or_default();
        tally.relations += 1;
        match row {
            Some(row) if row.verdict == Verdict::Broken => tally.broken += 1,
            Some(row) if row.verdict == Verdict::Held => tally.compared += 1,
            _ if tells_of(said, &relation.title) => tally.named += 1,
            _ => tally.silent += 1,
        }
        let tally = tallies.entry("index").or_default();
        let named = relation.indexes.iter().filter(|index| not_read(said, index)).count() as u64;
        let read = row.and_then(|row| row.indexes).unwrap_or(0);
        let there = relation.indexes.len() as u64;
        tally.relations += there;
        // Of a table that is named as not compared, or left out, the indexes are, too.
        let left_out = row.is_none_or(|row| row.verdict == Verdict::Unknown) && tells_of(said, &relation.title);
        let with_their_table = if read == 0 && left_out { there - named } else { 0 };
        tally.compared += read;
        tally.named += named + with_their_table;
        tally.silent += there.saturating_sub(read + named + with_their_table);
    }
    tallies
}

/// Whether a line says that this index was not read at all.
fn not_read(said: &str, index: &str) -> bool {
    said.lines().filter(|line| line.trim_start().starts_with("indexes not read:")).any(|line| tells_of(line, index))
}

/// Whether a text has this name, and not as a part of another one.
fn tells_of(text: &str, name: &str) -> bool {
    let of_a_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '"' | '.');
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + name.len()..].chars().next());
        !before.is_some_and(of_a_name) && !after.is_some_and(of_a_name)
    })
}

#[cfg(test)]
mod tests {
    use super::{Relation, Tally, tally, tells_of};

    const HEADER: &str = "run,table,standby,rows_primary,rows_standby,missing,extra,different,corrupt,chunks,rechecked,\
                          elapsed_us,rows_per_s,verdict,descent,database,equal,indexes,index_faults\n";

    #[test]
    fn a_relation_is_compared_or_named_or_passed_over_in_silence() {
        let lines = [
            "table\x1fa.compared\x1fa.one\x1ea.two\x1ea.three",
            "table\x1fa.named\x1fa.four",
            "table\x1fa.silent\x1f",
            "table\x1fa.unknown\x1f",
            "table\x1fa.broken\x1f",
            "sequence\x1fa.seq\x1f",
            "unlogged\x1fa.basket\x1fa.five",
        ];
        let relations: Vec<Relation> = lines.iter().map(|line| Relation::read(line).unwrap()).collect();
        let rows = "r,a.compared,n,2,2,0,0,0,0,1,0,1,1,held,streams,d,bytes,1,0\n\
                    r,a.named,n,,,,,,,0,0,1,0,unknown,streams,d,bytes,,\n\
                    r,a.unknown,n,2,2,0,0,0,0,1,0,1,1,unknown,streams,d,bytes,,\n\
                    r,a.broken,n,2,2,0,0,1,0,1,0,1,1,broken,streams,d,bytes,,\n\
                    r,sequence a.seq,n,1,1,0,0,0,0,0,0,1,1,held,streams,d,bytes,,\n";
        let rows = report::rows::read(format!("{HEADER}{rows}").as_bytes()).unwrap();
        let said =
            "warning: a.named on n: row security\n  indexes not read: a.two (why)\nnot compared: unlogged a.basket\n";
        let found = tally(&relations, &rows, said);
        let of = |relations, compared, named, silent, broken| Tally { relations, compared, named, silent, broken };
        assert_eq!(found["table"], of(5, 1, 1, 2, 1), "of a.unknown nobody says why");
        assert_eq!(found["sequence"], of(1, 1, 0, 0, 0));
        assert_eq!(found["unlogged"], of(1, 0, 1, 0, 0));
        assert_eq!(found["index"], of(5, 1, 3, 1, 0), "a.one or a.three was not read, and nobody says so");
    }

    #[test]
    fn a_name_is_no_part_of_another() {
        assert!(tells_of("not compared: a.b, c", "a.b"));
        assert!(!tells_of("a.bc a.b_c x.a.b \"a.b", "a.b"));
    }
}

//! A table on the primary and on one copy: rows are read by their places and compared with each other.

use std::collections::HashMap;

use super::judge::{Judge, Means, Texts, Verdict};
use super::shape::Shape;
use crate::details::{self, Seen};
use crate::difference::Place;
use crate::read_error::ReadError;
use crate::reader::Reader;
use crate::scan::at_once;
use crate::tid::Tid;

/// Columns that are asked for at once, of all rows of a batch.
const BATCH_COLUMNS: usize = 16_384;

/// The most rows of a batch.
const BATCH: usize = 500;

/// Bytes of rows whose values are asked for at once, on each side; a single row may have more.
const BATCH_BYTES: u64 = 1 << 20;

/// The reason if a row has changed or disappeared although nobody should write.
const CHANGED: &str = "it has changed since it was read: somebody writes, and --at-rest was promised not to be so";

/// One table on both sides.
pub(crate) struct Both<'a> {
    pub(crate) primary: &'a mut Reader,
    pub(crate) copy: &'a mut Reader,
    pub(crate) here: &'a Shape,
    pub(crate) there: &'a Shape,
    pub(crate) judge: &'a Judge,
}

/// Rows of one node by place.
type Rows<T> = HashMap<(u32, Tid), T>;

impl Both<'_> {
    /// How many rows to look at together.
    pub(crate) fn batch(&self) -> usize {
        (BATCH_COLUMNS / self.here.columns.len().max(1)).clamp(1, BATCH)
    }

    /// Which columns differ, of each pair of rows by their places on the primary and on the copy.
    pub(crate) fn compare(&mut self, pairs: &[(Place, Place)]) -> Result<Vec<Verdict>, ReadError> {
        let (here, there): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let [seen_here, seen_there] = self.hashes(&here, &there)?;
        let mut verdicts = vec![Verdict::Undecided(CHANGED.to_owned()); pairs.len()];
        // Pairs, the columns of each whose bytes differ, and how long the rows are.
        let mut open = Vec::new();
        for (n, (here, there)) in pairs.iter().enumerate() {
            let (Some(here), Some(there)) = (is_still(&seen_here, here), is_still(&seen_there, there)) else {
                continue;
            };
            let halves = here.columns.chunks(2).zip(there.columns.chunks(2)).enumerate();
            let differing: Vec<usize> = halves.filter(|(_, (a, b))| a != b).map(|(column, _)| column).collect();
            open.push((n, differing, here.bytes + there.bytes));
        }
        let mut rest = &open[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(few(rest.iter().map(|(_, _, bytes)| *bytes)));
            for ((n, ..), verdict) in now.iter().zip(self.values(pairs, now)?) {
                verdicts[*n] = verdict;
            }
            rest = later;
        }
        Ok(verdicts)
    }

    /// Compares the values of some pairs in the columns whose bytes differ.
    fn values(
        &mut self,
        pairs: &[(Place, Place)],
        open: &[(usize, Vec<usize>, u64)],
    ) -> Result<Vec<Verdict>, ReadError> {
        let wanted: Vec<usize> = open.iter().flat_map(|(_, differing, _)| differing).copied().collect();
        let (here, there): (Vec<_>, Vec<_>) = open.iter().map(|(n, ..)| pairs[*n]).unzip();
        let [texts_here, texts_there] = self.texts(&here, &there, &wanted)?;
        let (mut texts, mut asked, mut certain) = (Vec::new(), Vec::new(), Vec::new());
        for ((here, there), (_, differing, _)) in here.iter().zip(&there).zip(open) {
            // Of one name, a row may be in several pairs.
            let both = (texts_here.get(&at(here)).cloned(), texts_there.get(&at(there)).cloned());
            let (Some(here), Some(there)) = both else {
                // Both were there a moment ago.
                texts.push((Texts::new(), Texts::new()));
                asked.push(Vec::new());
                certain.push(Verdict::Undecided(CHANGED.to_owned()));
                continue;
            };
            // Equal texts are equal values. NULL is equal to nothing else, and if the text says all, nor is another text.
            let other = |n: &usize| here[*n] != there[*n];
            let open: Vec<usize> = differing.iter().copied().filter(other).collect();
            let by_text = |n: &usize| {
                here[*n].is_none()
                    || there[*n].is_none()
                    || matches!(self.judge.means(*n), Means::Text | Means::NoOperator)
            };
            let (sure, ask): (Vec<usize>, Vec<usize>) = open.into_iter().partition(by_text);
            let secret = ask.iter().find(|n| self.judge.means(**n) == Means::Unsafe).copied();
            certain.push(match secret {
                Some(n) if sure.is_empty() => Verdict::Undecided(self.calls(n)),
                _ => Verdict::Differ(sure),
            });
            asked.push(ask.into_iter().filter(|n| self.judge.means(*n) == Means::Operator).collect());
            texts.push((here, there));
        }
        let said = self.judge.equal(self.copy, &texts, &asked)?;
        Ok(certain.into_iter().zip(said).map(|(certain, said)| certain.and(said)).collect())
    }

    fn calls(&self, n: usize) -> String {
        let column = &self.here.columns[n];
        format!(
            "its {} has another text, and to parse that as {} would call functions of the database's users",
            column.name, column.kind
        )
    }

    /// Hashes of rows, column by column, on both nodes at once.
    fn hashes(&mut self, here: &[Place], there: &[Place]) -> Result<[Rows<Seen<i64>>; 2], ReadError> {
        let (primary, copy, one, two) = (&mut *self.primary, &mut *self.copy, self.here, self.there);
        let (here, there) = at_once(|| hashes(primary, one, here), || hashes(copy, two, there));
        Ok([here?, there?])
    }

    /// Texts of some columns of rows, NULL in place of the others, on both nodes at once.
    pub(crate) fn texts(
        &mut self,
        here: &[Place],
        there: &[Place],
        wanted: &[usize],
    ) -> Result<[Rows<Texts>; 2], ReadError> {
        let (primary, copy, one, two) = (&mut *self.primary, &mut *self.copy, self.here, self.there);
        let (here, there) = at_once(|| texts(primary, one, here, wanted), || texts(copy, two, there, wanted));
        Ok([here?, there?])
    }

    /// How many bytes each of these rows has on its node; 0 if it is not there any more.
    pub(crate) fn lengths(&mut self, here: &[Place], there: &[Place]) -> Result<[Rows<u64>; 2], ReadError> {
        let lengths = |rows: Rows<Seen<i64>>| rows.into_iter().map(|(at, seen)| (at, seen.bytes)).collect();
        Ok(self.hashes(here, there)?.map(lengths))
    }
}

/// Where a row lies.
pub(crate) fn at(place: &Place) -> (u32, Tid) {
    (place.part, place.ctid)
}

/// How many of the first rows of these lengths to ask for values at once: at least one.
pub(crate) fn few(lengths: impl Iterator<Item = u64>) -> usize {
    let mut bytes = 0;
    let fits = |length: &u64| {
        bytes += length;
        bytes <= BATCH_BYTES
    };
    lengths.take_while(fits).count().max(1)
}

fn is_still<'a>(rows: &'a Rows<Seen<i64>>, place: &Place) -> Option<&'a Seen<i64>> {
    rows.get(&at(place)).filter(|seen| seen.hash == place.hash)
}

/// Places by part.
fn by_part(places: &[Place]) -> HashMap<u32, Vec<Tid>> {
    let mut parts: HashMap<u32, Vec<Tid>> = HashMap::new();
    places.iter().for_each(|place| parts.entry(place.part).or_default().push(place.ctid));
    parts
}

fn hashes(reader: &mut Reader, shape: &Shape, places: &[Place]) -> Result<Rows<Seen<i64>>, ReadError> {
    let mut rows = HashMap::new();
    for (part, tids) in by_part(places) {
        let leaf = shape.leaf(part);
        let seen = details::read::<i64>(reader, &leaf.hashes_sql(), &tids)?;
        rows.extend(seen.into_iter().map(|(tid, seen)| ((part, tid), seen)));
    }
    Ok(rows)
}

fn texts(reader: &mut Reader, shape: &Shape, places: &[Place], wanted: &[usize]) -> Result<Rows<Texts>, ReadError> {
    let text = |n: usize| if wanted.contains(&n) { shape.columns[n].text() } else { "NULL".to_owned() };
    let columns: Vec<String> = (0..shape.columns.len()).map(text).collect();
    let columns = format!("ARRAY[{}]::text[]", columns.join(", "));
    let mut rows = HashMap::new();
    for (part, tids) in by_part(places) {
        let sql = shape.leaf(part).places_sql(&columns);
        let seen = details::read::<Option<String>>(reader, &sql, &tids)?;
        rows.extend(seen.into_iter().map(|(tid, seen)| ((part, tid), seen.columns)));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::few;

    #[test]
    fn a_long_row_comes_alone() {
        assert_eq!(few([1 << 30, 1].into_iter()), 1);
        assert_eq!(few([10, 20, 1 << 20].into_iter()), 2);
    }
}

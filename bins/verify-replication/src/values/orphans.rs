//! Rows that one node has and whose bytes, and key as text, the other one lacks. Their values may still be equal: 1.0 is 1.00.
//!
//! The copy's server gives each row a name: a hash by the types' own equality over its key, or without a key over the whole row.
//! So equal rows have the same name, and only rows of one name are compared with each other. Memory is bounded by the number of
//! rows with different bytes in one part of the names; a row that is there a million times takes no more than one.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use anyhow::{Context as _, Result};

use super::both::Both;
use super::columns;
use super::judge::Verdict;
use super::naming::Naming;
use super::told::{Differing, Told};
use crate::difference::{Difference, Place};
use crate::fingerprint::Fingerprint;
use crate::spool::Spool;

/// Memory of the list of all orphans, in bytes.
const LIST: usize = 256 << 10;

/// Parts of names at each level.
const PARTS: u64 = 64;

/// Memory of each part for what is not in its file yet, in bytes.
const PART_BUFFER: usize = 16 << 10;

/// The most different rows of one part: some ten megabytes.
const MOST: usize = 50_000;

/// How often a part with more rows is divided. A part that is still too large has few names.
const LEVELS: u32 = 3;

/// The most pairs of one name. Only values that no type can hash share a name (of money, two hundred values on each side).
const MOST_PAIRS: usize = 50_000;

/// Orphans of one table, of both sides.
pub(crate) struct Orphans {
    all: Spool,
    here: u64,
    there: u64,
}

/// A row with these bytes, on one side, and how often it is there.
struct Kind {
    /// How many of them are not matched or reported yet.
    open: u64,
    place: Place,
    key: Option<String>,
    /// How many of them have an equal row on the other side.
    equal: u64,
    /// What has the same key and differs in these columns.
    different: Vec<(Place, Vec<usize>)>,
    /// How often it is told of with one of the other side.
    paired: u64,
}

/// Name, whether it is the primary's, and bytes.
type Which = (u64, bool, Fingerprint);

impl Orphans {
    /// None yet.
    pub(crate) fn new() -> Orphans {
        Orphans { all: Spool::new(LIST), here: 0, there: 0 }
    }

    pub(crate) fn add(&mut self, row: &Difference) -> Result<()> {
        *if row.primary.is_some() { &mut self.here } else { &mut self.there } += 1;
        self.all.push(row)
    }

    /// Compares them with each other, and tells of those that differ.
    pub(crate) fn settle(mut self, both: &mut Both, told: &mut Told) -> Result<()> {
        if self.here == 0 || self.there == 0 {
            let mut batch = Vec::new();
            for row in self.all.read()? {
                batch.push((row?, Vec::new()));
                if batch.len() == both.batch() {
                    program::stop::check()?;
                    told.tell(both, &std::mem::take(&mut batch))?;
                }
            }
            return told.tell(both, &batch);
        }
        let (mut parts, mut naming, mut batch) = (Parts::new(0), Naming::new(both), Vec::new());
        for row in self.all.read()? {
            batch.push(row?);
            if batch.len() == both.batch() {
                program::stop::check()?;
                naming.name(both, &std::mem::take(&mut batch), told, &mut |name, row| parts.add(name, row))?;
            }
        }
        naming.name(both, &batch, told, &mut |name, row| parts.add(name, row))?;
        drop(self);
        parts.settle(both, told)
    }
}

/// Named orphans, parted by name.
struct Parts {
    level: u32,
    spools: Vec<Spool>,
}

impl Parts {
    fn new(level: u32) -> Parts {
        Parts { level, spools: (0..PARTS).map(|_| Spool::new(PART_BUFFER)).collect() }
    }

    /// Adds one. Its name is kept before its key.
    fn add(&mut self, name: u64, row: &Difference) -> Result<()> {
        let mut hasher = DefaultHasher::new();
        (self.level, name).hash(&mut hasher);
        let key = Some(format!("{name} {}", row.key.as_deref().unwrap_or_default()));
        self.spools[(hasher.finish() % PARTS) as usize].push(&Difference { key, ..row.clone() })
    }

    fn settle(self, both: &mut Both, told: &mut Told) -> Result<()> {
        for mut spool in self.spools {
            program::stop::check()?;
            if spool.count() > MOST as u64 && self.level + 1 < LEVELS {
                let mut inner = Parts::new(self.level + 1);
                for row in spool.read()? {
                    let (name, row) = split(row?, true)?;
                    inner.add(name, &row)?;
                }
                drop(spool); // its file before the next ones are made
                inner.settle(both, told)?;
            } else if spool.count() > 0 {
                settle_part(&mut spool, both, told)?;
            }
        }
        Ok(())
    }
}

/// The name of a row of a part, and the row as it was.
fn split(row: Difference, has_key: bool) -> Result<(u64, Difference)> {
    let text = row.key.unwrap_or_default();
    let (name, key) = text.split_once(' ').context("a row without a name")?;
    let name = name.parse().context("a row without a name")?;
    Ok((name, Difference { key: has_key.then(|| key.to_owned()), ..row }))
}

/// Compares the rows of a part that have one name, and tells of those that differ.
fn settle_part(spool: &mut Spool, both: &mut Both, told: &mut Told) -> Result<()> {
    let has_key = both.here.has_key();
    let mut kinds: HashMap<Which, Kind> = HashMap::new();
    let all = spool.count();
    for row in spool.read()? {
        let (name, row) = split(row?, has_key)?;
        let Some(place) = row.place() else { continue };
        if kinds.len() >= MOST && !kinds.contains_key(&(name, row.primary.is_some(), place.hash)) {
            told.undecided(all, "a part of them", TOO_MANY);
            return Ok(());
        }
        let new = || Kind { open: 0, place, key: row.key.clone(), equal: 0, different: Vec::new(), paired: 0 };
        kinds.entry((name, row.primary.is_some(), place.hash)).or_insert_with(new).open += 1;
    }
    match_kinds(&mut kinds, both, told)?;
    let mut batch: Vec<Differing> = Vec::new();
    for row in spool.read()? {
        let (name, row) = split(row?, has_key)?;
        let Some(place) = row.place() else { continue };
        let Some(kind) = kinds.get_mut(&(name, row.primary.is_some(), place.hash)) else { continue };
        if kind.equal > 0 {
            kind.equal -= 1;
        } else if kind.paired > 0 {
            kind.paired -= 1;
        } else if let Some((there, differing)) = kind.different.pop() {
            batch.push((Difference { standby: Some(there), ..row }, differing));
        } else if told.has_unnamed() {
            told.undecided(
                1,
                row.key.as_deref().unwrap_or("a row"),
                "it may be equal to a row that could not be named",
            );
        } else {
            batch.push((row, Vec::new()));
        }
        if batch.len() == both.batch() {
            told.tell(both, &std::mem::take(&mut batch))?;
        }
    }
    told.tell(both, &batch)
}

/// What is said where the server would have to compare each with each.
const TOO_MANY: &str = "too many rows differ in their bytes that nothing but the equality of their types tells apart";

/// Matches the rows of each name: what is equal, each as often as both sides have it; then what cannot be decided; then, of
/// rows with keys, what has the same key.
fn match_kinds(kinds: &mut HashMap<Which, Kind>, both: &mut Both, told: &mut Told) -> Result<()> {
    let mut names: BTreeMap<u64, [Vec<Fingerprint>; 2]> = BTreeMap::new();
    for (name, is_here, hash) in kinds.keys() {
        names.entry(*name).or_default()[usize::from(!is_here)].push(*hash);
    }
    let mut pairs: Vec<(Which, Which)> = Vec::new();
    for (name, [here, there]) in names {
        if here.len() * there.len() > MOST_PAIRS {
            for which in
                here.iter().map(|hash| (name, true, *hash)).chain(there.iter().map(|hash| (name, false, *hash)))
            {
                if let Some(kind) = kinds.get_mut(&which) {
                    told.undecided(kind.open, kind.key.as_deref().unwrap_or("a row"), TOO_MANY);
                    kind.paired = std::mem::take(&mut kind.open);
                }
            }
            continue;
        }
        let with_all = |one: &Fingerprint| {
            there.iter().map(|other| ((name, true, *one), (name, false, *other))).collect::<Vec<_>>()
        };
        pairs.extend(here.iter().flat_map(with_all));
        if pairs.len() >= both.batch() {
            match_pairs(&std::mem::take(&mut pairs), kinds, both, told)?;
        }
    }
    match_pairs(&pairs, kinds, both, told)
}

/// The same for all pairs of some names.
fn match_pairs(
    pairs: &[(Which, Which)],
    kinds: &mut HashMap<Which, Kind>,
    both: &mut Both,
    told: &mut Told,
) -> Result<()> {
    let mut others = Vec::new();
    for batch in pairs.chunks(both.batch()) {
        program::stop::check()?;
        let is_open = |(here, there): &&(Which, Which)| kinds[here].open.min(kinds[there].open) > 0;
        let batch: Vec<_> = batch.iter().filter(is_open).copied().collect();
        let places: Vec<(Place, Place)> = batch.iter().map(|(a, b)| (kinds[a].place, kinds[b].place)).collect();
        for ((here, there), verdict) in batch.iter().zip(both.compare(&places)?) {
            match verdict {
                Verdict::Differ(columns) if columns.is_empty() => {
                    let times = kinds[here].open.min(kinds[there].open);
                    for which in [here, there] {
                        if let Some(kind) = kinds.get_mut(which) {
                            kind.open -= times;
                            kind.equal += times;
                        }
                    }
                }
                verdict => others.push((*here, *there, verdict)),
            }
        }
    }
    let key = columns::key(&both.here.columns);
    others.sort_by_key(|(.., verdict)| matches!(verdict, Verdict::Differ(_)));
    for (here, there, verdict) in others {
        let times = kinds[&here].open.min(kinds[&there].open);
        let same_key = |columns: &[usize]| !key.is_empty() && key.iter().all(|n| !columns.contains(n));
        match verdict {
            _ if times == 0 => {}
            Verdict::Undecided(why) => {
                told.undecided(times, kinds[&here].key.as_deref().unwrap_or("a row"), &why);
                for which in [here, there] {
                    kinds.get_mut(&which).into_iter().for_each(|kind| pair(kind, times));
                }
            }
            Verdict::Differ(columns) if same_key(&columns) => {
                let place = kinds[&there].place;
                if let Some(kind) = kinds.get_mut(&here) {
                    kind.open -= 1;
                    kind.different.push((place, columns));
                }
                kinds.get_mut(&there).into_iter().for_each(|kind| pair(kind, 1));
            }
            Verdict::Differ(_) => {}
        }
    }
    Ok(())
}

/// Notes that some of these are told of otherwise.
fn pair(kind: &mut Kind, times: u64) {
    kind.open -= times;
    kind.paired += times;
}

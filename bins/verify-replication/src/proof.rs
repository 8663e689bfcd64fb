//! Which differences are proven by reading the primary, a standby that caught up, and the primary again. Pure: no server, no
//! clock.
//!
//! Two servers never show the same snapshot: a commit that waits for a standby is visible there and not yet on the
//! primary, and rows change between two reads. So a difference counts only if nothing but a defect can explain it:
//!
//! - *missing*: the same version on the primary before and after, and nobody could have deleted it meanwhile;
//! - *different*: the same version on the primary before and after, with another content on the standby;
//! - *extra*: on the standby, absent on the primary before and after, and its writer was known to run no longer before
//!   the first read.
//!
//! Every other row has to be read again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use crate::fingerprint::Fingerprint;
use crate::tid::{Tid, Xid};

/// One version of a row, as one node shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    /// Where it lies.
    pub(crate) ctid: Tid,
    /// Who wrote it.
    pub(crate) xmin: Xid,
    /// Who deleted, updated or locked it, or tried to.
    pub(crate) xmax: Xid,
    /// Its primary key as text; `None` if the table has none.
    pub(crate) key: Option<String>,
    /// The fingerprint of its content.
    pub(crate) hash: Fingerprint,
}

impl Version {
    fn name(&self) -> Name<'_> {
        self.key.as_deref().map_or(Name::Place(self.ctid), Name::Key)
    }

    fn content(&self) -> Content {
        (self.ctid, self.xmin, self.hash)
    }

    fn is_version(&self, other: &Version) -> bool {
        (self.ctid, self.xmin) == (other.ctid, other.xmin)
    }
}

/// What a row is called from one read to the next: its key; without one, its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Name<'a> {
    Key(&'a str),
    Place(Tid),
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Key(key) => f.write_str(key),
            Name::Place(ctid) => write!(f, "ctid {ctid}"),
        }
    }
}

/// Three reads of the same blocks, in this order; the standby caught up between the first and the second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    pub(crate) primary_before: Vec<Version>,
    /// The standby, once it had caught up.
    pub(crate) standby: Vec<Version>,
    /// The primary again.
    pub(crate) primary_after: Vec<Version>,
}

/// A version as it was shown: two reads of one version have this in common. Locks (`xmax`) come and go.
pub(crate) type Content = (Tid, Xid, Fingerprint);

/// The transactions known to have ended before the first read.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndedXids {
    /// Writers of rows.
    pub(crate) xmin: HashSet<Xid>,
    /// Deleters and lockers of rows, with all members where the id may be a multixact's.
    pub(crate) xmax: HashSet<Xid>,
    /// What the standby showed at an earlier look. `None`: that need not be known. Of text only if all transactions that ran on the
    /// primary then have ended: it may hold names from other tables (roles in an `aclitem`), and a transaction whose commit still
    /// waits may have changed those.
    pub(crate) shown: Option<HashSet<Content>>,
}

/// The differences that three reads proved, and the rows that have to be read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Differences {
    /// Rows of the primary that the standby lacks.
    pub(crate) missing: Vec<Version>,
    /// Rows of the standby that the primary lacks.
    pub(crate) extra: Vec<Version>,
    /// Rows of another content on the standby.
    pub(crate) different: Vec<Version>,
    /// What the standby shows of each row in `different`.
    pub(crate) shown: Vec<Fingerprint>,
    /// Names of rows that have to be read again.
    pub(crate) again: BTreeSet<String>,
    /// Writers of some of these rows: if they have ended, the difference is proven.
    pub(crate) ask_xmin: BTreeSet<Xid>,
    /// Deleters and lockers, likewise.
    pub(crate) ask_xmax: BTreeSet<Xid>,
    /// What the standby shows of some of these rows: it is proven when all transactions that run now have ended.
    pub(crate) ask_shown: BTreeSet<Content>,
}

/// The one of these that is the same version as `like`.
fn find<'v>(versions: &[&'v Version], like: &Version) -> Option<&'v Version> {
    versions.iter().find(|version| version.is_version(like)).copied()
}

/// All versions of one row in three reads.
#[derive(Default)]
struct Group<'a> {
    primary_before: Vec<&'a Version>,
    standby: Vec<&'a Version>,
    primary_after: Vec<&'a Version>,
}

/// What three reads prove. With `only`, just for the rows of these names: the others agreed at an earlier look.
#[must_use]
pub(crate) fn judge(reads: &Reads, only: Option<&BTreeSet<String>>, ended: &EndedXids) -> Differences {
    let mut differences = Differences::default();
    for (name, group) in open_groups(reads, only) {
        if group.agrees() {
            continue;
        }
        let mut part = Differences::default();
        if group.judge(ended, &mut part) {
            differences.missing.append(&mut part.missing);
            differences.extra.append(&mut part.extra);
            differences.different.append(&mut part.different);
            differences.shown.append(&mut part.shown);
        } else {
            differences.again.insert(name.to_string());
            differences.ask_xmin.append(&mut part.ask_xmin);
            differences.ask_xmax.append(&mut part.ask_xmax);
            differences.ask_shown.append(&mut part.ask_shown);
        }
    }
    differences
}

/// The rows that the standby does not show exactly as the first read did. Most do, so only the others are grouped.
fn open_groups<'a>(reads: &'a Reads, only: Option<&BTreeSet<String>>) -> HashMap<Name<'a>, Group<'a>> {
    let content = |versions: &[Version]| versions.iter().map(Version::content).collect::<HashSet<_>>();
    let (primary_before, standby) = (content(&reads.primary_before), content(&reads.standby));
    let odd = |version: &&Version, other: &HashSet<_>| !other.contains(&version.content());
    let odd_ones = reads
        .primary_before
        .iter()
        .filter(|v| odd(v, &standby))
        .chain(reads.standby.iter().filter(|v| odd(v, &primary_before)));
    let mut groups: HashMap<Name, Group> = odd_ones
        .map(Version::name)
        .filter(|name| only.is_none_or(|only| only.contains(&name.to_string())))
        .map(|name| (name, Group::default()))
        .collect();
    if groups.is_empty() {
        return groups;
    }
    for (versions, side) in [
        (
            &reads.primary_before,
            (|group| &mut group.primary_before) as for<'g> fn(&'g mut Group<'a>) -> &'g mut Vec<&'a Version>,
        ),
        (&reads.standby, |group| &mut group.standby),
        (&reads.primary_after, |group| &mut group.primary_after),
    ] {
        for version in versions {
            if let Some(group) = groups.get_mut(&version.name()) {
                side(group).push(version);
            }
        }
    }
    groups
}

impl Group<'_> {
    /// Whether the standby showed this row as the primary did in one of its reads, or neither showed it at all.
    fn agrees(&self) -> bool {
        let set = |versions: &[&Version]| versions.iter().map(|v| v.content()).collect::<BTreeSet<_>>();
        let standby = set(&self.standby);
        standby == set(&self.primary_before) || standby == set(&self.primary_after)
    }

    /// Fills in what is proven. False if some of this row is not: then what has to be asked is filled in.
    fn judge(&self, ended: &EndedXids, differences: &mut Differences) -> bool {
        let mut sure = true;
        for before in &self.primary_before {
            let (after, on_standby) = (find(&self.primary_after, before), find(&self.standby, before));
            match (after, on_standby) {
                (Some(after), _) if after.hash != before.hash => sure = false, // the table itself was altered
                (Some(_), Some(on_standby)) if on_standby.hash != before.hash => {
                    if ended.shown.as_ref().is_none_or(|shown| shown.contains(&on_standby.content())) {
                        differences.different.push((*before).clone());
                        differences.shown.push(on_standby.hash);
                    } else {
                        differences.ask_shown.insert(on_standby.content());
                        sure = false;
                    }
                }
                (_, Some(on_standby)) => sure &= on_standby.hash == before.hash,
                // A delete can be visible on the standby while its commit still waits on the primary: then xmax is set.
                (Some(after), None) if after.xmax == Xid::NONE => differences.missing.push((*before).clone()),
                (Some(after), None) if after.xmax == before.xmax && ended.xmax.contains(&after.xmax) => {
                    differences.missing.push((*before).clone());
                }
                (Some(after), None) => {
                    differences.ask_xmax.insert(after.xmax);
                    sure = false;
                }
                (None, None) => sure = false,
            }
        }
        for on_standby in &self.standby {
            let (before, after) = (find(&self.primary_before, on_standby), find(&self.primary_after, on_standby));
            match (before, after) {
                (None, None) if ended.xmin.contains(&on_standby.xmin) => differences.extra.push((*on_standby).clone()),
                (None, None) => {
                    differences.ask_xmin.insert(on_standby.xmin);
                    sure = false;
                }
                (None, Some(after)) => sure &= after.hash == on_standby.hash,
                (Some(_), _) => {} // judged above
            }
        }
        sure
    }
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;

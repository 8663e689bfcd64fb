//! What is proven by reading the primary, a standby that caught up, and the primary again. Pure: no server, no clock.
//!
//! Two servers never show the same snapshot: a commit that waits for a standby is visible there and not yet on the
//! primary, and rows change between two reads. So a difference counts only if nothing but a defect can explain it:
//!
//! - *missing*: the same version on the primary before and after, and nobody could have deleted it meanwhile;
//! - *different*: the same version on the primary before and after, with another content on the standby;
//! - *extra*: on the standby, absent on the primary before and after, and its writer was known to run no longer before
//!   the first read.
//!
//! Everything else is to be looked at again.

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
    /// The primary.
    pub(crate) first: Vec<Version>,
    /// The standby, once it had caught up.
    pub(crate) standby: Vec<Version>,
    /// The primary again.
    pub(crate) second: Vec<Version>,
}

/// A version as it was shown: two reads of one version have this in common. Locks (`xmax`) come and go.
pub(crate) type Content = (Tid, Xid, Fingerprint);

/// What is known to have ended before the first read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settled {
    /// Writers of rows.
    pub(crate) xmin: HashSet<Xid>,
    /// Deleters and lockers of rows, with all members where the id may be a multixact's.
    pub(crate) xmax: HashSet<Xid>,
    /// What the standby showed at an earlier look, with nobody running any more on the primary who ran then. `None`: that
    /// need not be known, since the content of a version is in its own bytes. Text may hold names from other tables (roles
    /// in an `aclitem`), which somebody else can change whose commit still waits.
    pub(crate) shown: Option<HashSet<Content>>,
}

/// What three reads showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Rows of the primary that the standby lacks.
    pub(crate) missing: Vec<Version>,
    /// Rows of the standby that the primary lacks.
    pub(crate) extra: Vec<Version>,
    /// Rows of another content on the standby.
    pub(crate) different: Vec<Version>,
    /// What the standby shows of each of those.
    pub(crate) shown: Vec<Fingerprint>,
    /// Names of rows to look at again.
    pub(crate) again: BTreeSet<String>,
    /// Writers whose end would settle some of those.
    pub(crate) ask_xmin: BTreeSet<Xid>,
    /// Deleters and lockers whose end would settle some of those.
    pub(crate) ask_xmax: BTreeSet<Xid>,
    /// What the standby shows of some of those, which the end of all who run now would settle.
    pub(crate) ask_shown: BTreeSet<Content>,
}

/// The one of these that is the same version as another one.
fn find<'v>(versions: &[&'v Version], like: &Version) -> Option<&'v Version> {
    versions.iter().find(|version| version.is_version(like)).copied()
}

/// All versions of one row in three reads.
#[derive(Default)]
struct Group<'a> {
    first: Vec<&'a Version>,
    standby: Vec<&'a Version>,
    second: Vec<&'a Version>,
}

/// Judges three reads. With `only`, just the rows of these names: the others agreed at an earlier look.
#[must_use]
pub(crate) fn judge(reads: &Reads, only: Option<&BTreeSet<String>>, settled: &Settled) -> Look {
    let mut look = Look::default();
    for (name, group) in open_groups(reads, only) {
        if group.agrees() {
            continue;
        }
        let mut part = Look::default();
        if group.judge(settled, &mut part) {
            look.missing.append(&mut part.missing);
            look.extra.append(&mut part.extra);
            look.different.append(&mut part.different);
            look.shown.append(&mut part.shown);
        } else {
            look.again.insert(name.to_string());
            look.ask_xmin.append(&mut part.ask_xmin);
            look.ask_xmax.append(&mut part.ask_xmax);
            look.ask_shown.append(&mut part.ask_shown);
        }
    }
    look
}

/// The rows that the standby does not show exactly as the first read did. Most do, so only the others are grouped.
fn open_groups<'a>(reads: &'a Reads, only: Option<&BTreeSet<String>>) -> HashMap<Name<'a>, Group<'a>> {
    let content = |versions: &[Version]| versions.iter().map(Version::content).collect::<HashSet<_>>();
    let (first, standby) = (content(&reads.first), content(&reads.standby));
    let odd = |version: &&Version, other: &HashSet<_>| !other.contains(&version.content());
    let odd_ones =
        reads.first.iter().filter(|v| odd(v, &standby)).chain(reads.standby.iter().filter(|v| odd(v, &first)));
    let mut groups: HashMap<Name, Group> = odd_ones
        .map(Version::name)
        .filter(|name| only.is_none_or(|only| only.contains(&name.to_string())))
        .map(|name| (name, Group::default()))
        .collect();
    if groups.is_empty() {
        return groups;
    }
    for (versions, side) in [
        (&reads.first, (|group| &mut group.first) as for<'g> fn(&'g mut Group<'a>) -> &'g mut Vec<&'a Version>),
        (&reads.standby, |group| &mut group.standby),
        (&reads.second, |group| &mut group.second),
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
    /// Whether the standby showed this row as the primary did in one of its reads; both not at all counts too.
    fn agrees(&self) -> bool {
        let set = |versions: &[&Version]| versions.iter().map(|v| v.content()).collect::<BTreeSet<_>>();
        let standby = set(&self.standby);
        standby == set(&self.first) || standby == set(&self.second)
    }

    /// Fills in what is proven; false if anything of this row is not, and then what to ask.
    fn judge(&self, settled: &Settled, look: &mut Look) -> bool {
        let mut sure = true;
        for before in &self.first {
            let (after, there) = (find(&self.second, before), find(&self.standby, before));
            match (after, there) {
                (Some(after), _) if after.hash != before.hash => sure = false, // the table itself was altered
                (Some(_), Some(there)) if there.hash != before.hash => {
                    if settled.shown.as_ref().is_none_or(|shown| shown.contains(&there.content())) {
                        look.different.push((*before).clone());
                        look.shown.push(there.hash);
                    } else {
                        look.ask_shown.insert(there.content());
                        sure = false;
                    }
                }
                (_, Some(there)) => sure &= there.hash == before.hash,
                // A delete can be visible on the standby while it still waits here: then xmax is set.
                (Some(after), None) if after.xmax == Xid::NONE => look.missing.push((*before).clone()),
                (Some(after), None) if after.xmax == before.xmax && settled.xmax.contains(&after.xmax) => {
                    look.missing.push((*before).clone());
                }
                (Some(after), None) => {
                    look.ask_xmax.insert(after.xmax);
                    sure = false;
                }
                (None, None) => sure = false,
            }
        }
        for there in &self.standby {
            let (before, after) = (find(&self.first, there), find(&self.second, there));
            match (before, after) {
                (None, None) if settled.xmin.contains(&there.xmin) => look.extra.push((*there).clone()),
                (None, None) => {
                    look.ask_xmin.insert(there.xmin);
                    sure = false;
                }
                (None, Some(after)) => sure &= after.hash == there.hash,
                (Some(_), _) => {} // judged above
            }
        }
        sure
    }
}

#[cfg(test)]
#[path = "localise_tests.rs"]
mod tests;

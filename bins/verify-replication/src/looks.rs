//! A table that is rewritten, altered or renamed while it is compared is compared again, with its layout read again.
//!
//! A rewrite (CLUSTER, VACUUM FULL, ALTER TABLE) moves rows and keeps their writers: the rows of a place or a chunk can be
//! compared only as long as both nodes have the table in the same file.

use std::time::{Duration, Instant};

use program::progress::Progress;

use crate::at_rest::otherwise;
use crate::changed::Changed;
use crate::layout::Layout;
use crate::node::{NodeSessions, Standby};
use crate::subject::Subject;
use crate::table::{self, Finding, Options};
use crate::types::Types;

/// How often a table is looked at.
const LOOKS: u32 = 20;

/// After this long no more looks are begun, but for the first few: a table of which each takes a minute is looked at for no hour.
const TIME: Duration = Duration::from_secs(120);

/// The first few.
const FEW: u32 = 3;

/// The pause before another look, times the number of looks so far.
const PAUSE: Duration = Duration::from_millis(10);

/// Compares one table on all standbys: again and again until it did not change meanwhile, with a bound. A standby that is
/// gone is reported elsewhere, once and not for each table.
pub(crate) fn compare(
    primary: &mut NodeSessions,
    standbys: &mut [Standby],
    table: &Subject,
    types: &mut Types,
    options: Options,
    progress: &Progress,
) -> Vec<Finding> {
    if primary.is_gone() || standbys.iter().all(|standby| standby.node.is_err()) {
        return standbys.iter().map(|_| Finding::unread(None)).collect();
    }
    let mut findings: Vec<Option<Finding>> = standbys.iter().map(|_| None).collect();
    let mut changed = vec![None; standbys.len()];
    let (most, begun, mut looks) = (if primary.at_rest { 1 } else { LOOKS }, Instant::now(), 0);
    for look in 0..most {
        if program::stop::pause(PAUSE * look).is_err() || look >= FEW && begun.elapsed() > TIME {
            break;
        }
        looks = look + 1;
        if look > 0 {
            *types = types.anew();
            // The change has to arrive at each standby before the table can be the same there, also at a slow one.
            standbys.iter_mut().for_each(|standby| standby.catch_up(primary, options.limits.catch_up));
        }
        let new = match Layout::read(primary.reader(), table, types) {
            Ok(layout) => table::compare(primary, standbys, &layout, options, progress),
            Err(_) if primary.is_gone() => standbys.iter().map(|_| Finding::unread(None)).collect(),
            Err(error) => standbys.iter().map(|_| Finding::unread(Some(error.to_string()))).collect(),
        };
        for ((finding, new), changed) in findings.iter_mut().zip(new).zip(&mut changed) {
            match new.changed() {
                Some(Changed::Here) => *changed = Some(Changed::Here),
                Some(Changed::There) => *changed = changed.or(Some(Changed::There)),
                None => *finding = finding.take().or(Some(new)),
            }
        }
        if findings.iter().all(Option::is_some) {
            break;
        }
    }
    let waiting = if findings.iter().any(Option::is_none) { primary.waiting.now(&primary.control) } else { None };
    let waiting = waiting.map(|commits| format!("; {commits}")).unwrap_or_default();
    let given_up = |changed: Option<Changed>| Finding::unread(Some(why(changed, looks) + &waiting));
    let findings =
        findings.into_iter().zip(changed).map(|(finding, changed)| finding.unwrap_or_else(|| given_up(changed)));
    findings.zip(standbys).map(|(finding, standby)| at_rest(finding, table, primary, standby)).collect()
}

/// The same finding, or how a copy at rest has the table otherwise.
fn at_rest(finding: Finding, table: &Subject, primary: &mut NodeSessions, standby: &mut Standby) -> Finding {
    match &mut standby.node {
        Ok(copy) if copy.at_rest && finding.is_unknown() => match otherwise(table, primary, copy) {
            Some(otherwise) => finding.with_otherwise(otherwise),
            None => finding,
        },
        _ => finding,
    }
}

/// Why a table was given up.
fn why(changed: Option<Changed>, looks: u32) -> String {
    match changed {
        Some(Changed::There) if looks == 1 => "it has other columns than on the primary".to_owned(),
        Some(Changed::There) => format!("it has another file or other columns than on the primary, at {looks} looks"),
        _ => format!("still changing after {looks} looks: it is rewritten, altered or renamed meanwhile"),
    }
}

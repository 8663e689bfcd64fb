//! Which node is primary, or is to be started as primary: never a second one, never one of an older timeline.

use anyhow::{Result, bail, ensure};

/// A node that has data, as set-up finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// The newest timeline that it knows of.
    pub timeline: u32,
    /// Its data are those of a standby: started, it would go into recovery and stay there.
    pub is_standby: bool,
    /// It runs, and is out of recovery.
    pub writes: bool,
}

/// The node that is primary, or that is to be started as primary; `None` if nobody has data. `promote` is how to
/// promote a node by hand.
///
/// # Errors
/// If there are two, or none that may be: what to do by hand.
pub fn choose(found: &[Found], promote: &str) -> Result<Option<String>> {
    let Some(newest) = found.iter().map(|node| node.timeline).max() else { return Ok(None) };
    let writing: Vec<&Found> = found.iter().filter(|node| node.writes).collect();
    match writing[..] {
        [] => choose_stopped(found, newest, promote).map(Some),
        [Found { name, timeline, .. }] => {
            ensure!(
                *timeline == newest,
                "{name} is out of recovery, but another node knows timeline {newest}, which is newer: {name} was started \
                 by hand after a takeover; stop it, then run setup again"
            );
            Ok(Some(name.clone()))
        }
        _ => bail!("{} are all out of recovery: stop the wrong ones, then run setup again", names(&writing)),
    }
}

fn choose_stopped(found: &[Found], newest: u32, promote: &str) -> Result<String> {
    let could_be: Vec<&Found> = found.iter().filter(|node| !node.is_standby && node.timeline == newest).collect();
    match could_be[..] {
        [one] => Ok(one.name.clone()),
        [] => bail!(
            "no node was primary on timeline {newest}, the newest here: promote one of the standbys ({promote}), then run \
             setup again"
        ),
        _ => bail!(
            "{} were all primary on timeline {newest}: start the one to keep by hand, then run setup again",
            names(&could_be)
        ),
    }
}

fn names(nodes: &[&Found]) -> String {
    nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name timeline` and words for what else it is.
    fn chosen(nodes: &[&str]) -> Result<Option<String>> {
        let found: Vec<Found> = nodes
            .iter()
            .map(|node| {
                let words: Vec<&str> = node.split(' ').collect();
                let (is_standby, writes) = (words.contains(&"standby"), words.contains(&"writes"));
                Found { name: words[0].to_owned(), timeline: words[1].parse().unwrap(), is_standby, writes }
            })
            .collect();
        choose(&found, "pg_ctl promote")
    }

    fn is(nodes: &[&str], primary: &str) {
        assert_eq!(chosen(nodes).unwrap().as_deref(), Some(primary), "{nodes:?}");
    }

    fn refused(nodes: &[&str], reason: &str) {
        let said = chosen(nodes).unwrap_err().to_string();
        assert!(said.contains(reason), "{nodes:?}: {said}");
    }

    #[test]
    fn who_writes_is_primary_unless_it_was_overtaken_or_is_not_alone() {
        assert_eq!(chosen(&[]).unwrap(), None);
        is(&["a 1 writes", "b 1 standby"], "a");
        is(&["a 1", "b 2 writes"], "b");
        refused(&["a 1 writes", "b 2 standby"], "timeline 2, which is newer");
        refused(&["a 1 writes", "b 2"], "timeline 2, which is newer");
        refused(&["a 2 writes", "b 2 writes"], "a and b are all out of recovery");
    }

    #[test]
    fn where_nobody_writes_only_the_last_primary_may_be_started() {
        is(&["a 1", "b 1 standby"], "a");
        is(&["a 1", "b 2", "c 2 standby"], "b");
        refused(&["a 1", "b 2 standby"], "no node was primary on timeline 2");
        refused(&["a 1 standby"], "pg_ctl promote");
        refused(&["a 2", "b 2"], "a and b were all primary on timeline 2");
    }
}

//! Which standby takes over: of those that answer, the one with the most WAL.
//!
//! All are asked at the same time. One that says nothing may be silent for ever, and no client can write meanwhile: once
//! another one has told, it is asked no further question. Who answers and still receives is waited for, or somebody with less
//! WAL would be chosen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Error, Result};
use cluster::wait::{Attempt, until};
use report::lsn::Lsn;

/// Time for one question to a standby. One that is well answers within a millisecond, and on a machine that is busy with a
/// takeover within some hundred; less than this would leave out, once in a while, the one that has the most.
pub(crate) const SILENT: Duration = Duration::from_secs(2);

/// How often a standby is asked.
const ASK_EVERY: Duration = Duration::from_micros(500);

/// What the standbys are asked, all of them.
pub(crate) struct Asking {
    limit: Duration,
    /// One of them has told how much it has, so somebody can take over.
    told: AtomicBool,
}

impl Asking {
    /// Each is asked for no longer than `limit`.
    pub(crate) fn new(limit: Duration) -> Asking {
        Asking { limit, told: AtomicBool::new(false) }
    }

    /// Asks a standby until it has told how much WAL it has. `ask` is one question, which has a deadline of its own; `None`: it
    /// receives still, and may get more.
    ///
    /// # Errors
    /// That it did not tell in time, or gave no answer when another one had.
    pub(crate) fn until_told(&self, standby: &str, mut ask: impl FnMut() -> Result<Option<Lsn>>) -> Result<Lsn> {
        let has = until(&format!("{standby} to tell how much WAL it has"), self.limit, ASK_EVERY, || {
            Ok(match ask() {
                Ok(Some(has)) => Attempt::Done(has),
                Ok(None) => Attempt::NotYet("it receives".to_owned()),
                Err(error) if self.told.load(Ordering::Relaxed) => Attempt::Never(error),
                Err(error) => return Err(error),
            })
        })?;
        self.told.store(true, Ordering::Relaxed);
        Ok(has)
    }
}

/// Who is to take over, with what it has, and who was left out, with why.
pub(crate) struct Choice {
    pub(crate) chosen: Option<(Lsn, String)>,
    pub(crate) left_out: Vec<(String, Error)>,
}

/// Chooses by what each standby has told; of those with the same, the first.
pub(crate) fn choose(told: impl Iterator<Item = (String, Result<Lsn>)>) -> Choice {
    let mut choice = Choice { chosen: None, left_out: Vec::new() };
    for (standby, has) in told {
        match has {
            Ok(has) if choice.chosen.as_ref().is_none_or(|(most, _)| has > *most) => {
                choice.chosen = Some((has, standby));
            }
            Ok(_) => {}
            Err(error) => choice.left_out.push((standby, error)),
        }
    }
    choice
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Instant;

    use anyhow::anyhow;
    use lab::at_once::at_once;

    use super::*;

    /// Time for a question, and for all of them.
    const QUESTION: Duration = Duration::from_millis(50);
    const LIMIT: Duration = Duration::from_secs(20);

    /// How a standby of the script answers a question, by its number: it receives still, has so much, or says nothing.
    type Script = fn(u32) -> Result<Option<u64>>;

    fn silent() -> Result<Option<u64>> {
        std::thread::sleep(QUESTION);
        Err(anyhow!("no answer"))
    }

    /// The choice among these, and how long it took.
    fn play(limit: Duration, scripts: &[(&str, Script)]) -> (Choice, Duration) {
        let scripts: BTreeMap<&str, Script> = scripts.iter().copied().collect();
        let (names, asking): (Vec<String>, _) =
            (scripts.keys().map(|name| (*name).to_owned()).collect(), Asking::new(limit));
        let begun = Instant::now();
        let told = at_once(&names, |name| {
            let mut question = 0;
            asking.until_told(name, || {
                question += 1;
                Ok(scripts[name](question)?.map(Lsn))
            })
        });
        (choose(names.into_iter().zip(told)), begun.elapsed())
    }

    fn chosen(choice: &Choice) -> Option<&str> {
        choice.chosen.as_ref().map(|(_, name)| name.as_str())
    }

    #[test]
    fn the_most_wal_is_chosen_and_of_equals_the_first() {
        let (choice, _) = play(LIMIT, &[("a", |_| Ok(Some(2))), ("b", |_| Ok(Some(3))), ("c", |_| Ok(Some(3)))]);
        assert_eq!((chosen(&choice), choice.left_out.len()), (Some("b"), 0));
    }

    #[test]
    fn who_is_silent_is_left_out_by_name_and_holds_nobody_up() {
        let (choice, took) = play(LIMIT, &[("a", |_| silent()), ("b", |_| Ok(Some(3))), ("c", |_| silent())]);
        let left_out: Vec<_> = choice.left_out.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((chosen(&choice), left_out), (Some("b"), vec!["a", "c"]));
        let why = format!("{:#}", choice.left_out[0].1);
        assert!(why.contains('a') && why.contains("no answer"), "{why}");
        assert!(took < LIMIT / 4, "{took:?}");
    }

    #[test]
    fn who_answers_and_still_receives_is_waited_for() {
        let receives = |question| Ok((question > 200).then_some(4));
        let (choice, _) = play(LIMIT, &[("a", |_| Ok(Some(3))), ("b", receives)]);
        assert_eq!((chosen(&choice), choice.left_out.len()), (Some("b"), 0));
    }

    #[test]
    fn while_nobody_has_told_all_are_asked_again() {
        let late = |question| if question < 5 { silent() } else { Ok(Some(4)) };
        let (choice, _) = play(LIMIT, &[("a", late)]);
        assert_eq!(chosen(&choice), Some("a"));
        let (choice, _) = play(QUESTION, &[("a", |_| silent()), ("b", |_| Ok(None))]);
        assert_eq!((chosen(&choice), choice.left_out.len()), (None, 2));
    }
}

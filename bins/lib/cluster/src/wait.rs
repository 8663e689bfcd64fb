//! Waiting for a condition: always with a deadline, and when that passes, the error says what was seen last.

use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow};

/// What one attempt showed.
pub enum Attempt<T> {
    /// The condition holds.
    Done(T),
    /// It does not hold yet; the state now, in words.
    NotYet(String),
    /// It can never hold, and why.
    Never(Error),
}

/// Makes an attempt every `pause` until the condition holds, at most `limit` long. An attempt that fails counts as "not
/// yet" (a server that starts refuses connections), and its error is shown if it was the last thing seen.
///
/// # Errors
/// That the condition did not hold in time, with what was seen last; that it can never hold; or that a signal came.
pub fn until<T>(
    what: &str,
    limit: Duration,
    pause: Duration,
    mut attempt: impl FnMut() -> Result<Attempt<T>>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        let last = match attempt() {
            Ok(Attempt::Done(value)) => return Ok(value),
            Ok(Attempt::NotYet(status)) => status,
            Ok(Attempt::Never(error)) => return Err(error.context(format!("gave up waiting for {what}"))),
            Err(error) => format!("{error:#}"),
        };
        if begun.elapsed() >= limit {
            return Err(anyhow!("waited {limit:?} for {what}; last seen: {last}"));
        }
        program::stop::pause(pause)?;
    }
}

/// As [`until`], for an attempt that answers yes or no.
pub fn until_true(
    what: &str,
    limit: Duration,
    pause: Duration,
    mut attempt: impl FnMut() -> Result<bool>,
) -> Result<()> {
    until(what, limit, pause, || Ok(if attempt()? { Attempt::Done(()) } else { Attempt::NotYet("not yet".to_owned()) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    #[test]
    fn returns_what_the_last_look_found() {
        let mut looks = 0;
        let found = until("three looks", Duration::from_secs(10), SOON, || {
            looks += 1;
            Ok(if looks == 3 { Attempt::Done("there") } else { Attempt::NotYet(format!("look {looks}")) })
        });
        assert_eq!(found.unwrap(), "there");
    }

    #[test]
    fn what_will_never_be_is_not_waited_for() {
        let error = until::<()>("rain", Duration::from_secs(10), SOON, || Ok(Attempt::Never(anyhow!("a desert"))));
        assert_eq!(format!("{:#}", error.unwrap_err()), "gave up waiting for rain: a desert");
    }

    #[test]
    fn says_what_it_waited_for_and_what_it_saw_last() {
        let error = until::<()>("rain", SOON, SOON, || Ok(Attempt::NotYet("clouds".into()))).unwrap_err().to_string();
        assert!(error.contains("rain") && error.contains("clouds"), "{error}");
        let error = until::<()>("rain", SOON, SOON, || Err(anyhow!("no sky"))).unwrap_err().to_string();
        assert!(error.contains("no sky"), "{error}");
    }
}

//! Waiting for something to become so: always with a deadline, and with what was seen last when it passes.

use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow};

/// What one look showed.
pub enum Look<T> {
    /// It is so.
    Done(T),
    /// Not yet; how it stands now, in words.
    NotYet(String),
    /// It never will be, and why: there is nothing to wait for.
    Never(Error),
}

/// Looks every `pause` until it is so, at most `limit` long. An error of a look counts as "not yet" (a server that
/// starts refuses connections), and is shown if it was the last thing seen.
///
/// # Errors
/// That it did not become so in time, with what was seen last; that it never will; or that a signal came.
pub fn until<T>(what: &str, limit: Duration, pause: Duration, mut look: impl FnMut() -> Result<Look<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        let last = match look() {
            Ok(Look::Done(value)) => return Ok(value),
            Ok(Look::NotYet(status)) => status,
            Ok(Look::Never(error)) => return Err(error.context(format!("gave up waiting for {what}"))),
            Err(error) => format!("{error:#}"),
        };
        if begun.elapsed() >= limit {
            return Err(anyhow!("waited {limit:?} for {what}; last seen: {last}"));
        }
        program::stop::pause(pause)?;
    }
}

/// As [`until`], for a look that answers yes or no.
///
/// # Errors
/// As [`until`].
pub fn until_true(what: &str, limit: Duration, pause: Duration, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, limit, pause, || Ok(if look()? { Look::Done(()) } else { Look::NotYet("not yet".to_owned()) }))
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
            Ok(if looks == 3 { Look::Done("there") } else { Look::NotYet(format!("look {looks}")) })
        });
        assert_eq!(found.unwrap(), "there");
    }

    #[test]
    fn what_will_never_be_is_not_waited_for() {
        let error = until::<()>("rain", Duration::from_secs(10), SOON, || Ok(Look::Never(anyhow!("a desert"))));
        assert_eq!(format!("{:#}", error.unwrap_err()), "gave up waiting for rain: a desert");
    }

    #[test]
    fn says_what_it_waited_for_and_what_it_saw_last() {
        let error = until::<()>("rain", SOON, SOON, || Ok(Look::NotYet("clouds".into()))).unwrap_err().to_string();
        assert!(error.contains("rain") && error.contains("clouds"), "{error}");
        let error = until::<()>("rain", SOON, SOON, || Err(anyhow!("no sky"))).unwrap_err().to_string();
        assert!(error.contains("no sky"), "{error}");
    }
}

//! When to stop: a signal, or the end of stdin where the parent asked for that.
//!
//! A program started by another gets a pipe as stdin and `--until-eof`. The end of that pipe, also when the parent was
//! killed, means *finish normally*; INT, TERM and HUP mean *stop now, keep the rows so far*.

use std::fmt;
use std::io::Read as _;
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tokio::sync::watch;

/// Why a program stops before its own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// stdin ended: finish normally.
    Eof,
    /// A signal: stop now.
    Signal(i32),
}

/// The error of a program that a signal interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted(pub i32);

impl Interrupted {
    /// 128 + the signal's number, as shells have it.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        128_u8.saturating_add(u8::try_from(self.0).unwrap_or(0))
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interrupted by signal {}", self.0)
    }
}

impl std::error::Error for Interrupted {}

struct State {
    reason: Mutex<Option<Reason>>,
    last_words: Mutex<Option<String>>,
    changed: Condvar,
    told: watch::Sender<bool>,
}

fn state() -> &'static State {
    static STATE: OnceLock<State> = OnceLock::new();
    STATE.get_or_init(|| State {
        reason: Mutex::new(None),
        last_words: Mutex::new(None),
        changed: Condvar::new(),
        told: watch::Sender::new(false),
    })
}

impl State {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Reason>> {
        self.reason.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn stop(reason: Reason) {
    let mut current = state().lock();
    // A signal outweighs an earlier end of stdin; the first signal stays.
    if matches!((*current, reason), (None, _) | (Some(Reason::Eof), Reason::Signal(_))) {
        *current = Some(reason);
    }
    drop(current);
    state().changed.notify_all();
    state().told.send_replace(true);
}

/// Begins to listen for signals, and with `until_eof` for the end of stdin. A second signal ends the program at once.
///
/// # Errors
/// If the system refuses the handlers.
pub fn listen(until_eof: bool) -> Result<()> {
    if !until_eof && std::env::var_os(crate::run::RUN_VARIABLE).is_some() {
        // Started by another program, with no pipe to tell of its end: the system tells.
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    }
    let mut signals =
        signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot listen for signals")?;
    std::thread::spawn(move || {
        for (count, signal) in signals.forever().enumerate() {
            if count > 0 {
                let words = state().last_words.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
                words.iter().for_each(|words| crate::progress::tell(words));
                std::process::exit(i32::from(Interrupted(signal).exit_code()));
            }
            stop(Reason::Signal(signal));
        }
    });
    if until_eof {
        std::thread::spawn(|| {
            let mut buffer = [0; 4096];
            let mut stdin = std::io::stdin().lock();
            while matches!(stdin.read(&mut buffer), Ok(1..)) {}
            stop(Reason::Eof);
        });
    }
    Ok(())
}

/// What is said when a second signal ends the program at once: what it leaves behind, and what to do about that. `None`: it
/// leaves nothing.
pub fn set_last_words(words: Option<String>) {
    *state().last_words.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = words;
}

/// Why to stop, if there is a reason.
#[must_use]
pub fn reason() -> Option<Reason> {
    *state().lock()
}

/// Fails if a signal came.
///
/// # Errors
/// [`Interrupted`].
pub fn check() -> Result<()> {
    match reason() {
        Some(Reason::Signal(signal)) => Err(Interrupted(signal).into()),
        _ => Ok(()),
    }
}

/// Waits until there is a reason to stop or `limit` has passed.
#[must_use]
pub fn wait(limit: Duration) -> Option<Reason> {
    let end = Instant::now() + limit;
    let mut current = state().lock();
    while current.is_none() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        current = match state().changed.wait_timeout(current, left) {
            Ok((guard, _)) => guard,
            Err(poisoned) => poisoned.into_inner().0,
        };
    }
    *current
}

/// Waits for `limit`, or fails at once when a signal comes: the pause between two looks at something.
///
/// # Errors
/// [`Interrupted`].
pub fn pause(limit: Duration) -> Result<()> {
    if reason() == Some(Reason::Eof) {
        std::thread::sleep(limit); // finishing normally still needs its pauses
    } else {
        let _ = wait(limit);
    }
    check()
}

/// Waits until a signal comes.
pub async fn signalled() -> Interrupted {
    let mut told = state().told.subscribe();
    loop {
        if let Some(Reason::Signal(signal)) = reason() {
            return Interrupted(signal);
        }
        if told.changed().await.is_err() {
            std::future::pending::<()>().await; // the sender is static: this cannot be
        }
    }
}

/// Waits until there is a reason to stop.
pub async fn stopped() -> Reason {
    let mut told = state().told.subscribe();
    loop {
        if let Some(reason) = reason() {
            return reason;
        }
        if told.changed().await.is_err() {
            std::future::pending::<()>().await; // the sender is static: this cannot be
        }
    }
}

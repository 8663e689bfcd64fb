//! How many labs there are at the same time.

use std::sync::{Condvar, Mutex, PoisonError};

/// Labs at the same time: times are measured here, and two cores are the least that somebody has.
const LABS: u32 = 2;

static RUNNING: Mutex<u32> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// A turn to have a lab, given back when dropped.
pub(crate) struct Turn;

impl Turn {
    pub(crate) fn take() -> Turn {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        while *running >= LABS {
            running = ENDED.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        Turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_one();
    }
}

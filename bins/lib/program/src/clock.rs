//! One clock for all rows of a run: microseconds of CLOCK_MONOTONIC since the run's origin.
//!
//! All processes of one machine share that clock, whatever NTP does to the date; no figure is ever computed from the
//! clocks of two machines.

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

/// Where the starter of a run hands the origin to its children, in nanoseconds.
pub const ORIGIN_VARIABLE: &str = "UNDERSTUDY_ORIGIN";

/// The clock of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    origin_ns: u64,
}

impl Clock {
    /// A clock whose origin is now.
    #[must_use]
    pub fn starting_now() -> Clock {
        Clock { origin_ns: monotonic_ns() }
    }

    /// The run's clock, as its starter handed it on; alone, a program is its own origin.
    ///
    /// # Errors
    /// If `UNDERSTUDY_ORIGIN` is not a moment in the past.
    pub fn of_this_run() -> Result<Clock> {
        let Ok(text) = std::env::var(ORIGIN_VARIABLE) else { return Ok(Clock::starting_now()) };
        let origin_ns = text.parse().ok().filter(|origin| *origin <= monotonic_ns());
        let origin_ns = origin_ns.with_context(|| {
            format!("{ORIGIN_VARIABLE}={text} is no earlier moment of this machine's monotonic clock")
        })?;
        Ok(Clock { origin_ns })
    }

    /// The origin, in nanoseconds of CLOCK_MONOTONIC.
    #[must_use]
    pub fn origin_ns(self) -> u64 {
        self.origin_ns
    }

    /// Microseconds since the origin.
    #[must_use]
    pub fn now_us(self) -> u64 {
        (monotonic_ns() - self.origin_ns) / 1_000
    }

    /// The moment `us` after the origin, in nanoseconds of CLOCK_MONOTONIC.
    #[must_use]
    pub fn ns_of(self, us: u64) -> u64 {
        self.origin_ns + us * 1_000
    }
}

/// CLOCK_MONOTONIC in nanoseconds.
fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The clock counts from the boot of the machine: neither part is negative.
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

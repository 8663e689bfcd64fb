//! Waking at a given moment, to within some 0.03 ms.
//!
//! tokio's timers wake about 1 ms late: fine for deadlines, wrong for a schedule or a heartbeat. This is a timerfd.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::clock::Clock;

/// An alarm clock for one task of a tokio runtime.
pub struct Alarm {
    fd: AsyncFd<OwnedFd>,
    clock: Clock,
}

impl Alarm {
    /// An alarm that understands the times of `clock`.
    ///
    /// # Errors
    /// If the system has no timer left.
    pub fn new(clock: Clock) -> io::Result<Alarm> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(deprecated, reason = "unsound only for types that change their descriptor; an OwnedFd keeps its own")]
        let fd = AsyncFd::new(fd)?;
        Ok(Alarm { fd, clock })
    }

    /// Waits until `at_us` after the clock's origin; returns at once if that is past.
    ///
    /// # Errors
    /// What the system says.
    pub async fn until(&self, at_us: u64) -> io::Result<()> {
        if at_us <= self.clock.now_us() {
            return Ok(());
        }
        let at_ns = self.clock.ns_of(at_us);
        let value = Timespec {
            tv_sec: i64::try_from(at_ns / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(at_ns % 1_000_000_000).unwrap_or(0),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        loop {
            let mut ready = self.fd.readable().await?;
            let mut expirations = [0_u8; 8];
            match ready.try_io(|fd| rustix::io::read(fd.get_ref(), &mut expirations).map_err(Into::into)) {
                Ok(result) => return result.map(drop),
                Err(_would_block) => {}
            }
        }
    }

    /// Waits for some microseconds.
    ///
    /// # Errors
    /// What the system says.
    pub async fn pause(&self, us: u64) -> io::Result<()> {
        self.until(self.clock.now_us() + us).await
    }
}

//! A drill as it is seen while it runs. A thread of its own reads what the programs append to the run's folder, and paints
//! it. It can fail nothing and hold up nothing: nobody waits for it but at the end, and what it cannot read it does not show.

mod acks;
mod picture;
mod tail;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use program::clock::Clock;
use program::progress::{self, Progress};

use picture::Picture;
use tail::Tail;

/// How often the picture is painted.
const EVERY: Duration = Duration::from_millis(100);

/// A drill that is watched, until this is dropped.
pub(crate) struct Watch {
    picture: Arc<Mutex<Picture>>,
    clock: Clock,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches what is in the run's folder.
    pub(crate) fn of(dir: &Path, clock: Clock, progress: &Progress) -> Watch {
        let (picture, over) = (Arc::new(Mutex::new(Picture::default())), Arc::new(AtomicBool::new(false)));
        let tails = ["ledger.csv", "events.csv", "lag.csv"].map(|file| Tail::of(dir.join(file)));
        let (shared, ended, progress) = (picture.clone(), over.clone(), progress.clone());
        let thread = std::thread::Builder::new().name("watch".to_owned());
        let thread = thread.spawn(move || watch(&shared, &ended, tails, clock, &progress)).ok();
        Watch { picture, clock, over, thread }
    }

    /// The next thing begins.
    pub(crate) fn phase(&self, what: &str) {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner).phase(self.clock.now_us(), what);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn watch(picture: &Mutex<Picture>, over: &AtomicBool, mut tails: [Tail; 3], clock: Clock, progress: &Progress) {
    loop {
        let last = over.load(Ordering::Relaxed);
        // The ledger before the events: what came before an ack is then known when the ack is looked at.
        let [ledger, events, lag] = tails.each_mut().map(Tail::lines);
        let (moments, lines) = {
            let mut picture = picture.lock().unwrap_or_else(PoisonError::into_inner);
            events.iter().for_each(|line| picture.event(line));
            ledger.iter().for_each(|line| picture.write(line));
            lag.iter().for_each(|line| picture.lag(line));
            (picture.moments(), picture.lines(clock.now_us(), progress::columns().saturating_sub(1)))
        };
        for moment in moments {
            let line = format!("{:>7.2} s  {}", moment.at_us as f64 / 1e6, moment.what);
            if moment.loud { progress.say_loudly(&line) } else { progress.say(&line) }
        }
        if last {
            return progress.finish();
        }
        progress.paint(&lines);
        std::thread::park_timeout(EVERY);
    }
}

//! When writes are due. In an open loop this is fixed from the start: a slow server does not get fewer writes.

use std::str::FromStr;

use clap::ValueEnum;
use rand::Rng as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// Writes per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    /// Open loop: this many are due per second.
    PerSecond(u64),
    /// Closed loop: the next write follows the last answer.
    Max,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        if text == "max" {
            return Ok(Rate::Max);
        }
        match text.parse() {
            Ok(rate @ 1..=1_000_000) => Ok(Rate::PerSecond(rate)),
            _ => Err("give 1 to 1000000 writes per second, or `max`".to_owned()),
        }
    }
}

/// How due times are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arrivals {
    /// Evenly
    Uniform,
    /// At random, as independent users would (Poisson)
    Poisson,
}

/// The due times of one client, in microseconds after the begin of the load. Endless.
pub(crate) enum Schedule {
    /// Whenever the last write has been answered.
    Closed,
    /// Client w of n: every n-th of the writes that are due evenly.
    Uniform { next: u64, step: u64, rate: u64 },
    /// A Poisson process of the client's own.
    Poisson { at_us: f64, mean_us: f64, random: Box<ChaCha8Rng> },
}

impl Schedule {
    pub(crate) fn new(rate: Rate, arrivals: Arrivals, seed: u64, client: u32, clients: u32) -> Schedule {
        match (rate, arrivals) {
            (Rate::Max, _) => Schedule::Closed,
            (Rate::PerSecond(rate), Arrivals::Uniform) => {
                Schedule::Uniform { next: u64::from(client), step: u64::from(clients), rate }
            }
            (Rate::PerSecond(rate), Arrivals::Poisson) => {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                random.set_stream(u64::from(client));
                let mean_us = 1e6 * f64::from(clients) / rate as f64;
                Schedule::Poisson { at_us: 0.0, mean_us, random: Box::new(random) }
            }
        }
    }

    /// The next due time; `None` in a closed loop: now.
    pub(crate) fn next(&mut self) -> Option<u64> {
        match self {
            Schedule::Closed => None,
            Schedule::Uniform { next, step, rate } => {
                let scheduled_us = u128::from(*next) * 1_000_000 / u128::from(*rate);
                *next += *step;
                Some(u64::try_from(scheduled_us).unwrap_or(u64::MAX))
            }
            Schedule::Poisson { at_us, mean_us, random } => {
                // 1 − x, because x can be 0, and 0 has no logarithm.
                *at_us -= *mean_us * (1.0 - random.random::<f64>()).ln();
                Some(*at_us as u64)
            }
        }
    }
}

/// Counts what becomes due, whether or not the clients get to it.
pub(crate) struct DueCounter(Vec<(Schedule, Option<u64>)>);

impl DueCounter {
    pub(crate) fn new(rate: Rate, arrivals: Arrivals, seed: u64, clients: u32) -> DueCounter {
        let with_next = |client| {
            let mut schedule = Schedule::new(rate, arrivals, seed, client, clients);
            let next = schedule.next();
            (schedule, next)
        };
        DueCounter((0..clients).map(with_next).collect())
    }

    /// How many writes became due since the last time, up to `us` after the begin; `None` in a closed loop.
    pub(crate) fn until(&mut self, us: u64) -> Option<u64> {
        let mut count = 0;
        for (schedule, next) in &mut self.0 {
            while (*next)? < us {
                count += 1;
                *next = schedule.next();
            }
        }
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_writes_of_all_workers_interleave_without_drift() {
        let mut due: Vec<u64> = (0..3)
            .flat_map(|client| {
                let mut schedule = Schedule::new(Rate::PerSecond(300), Arrivals::Uniform, 1, client, 3);
                (0..100).map(move |_| schedule.next().unwrap())
            })
            .collect();
        due.sort_unstable();
        assert_eq!(due.len(), 300);
        assert_eq!((due[0], due[3], due[299]), (0, 10_000, 996_666));
    }

    #[test]
    fn random_writes_keep_the_rate_and_repeat_with_the_seed() {
        let last = |seed| {
            let mut schedule = Schedule::new(Rate::PerSecond(1_000), Arrivals::Poisson, seed, 0, 1);
            (0..100_000).map(|_| schedule.next().unwrap()).last().unwrap()
        };
        assert_eq!(last(7), last(7));
        assert_ne!(last(7), last(8));
        let seconds = last(7) as f64 / 1e6;
        assert!((seconds - 100.0).abs() < 2.0, "100000 writes at 1000/s took {seconds} s");
    }

    #[test]
    fn counts_what_becomes_due() {
        let mut due = DueCounter::new(Rate::PerSecond(500), Arrivals::Uniform, 1, 8);
        assert_eq!((due.until(1_000_000), due.until(1_500_000)), (Some(500), Some(250)));
        assert_eq!(DueCounter::new(Rate::Max, Arrivals::Uniform, 1, 8).until(1_000_000), None);
    }

    #[test]
    fn refuses_rates_that_are_none() {
        for text in ["0", "-1", "1.5", "fast", "", "1000001"] {
            assert!(text.parse::<Rate>().is_err(), "{text:?}");
        }
        assert_eq!("max".parse(), Ok(Rate::Max));
    }
}

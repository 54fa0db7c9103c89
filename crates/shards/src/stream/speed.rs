//! How fast examples come, and whether anybody waits for them.

use std::time::{Duration, Instant};

/// How fast examples came since the stream was opened or [`crate::ShardStream::restart_speed`] was called.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Speed {
    /// Seconds from the first request to the end of the last.
    pub seconds: f64,
    /// Examples handed out.
    pub examples: u64,
    /// Images of these.
    pub images: u64,
    /// Fraction of the seconds, from 0 to 1, in which whoever asked waited for an example.
    pub waited: f64,
}

impl Speed {
    /// Examples a second; 0 before anything was asked for.
    pub fn examples_per_second(&self) -> f64 {
        per_second(self.examples, self.seconds)
    }

    /// Images a second; 0 before anything was asked for.
    pub fn images_per_second(&self) -> f64 {
        per_second(self.images, self.seconds)
    }
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// Measures it.
#[derive(Default)]
pub(super) struct Clock {
    began: Option<Instant>,
    ended: Option<Instant>,
    waited: Duration,
    examples: u64,
    images: u64,
}

impl Clock {
    /// Measures how long someone waits.
    pub(super) fn waiting<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        self.began.get_or_insert(start);
        let result = wait();
        let end = Instant::now();
        self.waited += end - start;
        self.ended = Some(end);
        result
    }

    pub(super) fn count(&mut self, images: u32) {
        self.examples += 1;
        self.images += u64::from(images);
    }

    pub(super) fn speed(&self) -> Speed {
        let all = self.began.zip(self.ended).map_or(0.0, |(began, ended)| (ended - began).as_secs_f64());
        let waited = if all > 0.0 { (self.waited.as_secs_f64() / all).min(1.0) } else { 0.0 };
        Speed { seconds: all, examples: self.examples, images: self.images, waited }
    }
}

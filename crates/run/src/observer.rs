//! Whoever starts work listens to it here; this crate itself prints nothing.

use crate::measuring::report::Report;

/// What a training step tells.
#[derive(Debug, Clone)]
pub struct StepNotice {
    /// Steps taken, this one included.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// The losses by name.
    pub losses: Vec<(String, f64)>,
    /// How many of what `unit` names went through the model in the step.
    pub done: usize,
    /// `rows` or `images`.
    pub unit: &'static str,
    /// The fraction of them that is not padding, from 0 to 1.
    pub fill: f64,
    /// The fraction of the step's time in which data was waited for, from 0 to 1.
    pub waited: f64,
    /// Duration of the step.
    pub seconds: f64,
}

/// Listens to work as it goes on. Every method may be left as it is, which hears nothing; `()` hears nothing at all.
pub trait RunObserver {
    /// `done` of `total` things are dealt with, such as `images generated`; `total` is 0 where it is not known.
    fn progress(&mut self, what: &'static str, done: usize, total: usize) {
        let _ = (what, done, total);
    }

    /// A sentence for whoever waits.
    fn note(&mut self, text: &str) {
        let _ = text;
    }

    /// A training step was taken.
    fn stepped(&mut self, step: &StepNotice) {
        let _ = step;
    }

    /// The model was measured while it is trained.
    fn measured(&mut self, report: &Report) {
        let _ = report;
    }
}

impl RunObserver for () {}

/// `1h 02m`, `3m 20s` or `45s`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m {s:02}s"),
        (h, m, _) => format!("{h}h {m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn durations_read_well() {
        let cases = [(0.4, "0s"), (59.9, "59s"), (200.0, "3m 20s"), (3725.0, "1h 02m")];
        for (seconds, text) in cases {
            assert_eq!(super::duration(seconds), text);
        }
    }
}

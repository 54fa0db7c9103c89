//! Progress on the terminal: a bar for long work, and plain lines where there is no terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two plain lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(20);

/// What a step took.
pub(crate) struct Pace {
    /// How many of what `unit` names.
    pub(crate) done: usize,
    pub(crate) unit: &'static str,
    pub(crate) seconds: f64,
}

/// The bar of a training run.
pub(crate) struct TrainProgress {
    bar: ProgressBar,
    started: Instant,
    started_at: u64,
    last_line: Option<Instant>,
    /// Losses smoothed over some fifty steps, since those of one step jump with the noise.
    smoothed: Vec<(String, f64)>,
}

impl TrainProgress {
    pub(crate) fn new(step: u64, steps: u64) -> Self {
        let bar = ProgressBar::new(steps).with_position(step);
        let template = "{bar:28} {pos}/{len}  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Self { bar, started: Instant::now(), started_at: step, last_line: None, smoothed: vec![] }
    }

    /// Shows that `step` steps are taken, the latest with these losses.
    pub(crate) fn step(&mut self, step: u64, losses: impl Iterator<Item = (String, f64)>, pace: Pace) {
        for (label, loss) in losses {
            match self.smoothed.iter_mut().find(|(name, _)| *name == label) {
                Some((_, value)) if loss.is_finite() => *value += 0.02 * (loss - *value),
                Some(_) => {}
                None => self.smoothed.push((label, loss)),
            }
        }
        let message = self.message(step, &pace);
        self.bar.set_position(step);
        if self.bar.is_hidden() {
            let due = self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY);
            if due {
                println!("step {step}/{}  {message}", self.bar.length().unwrap_or(0));
                self.last_line = Some(Instant::now());
            }
        } else {
            self.bar.set_message(message);
        }
    }

    fn message(&self, step: u64, pace: &Pace) -> String {
        let losses: Vec<String> = self.smoothed.iter().map(|(name, value)| format!("{name} {value:.3}")).collect();
        let taken = (step - self.started_at).max(1) as f64;
        let per_step = self.started.elapsed().as_secs_f64() / taken;
        let left = per_step * (self.bar.length().unwrap_or(0).saturating_sub(step)) as f64;
        let rate = pace.done as f64 / pace.seconds.max(1e-9);
        format!("{}  {rate:.0} {}/s  {} left", losses.join("  "), pace.unit, duration(left))
    }

    /// Prints a line above the bar.
    pub(crate) fn line(&self, text: &str) {
        if self.bar.is_hidden() {
            println!("{text}");
        } else {
            self.bar.println(text);
        }
    }

    /// Clears the bar for what is printed next; the next step draws it again.
    pub(crate) fn pause(&self) {
        self.bar.suspend(|| {});
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A bar for work of a known size, such as drawing.
pub(crate) fn counting_bar(what: &'static str, total: usize) -> ProgressBar {
    let bar = ProgressBar::new(total as u64).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{bar:28} {pos}/{len}  {msg}  {per_sec}  {eta} left") {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar
}

/// `1h 02m`, `3m 20s` or `45s`.
pub(crate) fn duration(seconds: f64) -> String {
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

//! What a person sees of work as it goes on: bars, and plain lines where there is no terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use interfuse_run::measuring::{Entry, Report};
use interfuse_run::{RunObserver, StepNotice, duration};

use crate::print::say;

/// Between two plain lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(20);
/// The fraction of the time in which data is waited for from which it is said: below it, nothing need be changed.
const WORTH_SAYING: f64 = 0.05;

/// Shows work as it goes on. What is left of a bar goes when this is dropped.
#[derive(Default)]
pub(crate) struct Terminal {
    training: Option<TrainProgress>,
    /// A bar for work of a known size, and what is counted.
    counting: Option<(&'static str, ProgressBar)>,
}

impl Terminal {
    fn clear(&mut self) {
        if let Some((_, bar)) = self.counting.take() {
            bar.finish_and_clear();
        }
    }
}

impl RunObserver for Terminal {
    fn progress(&mut self, what: &'static str, done: usize, total: usize) {
        if self.counting.as_ref().is_some_and(|(shown, _)| *shown != what) {
            self.clear();
        }
        let (_, bar) = self.counting.get_or_insert_with(|| (what, counting_bar(what, total)));
        bar.set_position(done as u64);
        if done >= total && total > 0 {
            self.clear();
        }
    }

    fn note(&mut self, text: &str) {
        let bar = self.training.as_ref().map(|training| &training.bar).or(self.counting.as_ref().map(|(_, bar)| bar));
        match bar {
            Some(bar) => bar.suspend(|| say!("{text}")),
            None => say!("{text}"),
        }
    }

    fn stepped(&mut self, step: &StepNotice) {
        // A command may train one run after the other.
        if let Some(before) = self.training.take_if(|training| step.step <= training.last_step) {
            before.bar.finish_and_clear();
        }
        self.training.get_or_insert_with(|| TrainProgress::new(step)).show(step);
    }

    fn measured(&mut self, report: &Report) {
        self.clear();
        let print = || print_report(report);
        match &self.training {
            Some(training) => training.bar.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.clear();
        if let Some(training) = &self.training {
            training.bar.finish_and_clear();
        }
    }
}

/// The bar of a training run.
struct TrainProgress {
    bar: ProgressBar,
    started: Instant,
    started_at: u64,
    last_step: u64,
    last_line: Option<Instant>,
    /// Losses smoothed over some fifty steps, since those of one step jump with the noise.
    smoothed: Vec<(String, f64)>,
    /// The fraction of the time in which data was waited for, smoothed likewise.
    waited: f64,
}

impl TrainProgress {
    fn new(first: &StepNotice) -> Self {
        let bar = ProgressBar::new(first.steps).with_position(first.step);
        style(&bar, "{bar:28} {pos}/{len}  {msg}");
        let started = Instant::now().checked_sub(Duration::from_secs_f64(first.seconds.max(0.0)));
        Self {
            bar,
            started: started.unwrap_or_else(Instant::now),
            started_at: first.step.saturating_sub(1),
            last_step: first.step.saturating_sub(1),
            last_line: None,
            smoothed: vec![],
            waited: 0.0,
        }
    }

    fn show(&mut self, step: &StepNotice) {
        for (label, loss) in &step.losses {
            match self.smoothed.iter_mut().find(|(name, _)| name == label) {
                Some((_, value)) if loss.is_finite() => *value += 0.02 * (loss - *value),
                Some(_) => {}
                None => self.smoothed.push((label.clone(), *loss)),
            }
        }
        self.waited += 0.02 * (step.waited - self.waited);
        self.last_step = step.step;
        let message = self.message(step);
        self.bar.set_position(step.step);
        if !self.bar.is_hidden() {
            self.bar.set_message(message);
        } else if self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            say!("step {}/{}  {message}", step.step, step.steps);
            self.last_line = Some(Instant::now());
        }
    }

    fn message(&self, step: &StepNotice) -> String {
        let losses: Vec<String> = self.smoothed.iter().map(|(name, value)| format!("{name} {value:.3}")).collect();
        let taken = (step.step - self.started_at).max(1) as f64;
        let per_step = self.started.elapsed().as_secs_f64() / taken;
        let left = per_step * step.steps.saturating_sub(step.step) as f64;
        let rate = step.done as f64 / step.seconds.max(1e-9);
        let fill = if step.fill < 1.0 { format!(" {:.0} % filled", 100.0 * step.fill) } else { String::new() };
        let waited = if self.waited > WORTH_SAYING {
            format!(" {:.0} % waited for data", 100.0 * self.waited)
        } else {
            String::new()
        };
        format!("{}  {rate:.0} {}/s{fill}{waited}  {} left", losses.join("  "), step.unit, duration(left))
    }
}

fn counting_bar(what: &'static str, total: usize) -> ProgressBar {
    let bar = ProgressBar::new(total as u64).with_message(what);
    style(&bar, "{bar:28} {pos}/{len}  {msg}  {per_sec}  {eta} left");
    bar
}

fn style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
}

/// Prints what an evaluation found.
pub(crate) fn print_report(report: &Report) {
    for entry in &report.entries {
        match entry {
            Entry::Heading(step) => {
                let what = format!("measured at step {step}");
                say!("{what:<52} {:>8} {:>16} {:>7}", "fraction", "95 % interval", "chance");
            }
            Entry::Fraction { what, fraction, chance } => {
                let chance = chance.map(|chance| format!("{:.1} %", 100.0 * chance)).unwrap_or_default();
                let interval = format!("{:.1} – {:.1} %", 100.0 * fraction.low, 100.0 * fraction.high);
                say!("{what:<52} {:>6.1} % {interval:>16} {chance:>7}", 100.0 * fraction.fraction);
            }
            Entry::Note(note) => say!("{note}"),
        }
    }
}

//! The loop: maintenance that is due, then one step, until the last step or until someone asks to stop.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::IntervalConfig;
use crate::error::TrainError;

/// What may be due between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Held-out losses.
    Validation,
    /// Images of what the model draws so far.
    Preview,
    /// A checkpoint.
    Checkpoint,
    /// An evaluation of what the model draws and writes, which takes longer than the others.
    Evaluation,
}

/// Something that is trained step by step: a hybrid model, an autoencoder.
pub trait Learner {
    /// What a step tells of itself.
    type Report;

    /// Steps taken.
    fn steps_taken(&self) -> u64;

    /// Steps of the whole run.
    fn steps(&self) -> u64;

    /// Whether the latest step came out non-finite, so that the weights should not be kept.
    fn is_non_finite(&self) -> bool;

    /// Whether to stop, when `asked` to or not: where several processes train together, as soon as one of them is asked.
    ///
    /// # Errors
    /// When another process cannot be reached.
    fn stops(&mut self, asked: bool) -> Result<bool, TrainError> {
        Ok(asked)
    }

    /// Brings to whoever writes checkpoints what one needs; called before each, on every process.
    ///
    /// # Errors
    /// When another process cannot be reached.
    fn gather(&mut self) -> Result<(), TrainError> {
        Ok(())
    }

    /// Takes one optimizer step.
    ///
    /// # Errors
    /// When the data runs dry, or too many steps in a row are skipped.
    fn step(&mut self) -> Result<Self::Report, TrainError>;
}

/// Listens to the loop and does what is due; knows files and terminals, which the loop does not.
pub trait Observer<L: Learner> {
    /// A step was taken.
    ///
    /// # Errors
    /// Ends the run.
    fn stepped(&mut self, learner: &mut L, report: &L::Report) -> Result<(), TrainError>;

    /// Something is due.
    ///
    /// # Errors
    /// Ends the run.
    fn due(&mut self, learner: &L, what: Due) -> Result<(), TrainError>;
}

/// Nobody listens.
impl<L: Learner> Observer<L> for () {
    fn stepped(&mut self, _: &mut L, _: &L::Report) -> Result<(), TrainError> {
        Ok(())
    }

    fn due(&mut self, _: &L, _: Due) -> Result<(), TrainError> {
        Ok(())
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps were taken.
    Finished,
    /// Someone asked to stop; a checkpoint was made.
    Stopped,
}

/// Runs until the last step, or until `stop` is set, and makes a checkpoint then.
///
/// # Errors
/// When a step or the observer fails. What was saved before stays.
pub fn run<L: Learner>(
    learner: &mut L,
    intervals: &IntervalConfig,
    observer: &mut dyn Observer<L>,
    stop: &AtomicBool,
) -> Result<Outcome, TrainError> {
    let started_at = learner.steps_taken();
    loop {
        let step = learner.steps_taken();
        let finished = step >= learner.steps();
        let stopped = learner.stops(stop.load(Ordering::Relaxed))?;
        if step > started_at {
            for what in [Due::Validation, Due::Preview, Due::Checkpoint, Due::Evaluation] {
                // Weights that give no numbers must not push a good checkpoint out of those that are kept.
                let non_finite = learner.is_non_finite() && !finished && !stopped;
                if what == Due::Checkpoint && non_finite {
                    continue;
                }
                if is_due(what, step, intervals, finished, stopped) {
                    if what == Due::Checkpoint {
                        learner.gather()?;
                    }
                    observer.due(learner, what)?;
                }
            }
        }
        if finished {
            return Ok(Outcome::Finished);
        }
        if stopped {
            return Ok(Outcome::Stopped);
        }
        let report = learner.step()?;
        observer.stepped(learner, &report)?;
    }
}

/// At the end everything is due; when asked to stop, only what must not be lost.
fn is_due(what: Due, step: u64, intervals: &IntervalConfig, finished: bool, stopped: bool) -> bool {
    let every = match what {
        Due::Validation => intervals.validation,
        Due::Preview => intervals.preview,
        Due::Checkpoint => intervals.checkpoint,
        Due::Evaluation => intervals.evaluation,
    };
    let on_time = every > 0 && step.is_multiple_of(every);
    match (finished, stopped) {
        // Unasked, nobody should wait for an evaluation.
        (true, _) => what != Due::Evaluation || every > 0,
        (false, true) => what == Due::Checkpoint,
        (false, false) => on_time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_due_at_the_end_and_only_the_checkpoint_when_asked_to_stop() {
        let intervals = IntervalConfig { validation: 10, preview: 0, checkpoint: 7, evaluation: 0 };
        let due = |what, step, finished, stopped| is_due(what, step, &intervals, finished, stopped);
        assert!(due(Due::Validation, 20, false, false) && !due(Due::Validation, 21, false, false));
        assert!(!due(Due::Preview, 20, false, false) && due(Due::Preview, 20, true, false));
        assert!(!due(Due::Evaluation, 20, true, false));
        assert!(due(Due::Checkpoint, 3, false, true) && !due(Due::Validation, 10, false, true));
    }
}

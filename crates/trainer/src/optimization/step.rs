//! One optimizer step of any learner.
//!
//! ```text
//! batches → forward and backward → accumulate → measure → clip → update → moving average → count
//!           └ beside it: the next step's batches
//! ```

use std::time::Instant;

use burn::tensor::Tensor;

use crate::error::TrainError;
use crate::optimization::gradients::{FlatGradients, read_numbers};
use crate::optimization::skipped_steps::SkippedSteps;

/// What a step tells of itself, as far as it is the same for every learner.
pub(crate) trait Report {
    /// What was not finite, if the step is skipped.
    fn skipped(&self) -> Option<&str>;

    /// The step was taken, as number `step` (from 1), in `seconds`.
    fn taken(&mut self, step: u64, seconds: f64);
}

/// The parts of a step in which learners differ.
pub(crate) trait Stepper {
    /// Gradients and losses, before it is decided what to do with them.
    type Computed;
    /// What the step tells of itself.
    type Report: Report;

    /// Forward and backward of all micro-batches.
    fn compute(&mut self) -> Result<Self::Computed, TrainError>;

    /// Reads the numbers of the step from the device, and says what is not finite among them.
    fn measure(&self, computed: &Self::Computed) -> Result<Self::Report, TrainError>;

    /// Moves the weights and their average.
    fn update(&mut self, computed: Self::Computed, report: &mut Self::Report) -> Result<(), TrainError>;

    /// Steps taken, steps skipped, and how many of these may come in a row.
    fn count(&mut self) -> (&mut u64, &mut SkippedSteps, u64);
}

/// Takes one step. Where a loss or gradient is not finite, the weights stay as they are and the step is counted as skipped.
///
/// # Errors
/// When the data runs dry, the device failed, or too many steps in a row are skipped.
pub(crate) fn take<S: Stepper>(stepper: &mut S) -> Result<S::Report, TrainError> {
    let started = Instant::now();
    let computed = stepper.compute()?;
    let mut report = stepper.measure(&computed)?;
    if report.skipped().is_none() {
        stepper.update(computed, &mut report)?;
    }
    let (step, skipped, most) = stepper.count();
    *step += 1;
    skipped.count(*step, report.skipped(), most)?;
    report.taken(*step, started.elapsed().as_secs_f64());
    Ok(report)
}

/// Runs `compute`, and `prepare` on a thread beside it, which makes the next step's batches. Also says for how many seconds
/// `compute` had ended and `prepare` had not.
pub(crate) fn beside<T>(prepare: Option<impl FnOnce() + Send>, compute: impl FnOnce() -> T) -> (T, f64) {
    let (computed, ended) = std::thread::scope(|scope| {
        if let Some(prepare) = prepare {
            scope.spawn(prepare);
        }
        (compute(), Instant::now())
    });
    (computed, ended.elapsed().as_secs_f64())
}

/// Reads a step's losses, and `Σ g²` of every weight of each set of gradients, from the device at once.
///
/// # Errors
/// When the device failed: what was launched in the step is noticed here.
pub(crate) fn read<const N: usize>(
    losses: Vec<Tensor<1>>,
    gradients: [Option<&FlatGradients>; N],
) -> Result<(Vec<f64>, [Vec<f32>; N]), TrainError> {
    let squared = gradients.map(|gradients| gradients.and_then(FlatGradients::squared_norms));
    let counts = squared.each_ref().map(|norms| norms.as_ref().map_or(0, |norms| norms.dims()[0]));
    let of_losses = losses.iter().map(|loss| loss.dims()[0]).sum::<usize>();
    let read = match of_losses + counts.iter().sum::<usize>() {
        0 => vec![],
        _ => read_numbers(losses.iter().cloned().chain(squared.into_iter().flatten()).collect())?,
    };
    let mut read = read.into_iter();
    let losses = read.by_ref().take(of_losses).map(f64::from).collect();
    Ok((losses, counts.map(|count| read.by_ref().take(count).collect())))
}

/// The first number that is not finite, as `the NAME (VALUE)`.
pub(crate) fn non_finite(numbers: impl IntoIterator<Item = (String, f64)>) -> Option<String> {
    let mut numbers = numbers.into_iter();
    numbers.find(|(_, value)| !value.is_finite()).map(|(name, value)| format!("the {name} ({value})"))
}

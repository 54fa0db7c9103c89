//! That the runs of a plan over batches differ in their batches as they were asked to.

use super::PlannedRun;
use crate::error::{Result, SweepError};
use crate::settings::Sweep;

/// Checks the runs of all batches.
///
/// # Errors
/// A run takes fewer than `least_steps` steps, or two of one cell have the same batch; names the key and the runs.
pub(super) fn check(sweep: &Sweep, runs: &[PlannedRun]) -> Result<()> {
    let place = format!("{}: batches", sweep.path.display());
    let least = sweep.settings.least_steps;
    if let Some(run) = runs.iter().find(|run| run.steps < least) {
        let expected = format!("batches of which every budget has at least least_steps = {least}");
        return Err(SweepError::value(place, expected, format!("{} steps of {}", run.steps, run.name)));
    }
    for (at, run) in runs.iter().enumerate() {
        let is_same = |other: &&PlannedRun| {
            (&other.group, other.seed) == (&run.group, run.seed)
                && (other.size, other.budget, other.batch_tokens) == (run.size, run.budget, run.batch_tokens)
        };
        if let Some(other) = runs[..at].iter().find(is_same) {
            let expected = "batches that differ in their whole documents";
            let found = format!("{} tokens a step of both {} and {}", run.batch_tokens, other.name, run.name);
            return Err(SweepError::value(place, expected, found));
        }
    }
    Ok(())
}

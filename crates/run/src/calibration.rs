//! How fast this machine trains, and how many rows the documents of a configuration have: what a sweep's hours are predicted by.

use std::path::Path;

use interfuse_data::LoaderCursor;
use interfuse_data::mixture::mean_rows;
use interfuse_trainer::Learner as _;

use crate::error::Result;
use crate::plan::Plan;
use crate::settings::Settings;

/// Steps before those that are timed.
const WARMUP: usize = 2;

/// The mean number of rows of a document of a configuration, of all modalities together.
///
/// # Errors
/// When the configuration does not fit together, or its data is not there.
pub fn rows_per_document(config: &Path, overrides: &[String]) -> Result<f64> {
    let settings = Settings::load(config, overrides)?;
    settings.check_autoencoder()?;
    let plan = Plan::new(settings)?;
    Ok(mean_rows(&plan.training()?.rows(&plan.card.model.sequence_format())))
}

/// Seconds of a training step, the median of `steps`. Nothing is written.
///
/// # Errors
/// As [`rows_per_document`]; when a step fails.
pub fn seconds_per_step(config: &Path, overrides: &[String], steps: usize) -> Result<f64> {
    let plan = Plan::new(Settings::load(config, overrides)?)?;
    let mut trainer = plan.trainer(LoaderCursor::default())?;
    for _ in 0..WARMUP {
        trainer.step()?;
    }
    let mut seconds = vec![];
    for _ in 0..steps.max(1) {
        seconds.push(trainer.step()?.seconds);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}

//! The autoencoder whose codes the models of a reproduction learn: trained before them, once.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use interfuse_trainer::Outcome;

use super::{is_finished, steps_taken};
use crate::autoencoder::{AutoencoderRun, VaeSettings};
use crate::configuration::quoted;
use crate::error::Result;
use crate::observer::RunObserver;

/// 32 × 32 pixels to 8 × 8 codes of 256, in a folder of its own.
///
/// # Errors
/// When its configuration does not fit together.
pub(super) fn settings(folder: &Path) -> Result<VaeSettings> {
    let changes = [format!("run.dir={}", quoted(folder.display()))];
    VaeSettings::parse(include_str!("codes.toml"), Path::new("the autoencoder's configuration"), &changes)
}

/// Trains an autoencoder, unless it is trained.
///
/// # Errors
/// When it cannot be trained, or its folder is in use.
pub(super) fn make(settings: &VaeSettings, observer: &mut dyn RunObserver, stop: &AtomicBool) -> Result<Outcome> {
    let folder = &settings.run.dir;
    if is_finished(folder, settings.train.steps)? {
        return Ok(Outcome::Finished);
    }
    observer.note(&format!("training the autoencoder in {}", folder.display()));
    let mut run = match steps_taken(folder)?.is_some() {
        true => AutoencoderRun::resume(settings.clone())?,
        false => AutoencoderRun::begin(settings.clone())?,
    };
    Ok(run.train(observer, stop)?.outcome)
}

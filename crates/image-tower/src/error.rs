//! Settings of an image modality that do not fit together.

use thiserror::Error;

use crate::noise_schedule::NoiseProcess;
use crate::prediction::PredictionTarget;

/// Settings that do not fit together.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ImageTowerError {
    /// Patches do not tile the latents.
    #[error("patch_size: expected a divisor of the latents' height {height} and width {width}, found {found}")]
    PatchSize {
        /// The patch size.
        found: usize,
        /// Of the latents.
        height: usize,
        /// Of the latents.
        width: usize,
    },
    /// Predicted patches reach too far.
    #[error("patch_overlap: expected at most half of patch_size = {patch_size}, found {found}")]
    Overlap {
        /// The overlap.
        found: usize,
        /// The patch size.
        patch_size: usize,
    },
    /// The U-Net does not fit the patches.
    #[error("{key}: expected {expected}, found {found}")]
    UNet {
        /// The key at fault.
        key: &'static str,
        /// What fits.
        expected: String,
        /// What it says.
        found: String,
    },
    /// A skip of something else than noise.
    #[error("skip: expected prediction = \"noise\" with it, found {prediction:?}")]
    Skip {
        /// What the network puts out.
        prediction: PredictionTarget,
    },
    /// The process does not define this target.
    #[error("{key}: expected {natural:?} or Clean, the targets of process {process:?}, found {found:?}")]
    Target {
        /// The key at fault.
        key: &'static str,
        /// What it says.
        found: PredictionTarget,
        /// The process's own target.
        natural: PredictionTarget,
        /// The process.
        process: NoiseProcess,
    },
    /// A number outside its range.
    #[error("{key}: expected {expected}, found {found}")]
    Range {
        /// The key at fault.
        key: &'static str,
        /// The range.
        expected: &'static str,
        /// What it says.
        found: f64,
    },
}

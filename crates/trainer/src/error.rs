//! Why training could not start or go on.

use interfuse_checkpoint::CheckpointError;
use interfuse_data::DataError;
use interfuse_parameters::{FileError, WeightsError};
use interfuse_transfusion::ConfigError;
use interfuse_vae::VaeError;
use thiserror::Error;

use crate::parallel::ParallelError;

/// Any failure of this crate.
#[derive(Debug, Error)]
pub enum TrainError {
    /// A setting outside its range.
    #[error("{key}: expected {expected}, found {found}")]
    Setting {
        /// The key at fault.
        key: String,
        /// What fits.
        expected: String,
        /// What it says.
        found: String,
    },
    /// Too many steps in a row came out non-finite.
    #[error(
        "step {step}: {culprit} is not finite, for the {in_a_row}th step in a row; \
         a lower learning rate, a longer warm-up or qk_norm = true usually helps"
    )]
    NotFinite {
        /// The last of the bad steps.
        step: u64,
        /// Which loss or gradient.
        culprit: String,
        /// Bad steps in a row.
        in_a_row: u64,
    },
    /// The device could not do a step.
    #[error(
        "the device failed: {0}; if its memory ran out, set train.activation_checkpointing = true, or lower train.batch_size \
         and raise train.gradient_accumulation as much: both give the same steps"
    )]
    Device(String),
    /// A file of a checkpoint cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A checkpoint that does not belong to this run.
    #[error("{path}: expected {expected}, found {found}")]
    Foreign {
        /// The file.
        path: String,
        /// What the run needs.
        expected: String,
        /// What is there.
        found: String,
    },
    /// From the model's settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// From the weights' file.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// From the data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// From the model's folder in a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// From the other ranks.
    #[error(transparent)]
    Parallel(#[from] ParallelError),
    /// From an autoencoder.
    #[error(transparent)]
    Vae(#[from] VaeError),
    /// From whoever listens to the loop.
    #[error("{0}")]
    Observer(String),
}

impl TrainError {
    pub(crate) fn setting(key: &str, expected: impl ToString, found: impl ToString) -> Self {
        Self::Setting { key: key.into(), expected: expected.to_string(), found: found.to_string() }
    }
}

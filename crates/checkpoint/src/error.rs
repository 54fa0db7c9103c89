//! Why a model's folder could not be opened or written.

use std::path::PathBuf;

use interfuse_data::DataError;
use interfuse_parameters::{FileError, WeightsError};
use interfuse_speech::SpeechError;
use interfuse_transfusion::ConfigError;
use interfuse_vae::VaeError;
use thiserror::Error;

/// Any failure of this crate.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// A file is missing, malformed, or does not fit the others.
    #[error("{path}: expected {expected}, found {found}")]
    Unfit {
        /// The file.
        path: String,
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Another process works in the folder.
    #[error("{} is in use by another process, such as a training that has not ended", .0.display())]
    InUse(PathBuf),
    /// A file or folder cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// From the model's settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// From the weights' file.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// From the tokenizer.
    #[error(transparent)]
    Data(#[from] DataError),
    /// From the unit codec.
    #[error(transparent)]
    Speech(#[from] SpeechError),
    /// From the autoencoder.
    #[error(transparent)]
    Vae(#[from] VaeError),
}

impl CheckpointError {
    pub(crate) fn unfit(path: &std::path::Path, expected: impl ToString, found: impl ToString) -> Self {
        Self::Unfit { path: path.display().to_string(), expected: expected.to_string(), found: found.to_string() }
    }
}

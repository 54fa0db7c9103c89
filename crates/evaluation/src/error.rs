//! What can be wrong with what this crate is given.

use std::path::PathBuf;

use interfuse_parameters::FileError;

/// Why there is no number.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// Two things that belong together differ in number or shape.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// Which two things.
        what: &'static str,
        /// The count or shape that the first of them calls for.
        expected: String,
        /// The count or shape of the second.
        found: String,
    },
    /// There are too few items for the number to exist.
    #[error("{what}: at least {least} needed, found {found}")]
    TooFew {
        /// Of what.
        what: &'static str,
        /// The least that will do.
        least: usize,
        /// How many there were.
        found: usize,
    },
    /// A value is NaN or infinite.
    #[error("{0} must be finite, but some are NaN or infinite")]
    NotFinite(&'static str),
    /// A setting is out of its range.
    #[error("{key} must be {expected}, found {found}")]
    Setting {
        /// The setting's name.
        key: &'static str,
        /// The range.
        expected: &'static str,
        /// The value given.
        found: String,
    },
    /// The eigenvalues of a covariance could not be found.
    #[error("the eigenvalues of the covariance did not converge")]
    NoEigenvalues,
    /// A file could not be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// "read" or "write".
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file does not hold a classifier of this program.
    #[error("{path} holds no classifier that fits: {reason}")]
    Classifier {
        /// Which file.
        path: PathBuf,
        /// What is missing, too much, or misshapen.
        reason: String,
    },
    /// A file does not hold the weights of a published network.
    #[error("{path}: {reason}")]
    Weights {
        /// Which file.
        path: PathBuf,
        /// What was expected and found.
        reason: String,
    },
    /// A folder or tar does not hold images.
    #[error("{path}: {reason}")]
    Images {
        /// Which folder or file.
        path: PathBuf,
        /// What was expected and found.
        reason: String,
    },
    /// A file does not hold statistics.
    #[error("{path}: {reason}")]
    Statistics {
        /// Which file.
        path: PathBuf,
        /// What was expected and found.
        reason: String,
    },
    /// The tensors' values could not be brought back from the device.
    #[error("cannot read from the device: {0}")]
    Device(String),
}

impl From<FileError> for EvaluationError {
    fn from(FileError { action, path, source }: FileError) -> Self {
        Self::File { action, path, source }
    }
}

impl EvaluationError {
    pub(crate) fn mismatch(what: &'static str, expected: impl std::fmt::Debug, found: impl std::fmt::Debug) -> Self {
        Self::Mismatch { what, expected: format!("{expected:?}"), found: format!("{found:?}") }
    }
}

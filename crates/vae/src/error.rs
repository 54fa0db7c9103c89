//! Why an autoencoder could not be opened, or does not take what it is given.

use interfuse_parameters::WeightsError;
use thiserror::Error;

/// Any failure of this crate.
#[derive(Debug, Error)]
pub enum VaeError {
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
    /// A folder or file that is not what it should be.
    #[error("{path}: expected {expected}, found {found}")]
    File {
        /// The file or folder.
        path: String,
        /// What was expected there.
        expected: String,
        /// What was found.
        found: String,
    },
    /// An image or latents of another shape.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// `image`, `latents` or `codes`.
        what: &'static str,
        /// What fits.
        expected: String,
        /// What there is.
        found: String,
    },
    /// Numbers that are none.
    #[error("{what}: expected finite numbers, found NaN or infinity")]
    NotFinite {
        /// `image` or `latents`.
        what: &'static str,
    },
    /// From the weights' file.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

impl VaeError {
    pub(crate) fn setting(key: &str, expected: impl ToString, found: impl ToString) -> Self {
        Self::Setting { key: key.into(), expected: expected.to_string(), found: found.to_string() }
    }

    pub(crate) fn file(path: &std::path::Path, expected: impl ToString, found: impl ToString) -> Self {
        Self::File { path: path.display().to_string(), expected: expected.to_string(), found: found.to_string() }
    }
}

//! What can be wrong with a sweep, its runs or its files.

use std::path::{Path, PathBuf};

use interfuse_scaling::ScalingError;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// A key of a file, or an argument, does not fit.
    #[error("{place}: expected {expected}, found {found}")]
    Value {
        /// The file and key, or the argument.
        place: String,
        /// What would fit.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A file cannot be understood.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where in it, and why.
        reason: String,
    },
    /// A file or folder could not be read, written or locked.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// A verb that completes "cannot … the file".
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Another sweep works in the folder.
    #[error("{} is in use by another sweep; jobs of one sweep work side by side only with --job k/n each", .0.display())]
    InUse(PathBuf),
    /// Runs whose losses say nothing of each other.
    #[error("{0}")]
    Mismatch(String),
    /// Numbers that a table or a measurement cannot have.
    #[error(transparent)]
    Scaling(#[from] ScalingError),
}

/// A result of this crate.
pub(crate) type Result<T> = std::result::Result<T, SweepError>;

impl SweepError {
    pub(crate) fn value(place: impl Into<String>, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Value { place: place.into(), expected: expected.into(), found: found.to_string() }
    }

    pub(crate) fn malformed(path: &Path, reason: impl ToString) -> Self {
        Self::Malformed { path: path.to_owned(), reason: reason.to_string() }
    }

    /// For `map_err`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}

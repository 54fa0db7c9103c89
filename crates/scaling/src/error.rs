//! What can be wrong with the numbers that this crate is given.

use std::path::PathBuf;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScalingError {
    /// There are too few items for the result to exist.
    #[error("{what}: at least {least} needed, found {found}")]
    TooFew {
        /// Of what.
        what: String,
        /// The least that will do.
        least: usize,
        /// How many there were.
        found: usize,
    },
    /// Two lists that belong together differ in length.
    #[error("{what}: expected {expected} values, found {found}")]
    Lengths {
        /// Which list.
        what: &'static str,
        /// The length of the list beside it.
        expected: usize,
        /// Its own length.
        found: usize,
    },
    /// A value is out of its range.
    #[error("{what} must be {expected}, found {found}")]
    Value {
        /// Which value, with its place where it has one.
        what: String,
        /// The range.
        expected: &'static str,
        /// The value.
        found: String,
    },
    /// Two curves have no loss in common, so that no point of one has a partner on the other.
    #[error(
        "the curves have no loss in common: the reference goes from {} to {}, the other from {} to {}",
        .reference.0, .reference.1, .other.0, .other.1
    )]
    NothingMatches {
        /// First and last loss of the reference, after smoothing.
        reference: (f64, f64),
        /// First and last loss of the other curve, after smoothing.
        other: (f64, f64),
    },
    /// A table of runs cannot be used.
    #[error("{table}: {reason}")]
    Table {
        /// Which table.
        table: String,
        /// Where in it, what was expected, and what was found.
        reason: String,
    },
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
}

impl ScalingError {
    /// A value out of its range.
    pub(crate) fn value(what: impl Into<String>, expected: &'static str, found: impl ToString) -> Self {
        Self::Value { what: what.into(), expected, found: found.to_string() }
    }

    /// Too few of something.
    pub(crate) fn too_few(what: impl Into<String>, least: usize, found: usize) -> Self {
        Self::TooFew { what: what.into(), least, found }
    }
}

/// That `level` is a level of confidence: above 0 and below 1.
pub(crate) fn check_level(level: f64) -> Result<(), ScalingError> {
    if level > 0.0 && level < 1.0 {
        return Ok(());
    }
    Err(ScalingError::value("level", "above 0 and below 1, such as 0.95", level))
}

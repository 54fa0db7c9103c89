//! What can go wrong between a clip on the disk and its units.
//!
//! Every message names the file or the key, what was expected there and what was found.

use std::path::PathBuf;

use interfuse_parameters::FileError;

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpeechError {
    /// The system refused to read or write a file or folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file was read, but its content is not what it should be.
    #[error("`{name}`: expected {expected}, found {found}")]
    Malformed {
        /// The file, with the line where there is one.
        name: String,
        /// What the format asks for.
        expected: String,
        /// What the file has instead.
        found: String,
    },
    /// A setting or an argument is out of its range.
    #[error("`{key}`: expected {expected}, found {found}")]
    Setting {
        /// The key.
        key: &'static str,
        /// The values that are accepted.
        expected: String,
        /// The value that was given.
        found: String,
    },
    /// Files of a known data set are not on this machine.
    #[error("`{}` does not exist; {remedy}", path.display())]
    Missing {
        /// The first file that was looked for.
        path: PathBuf,
        /// What to install or which key to change.
        remedy: String,
    },
    /// A collection of clips without a single one.
    #[error("no clips with transcripts found: {searched}")]
    Empty {
        /// Where was looked, and for what.
        searched: String,
    },
    /// There is too little sound for what was asked.
    #[error("{what}: at least {least} needed, found {found}")]
    TooFew {
        /// Of what.
        what: String,
        /// The least that will do.
        least: usize,
        /// How many there were.
        found: usize,
    },
}

impl SpeechError {
    /// A content that is not as it should be.
    pub(crate) fn malformed(name: impl Into<String>, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Malformed { name: name.into(), expected: expected.into(), found: found.to_string() }
    }

    /// A value that is out of its range.
    pub(crate) fn setting(key: &'static str, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Setting { key, expected: expected.into(), found: found.to_string() }
    }

    /// Too little of something.
    pub(crate) fn too_few(what: impl Into<String>, least: usize, found: usize) -> Self {
        Self::TooFew { what: what.into(), least, found }
    }
}

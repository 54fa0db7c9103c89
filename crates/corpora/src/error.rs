//! What can go wrong between a file on the disk and a text.
//!
//! Every message names the file or the key, what was expected there and what was found.

use std::path::{Path, PathBuf};

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// The system refused to read a file or folder.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// A verb that completes "cannot … the file".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file was read, but its content is not what it should be.
    #[error("`{name}`: expected {expected}, found {found}")]
    Malformed {
        /// The file, with the place in it where there is one.
        name: String,
        /// What the format asks for.
        expected: String,
        /// What the file has instead.
        found: String,
    },
    /// A setting is out of its range.
    #[error("`{key}`: expected {expected}, found {found}")]
    Setting {
        /// The key from the root of the configuration.
        key: String,
        /// The values that are accepted.
        expected: String,
        /// The value that was given.
        found: String,
    },
    /// Files of a known package are not on this machine.
    #[error("{what} not found; {remedy}")]
    Missing {
        /// What was looked for, and where.
        what: String,
        /// What to install or which key to change.
        remedy: String,
    },
    /// A corpus without a single text.
    #[error("no texts found: {searched}")]
    Empty {
        /// Where was looked, and for what.
        searched: String,
    },
    /// There is no text of this number.
    #[error("text {number} was asked for, of {count} that there are, counted from 0")]
    Number {
        /// The number.
        number: usize,
        /// How many texts there are.
        count: usize,
    },
}

impl CorpusError {
    /// A content that is not as it should be.
    pub(crate) fn malformed(name: impl Into<String>, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Malformed { name: name.into(), expected: expected.into(), found: found.to_string() }
    }

    /// A value that is out of its range.
    pub(crate) fn setting(key: impl Into<String>, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Setting { key: key.into(), expected: expected.into(), found: found.to_string() }
    }

    /// What is not on this machine.
    pub(crate) fn missing(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Missing { what: what.into(), remedy: remedy.into() }
    }

    /// For `map_err`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { action, path, source }
    }
}

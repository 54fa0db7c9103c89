//! What can go wrong between a pattern and an example.
//!
//! Every message names the file or the key, what was expected there and what was found.

use std::io;
use std::path::{Path, PathBuf};

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// A setting is out of its range.
    #[error("`{key}`: expected {expected}, found {found}")]
    Setting {
        /// The key.
        key: &'static str,
        /// The values that are accepted.
        expected: String,
        /// The value that was given.
        found: String,
    },
    /// The system refused to read a file or folder.
    #[error("cannot {action} `{}`: {source}", path.display())]
    File {
        /// A verb that completes the sentence.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file was read, but its content is not what it should be.
    #[error("`{name}`: expected {expected}, found {found}")]
    Malformed {
        /// The file, with the key, row or member where there is one.
        name: String,
        /// What the format asks for.
        expected: String,
        /// What the file has instead.
        found: String,
    },
    /// A pattern that means no file.
    #[error("`{pattern}` matches no shard; {searched}")]
    NoMatch {
        /// The pattern, as it was given.
        pattern: String,
        /// What was looked for.
        searched: String,
    },
    /// An address on another machine, from which nothing is read.
    #[error("`{address}` is not on this machine; shards are read from files, so fetch it first: {command}")]
    Remote {
        /// The address.
        address: String,
        /// The command that fetches it.
        command: String,
    },
    /// The cursor belongs to other shards or another order.
    #[error("cannot resume: {what} differ from those of the cursor: expected {expected}, found {found}")]
    Cursor {
        /// What differs.
        what: String,
        /// What the cursor has.
        expected: String,
        /// What there is now.
        found: String,
    },
    /// A whole pass over the shards without an example that can be used.
    #[error("expected at least one usable example in all of {shards} shards, found none; {reason}")]
    Nothing {
        /// How many shards there are.
        shards: usize,
        /// What was wrong with the first that was skipped.
        reason: String,
    },
    /// A thread that reads ahead has ended without a word.
    #[error("reading ahead has stopped: {0}")]
    Stopped(String),
}

impl ShardError {
    /// A content that is not as it should be.
    pub(crate) fn malformed(name: impl Into<String>, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Malformed { name: name.into(), expected: expected.into(), found: found.to_string() }
    }

    /// A value that is out of its range.
    pub(crate) fn setting(key: &'static str, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Setting { key, expected: expected.into(), found: found.to_string() }
    }

    /// For `map_err` on an operation of the file system.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { action, path, source }
    }
}

/// The name among `names` that is nearest to `name`, as a clause for a message; empty where none is near.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    let similarity = |other: &str| strsim::jaro_winkler(name, other).max(strsim::jaro_winkler(last, other));
    let best = names.map(|other| (similarity(other), other)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((similarity, other)) if similarity > 0.7 => format!("; the nearest is `{other}`"),
        _ => String::new(),
    }
}

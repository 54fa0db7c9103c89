//! What can go wrong between a file and a sample.
//!
//! Every message names the file or the key, what was expected there and what was found, because the
//! reader of the message is the person who wrote the file.

use std::io;
use std::path::{Path, PathBuf};

use interfuse_corpora::CorpusError;
use interfuse_parameters::FileError;
use interfuse_shards::ShardError;
use interfuse_speech::SpeechError;

/// Any failure of this crate.
///
/// None of them is a reason to panic: the loader skips and counts bad samples, the command line
/// prints the rest.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A value in the configuration is outside its range.
    #[error("`{key}`: expected {expected}, found {found}")]
    Config {
        /// Dotted path of the key, such as `data.image_size`.
        key: String,
        /// The values that are accepted.
        expected: String,
        /// The value that was given.
        found: String,
    },

    /// The operating system refused to read, write or create a file.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// `read`, `write`, `create`: a verb that completes the sentence "cannot … the file".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason that the operating system gave.
        source: io::Error,
    },

    /// An image could not be decoded or encoded.
    #[error("`{name}`: expected a complete JPEG, PNG, WebP, BMP, TIFF or PNM image, found: {source}")]
    Image {
        /// File name, or the name that its source gives to the image.
        name: String,
        /// The reason that the decoder gave.
        source: image::ImageError,
    },

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

    /// A data set without a single image.
    #[error("no captioned images found: {searched}")]
    Empty {
        /// Where was looked, and for what.
        searched: String,
    },

    /// Files of a known data set are not on this machine.
    #[error("`{}` does not exist; {remedy}", path.display())]
    Missing {
        /// The first file that was looked for.
        path: PathBuf,
        /// What to install or which key to change.
        remedy: String,
    },

    /// Something is in the folder that was to be filled.
    #[error("`{}`: expected a folder that is empty or does not exist, found {found}", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// One entry of it.
        found: String,
    },

    /// Clips, units or a unit codec could not be used.
    #[error(transparent)]
    Speech(#[from] SpeechError),

    /// Shards could not be opened or read.
    #[error(transparent)]
    Shards(#[from] ShardError),

    /// Texts could not be opened or read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),

    /// The tokenizer could not be made, read, or used.
    #[error("tokenizer: {0}")]
    Tokenizer(String),

    /// A tokenizer has no token for a role that a mixed sequence needs.
    #[error(
        "tokenizer `{tokenizer}` has no {role} token: expected one of {tried}, found none of them; \
         add one to `added_tokens` of its tokenizer.json: {{\"id\": {next_id}, \
         \"content\": \"<{role}>\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \
         \"normalized\": false, \"special\": true}}"
    )]
    MissingSpecialToken {
        /// The file that the tokenizer came from.
        tokenizer: String,
        /// `bos`, `eos`, `boi`, `eoi` or `pad`.
        role: &'static str,
        /// The names that were looked up.
        tried: String,
        /// The first id that is free.
        next_id: usize,
    },
}

impl From<FileError> for DataError {
    fn from(FileError { action, path, source }: FileError) -> Self {
        Self::Io { action, path, source }
    }
}

impl DataError {
    /// A value of the configuration that is outside its range.
    pub(crate) fn config(key: &str, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Config { key: key.into(), expected: expected.into(), found: found.to_string() }
    }

    /// A file whose content is not what its format asks for.
    pub(crate) fn malformed(name: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Malformed { name: name.into(), expected: expected.into(), found: found.into() }
    }

    /// What is wrong with an image that is known by a name.
    pub(crate) fn of_image(self, of: &str) -> Self {
        match self {
            Self::Malformed { name, expected, found } if name == "image" => Self::malformed(of, expected, found),
            other => other,
        }
    }

    /// A caption that cannot be used.
    pub(crate) fn caption(name: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::malformed(name, "a caption that the tokenizer has ids for", reason.to_string())
    }

    /// For `map_err` on an operation of the file system.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// For `map_err` on a decoder or encoder of images.
    pub(crate) fn image(name: impl Into<String>) -> impl FnOnce(image::ImageError) -> Self {
        let name = name.into();
        move |source| Self::Image { name, source }
    }
}

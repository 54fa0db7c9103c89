//! What to open: one table with a `kind`.
//!
//! | kind | what | needs |
//! |---|---|---|
//! | `rust-books` | the books of the Rust toolchain, a document a section | nothing: rustup installs them by default |
//! | `debian-text` | dictionaries, manuals, an FAQ, quotations | one `apt-get install` line |
//! | `cargo-registry` | the sources that cargo has unpacked on this machine | nothing where something was built |
//! | `python-stdlib` | the standard library of Python | Python |
//! | `molecules` | the MOSES set of SMILES with its published splits | one `pip download` line |
//! | `folder` | files of one's own | a folder |

use serde::{Deserialize, Serialize};

use crate::corpus::Corpus;
use crate::error::CorpusError;
use crate::kinds::{
    CargoRegistryConfig, DebianTextConfig, MoleculesConfig, PythonStdlibConfig, RustBooksConfig, TextFolderConfig,
    cargo_registry, debian, folder, molecules, python_stdlib, rust_books,
};

/// Which texts, and the settings of that kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CorpusConfig {
    /// The books that come with the Rust toolchain.
    RustBooks(RustBooksConfig),
    /// Texts of Debian packages.
    DebianText(DebianTextConfig),
    /// Source code that cargo has unpacked.
    CargoRegistry(CargoRegistryConfig),
    /// The sources of Python's standard library.
    PythonStdlib(PythonStdlibConfig),
    /// SMILES of the MOSES set.
    Molecules(MoleculesConfig),
    /// The user's own files.
    Folder(TextFolderConfig),
}

impl CorpusConfig {
    /// The kind as configurations spell it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RustBooks(_) => "rust-books",
            Self::DebianText(_) => "debian-text",
            Self::CargoRegistry(_) => "cargo-registry",
            Self::PythonStdlib(_) => "python-stdlib",
            Self::Molecules(_) => "molecules",
            Self::Folder(_) => "folder",
        }
    }

    /// Checks every value; `key` is where the table stands, such as `data.mixture[0].content.corpus`.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self, key: &str) -> Result<(), CorpusError> {
        match self {
            Self::RustBooks(config) => config.validate(key),
            Self::DebianText(config) => config.validate(key),
            Self::CargoRegistry(config) => config.validate(key),
            Self::PythonStdlib(config) => config.validate(key),
            Self::Molecules(_) => Ok(()),
            Self::Folder(config) => config.validate(key),
        }
    }

    /// Finds and reads the texts, drops duplicates and splits them; `key` as for [`CorpusConfig::validate`].
    ///
    /// # Errors
    /// When a value is out of its range; when files are missing, which says what to install; when a file is not as its
    /// format asks; or when there is no text.
    pub fn open(&self, key: &str) -> Result<Corpus, CorpusError> {
        self.validate(key)?;
        match self {
            Self::RustBooks(config) => rust_books::open(config, key),
            Self::DebianText(config) => debian::open(config, key),
            Self::CargoRegistry(config) => cargo_registry::open(config, key),
            Self::PythonStdlib(config) => python_stdlib::open(config, key),
            Self::Molecules(config) => molecules::open(config, key),
            Self::Folder(config) => folder::open(config, key),
        }
    }
}

/// The fraction of texts that are held out where a configuration says nothing.
pub(crate) fn default_held_out() -> f64 {
    0.05
}

/// Checks a fraction of texts that are held out.
pub(crate) fn check_held_out(held_out: f64, key: &str) -> Result<(), CorpusError> {
    match (0.0..1.0).contains(&held_out) {
        true => Ok(()),
        false => Err(CorpusError::setting(format!("{key}.held_out"), "a fraction from 0 to below 1", held_out)),
    }
}

/// Checks the extensions of files and the size above which they are left out.
pub(crate) fn check_extensions(extensions: &[String], key: &str) -> Result<(), CorpusError> {
    let key = format!("{key}.extensions");
    let expected = "extensions of files without the dot, such as `rs`";
    match extensions.iter().find(|extension| extension.is_empty() || extension.contains(['.', '/', '\\'])) {
        Some(wrong) => Err(CorpusError::setting(key, expected, format!("{wrong:?}"))),
        None if extensions.is_empty() => Err(CorpusError::setting(key, expected, "none")),
        None => Ok(()),
    }
}

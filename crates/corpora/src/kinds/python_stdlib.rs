//! Python's standard library: source code of a second language on every machine with Python.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::program::path_printed_by;
use super::source_code::{LeftOut, MOST_BYTES, Wanted, add};
use crate::config::{check_held_out, default_held_out};
use crate::corpus::{Builder, Corpus, Splitting};
use crate::error::CorpusError;

/// Folders of packages that were installed beside.
const INSTALLED: [&str; 3] = ["site-packages", "dist-packages", "__pycache__"];
/// Folders of tests.
const TESTS: [&str; 3] = ["test", "tests", "idle_test"];

/// Options of `kind = "python-stdlib"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PythonStdlibConfig {
    /// The folder of the library; that of `python3` where there is none.
    pub folder: Option<PathBuf>,
    /// Whether its tests are read too.
    pub tests: bool,
    /// Larger files are left out, in bytes.
    pub max_bytes: u64,
    /// Fraction, from 0 to below 1, of the files that training does not see.
    pub held_out: f64,
}

impl Default for PythonStdlibConfig {
    fn default() -> Self {
        Self { folder: None, tests: false, max_bytes: MOST_BYTES, held_out: default_held_out() }
    }
}

impl PythonStdlibConfig {
    pub(crate) fn validate(&self, key: &str) -> Result<(), CorpusError> {
        check_held_out(self.held_out, key)
    }
}

pub(crate) fn open(config: &PythonStdlibConfig, key: &str) -> Result<Corpus, CorpusError> {
    let question = "import sysconfig; print(sysconfig.get_path('stdlib'))";
    let of_python = || path_printed_by("python3", &["-c", question]);
    let remedy = format!("install it by `apt-get install python3`, or name its folder in `{key}.folder`");
    let Some(root) = config.folder.clone().or_else(of_python) else {
        return Err(CorpusError::missing("the standard library of Python (`python3`)", remedy));
    };
    if !root.is_dir() {
        return Err(CorpusError::missing(format!("the standard library of Python in `{}`", root.display()), remedy));
    }
    let mut without = INSTALLED.to_vec();
    if !config.tests {
        without.extend(TESTS);
    }
    let extensions = ["py".to_string()];
    let wanted = Wanted { extensions: &extensions, max_bytes: config.max_bytes, without: &without };
    let mut builder = Builder::new(Splitting::ByText(config.held_out));
    // The folder is named after the version: `python3.11`.
    builder.item("python-stdlib", root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default());
    let mut left_out = LeftOut::default();
    add(&mut builder, (&root, ""), &wanted, &mut left_out)?;
    left_out.tell(&mut builder, config.max_bytes);
    builder.finish("python-stdlib", || format!("searched `{}` for files that end in py", root.display()))
}

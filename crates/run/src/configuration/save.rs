//! Writing the complete configuration that a run was started with.

use std::path::Path;

use interfuse_parameters::durable::write_file;
use serde::Serialize;

use crate::error::{Context as _, Result};

/// Writes `config` to `path` as TOML, every key that it holds included, so that later defaults cannot change what it means.
///
/// # Errors
/// A value that TOML cannot hold (a whole number above 2⁶³ − 1), or a path that cannot be written.
pub fn save<T: Serialize>(config: &T, path: &Path) -> Result<()> {
    let text = toml::to_string_pretty(config)
        .with_context(|| format!("cannot write the configuration {} as TOML", path.display()))?;
    Ok(write_file(path, text.as_bytes())?)
}

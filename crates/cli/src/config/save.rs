//! Writing the complete configuration that a run was started with.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::atomic_file::write_whole;

/// Writes `config` to `path` as TOML, every key that it holds included, so that later defaults cannot change what it means.
///
/// # Errors
/// A value that TOML cannot hold (a whole number above 2⁶³ − 1), or a path that cannot be written.
pub(crate) fn save<T: Serialize>(config: &T, path: &Path) -> anyhow::Result<()> {
    let text = toml::to_string_pretty(config)
        .with_context(|| format!("cannot write the configuration {} as TOML", path.display()))?;
    write_whole(path, text.as_bytes())
}

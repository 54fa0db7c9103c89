//! Files that are whole or absent: written to a temporary path, brought to the disk, then renamed into place.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Writes `contents` to `path` so that, whatever interrupts it, the path holds the old contents or the new, never a part.
///
/// # Errors
/// The folder does not exist or cannot be written, or the disk is full; the old file is then as it was.
pub(crate) fn write_whole(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    let temporary = temporary(path);
    write_through(&temporary, contents)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The name beside `path` that an unfinished write leaves behind: `config.toml.partial`.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

fn write_through(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(contents)?;
    // Without this, a power cut after the rename could leave the new name on an empty file.
    file.sync_all()
}

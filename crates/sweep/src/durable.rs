//! Files that are whole or absent: written beside their place, put on the disk, and renamed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Result, SweepError};

/// Writes a file, so that its path holds the old contents or the new, never a part.
pub(crate) fn write_file(path: &Path, contents: &[u8]) -> Result<()> {
    // Jobs that work side by side write the same table, each at a temporary path of its own.
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    let temporary = PathBuf::from(name);
    let written = (|| {
        let mut file = File::create(&temporary)?;
        file.write_all(contents)?;
        // Without this, a power cut after the rename could leave the new name on an empty file.
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder(path)
    })();
    if written.is_err() {
        // What is half written helps nobody; the first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(SweepError::file("write", path))
}

/// Puts the name of a file on the disk, where the system lets a folder be opened.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(parent)?.sync_all() } else { Ok(()) }
}

/// Writes a value as JSON.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| SweepError::malformed(path, error))?;
    text.push(b'\n');
    write_file(path, &text)
}

/// Reads a value that [`write_json`] wrote; nothing where there is no file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(SweepError::file("read", path))?,
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| SweepError::malformed(path, error))
}

/// Makes a folder and those above it.
pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(SweepError::file("create", folder))
}

/// Reads a file of text.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(SweepError::file("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), None);
        write_json(&path, &vec![1u8]).unwrap();
        write_json(&path, &vec![2u8]).unwrap();
        assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), Some(vec![2]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(&path, "[3").unwrap();
        assert!(read_json::<Vec<u8>>(&path).unwrap_err().to_string().contains("a.json"));
        assert!(write_file(&folder.path().join("none/a"), b"").unwrap_err().to_string().starts_with("cannot write"));
    }
}

//! Folders that are whole or not there.
//!
//! A folder is written beside its place under another name, put on the disk file by file, and renamed when it is whole:
//! whatever happens, what has the right name is complete.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::TrainError;

/// Writes a folder that must not exist yet, or is replaced when it does; `write` fills the folder that it is given.
///
/// # Errors
/// When something cannot be written; `folder` is then as it was.
pub fn write_folder(folder: &Path, write: impl FnOnce(&Path) -> Result<(), TrainError>) -> Result<(), TrainError> {
    let temporary = temporary_path(folder);
    remove(&temporary)?;
    let written = create_folder(&temporary).and_then(|()| write(&temporary)).and_then(|()| {
        sync_folder(&temporary)?;
        remove(folder)?;
        std::fs::rename(&temporary, folder).map_err(io("rename", &temporary))?;
        sync_folder(folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    });
    if written.is_err() {
        // What is half written helps nobody, and on a full disk its room is needed; the first error is the one to report.
        let _ = std::fs::remove_dir_all(&temporary);
    }
    written
}

/// `step-000500` → `step-000500.partial`, which nobody takes for a checkpoint.
fn temporary_path(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// Makes a folder and those above it.
pub(crate) fn create_folder(folder: &Path) -> Result<(), TrainError> {
    std::fs::create_dir_all(folder).map_err(io("create", folder))
}

/// Reads a text file.
pub(crate) fn read_text(path: &Path) -> Result<String, TrainError> {
    std::fs::read_to_string(path).map_err(io("read", path))
}

/// Writes a value as JSON and waits until it is on the disk.
///
/// # Errors
/// When it cannot be written, or holds what JSON cannot.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| TrainError::Foreign {
        path: path.display().to_string(),
        expected: "numbers that JSON can hold".into(),
        found: error.to_string(),
    })?;
    write_synced(path, &text)
}

/// Writes a file and waits until it is on the disk.
///
/// # Errors
/// When it cannot be written.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let mut file = File::create(path).map_err(io("create", path))?;
    file.write_all(bytes).map_err(io("write", path))?;
    file.sync_all().map_err(io("write", path))
}

/// Waits until the names in a folder are on the disk.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), TrainError> {
    // Only Unix lets a folder be opened and synced; elsewhere the rename is as safe as the system makes it.
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("sync", folder))?;
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<(), TrainError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", folder)(error)),
        _ => Ok(()),
    }
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    let path = path.display().to_string();
    move |source| TrainError::Io { action, path, source }
}

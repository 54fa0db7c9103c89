//! A folder that one process at a time works in.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use interfuse_parameters::FileError;
use interfuse_parameters::durable::create_folder;

use crate::error::CheckpointError;

/// The file whose lock is the folder's. It stays when the lock is gone.
pub const LOCK: &str = ".lock";

/// A folder in use by this process.
///
/// The lock ends when this is dropped, or with the process, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the folder, which is made if it is not there.
    ///
    /// # Errors
    /// When another process has it, or the folder cannot be written.
    pub fn take(folder: &Path) -> Result<Self, CheckpointError> {
        create_folder(folder)?;
        let path = folder.join(LOCK);
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(FileError::of("write", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(CheckpointError::InUse(folder.to_path_buf())),
            // Some network file systems have no locks; that is no reason not to train there.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                tracing::warn!(
                    "{}: no locks on this file system, so take care that one process works there",
                    folder.display()
                );
                Ok(Self { _file: file })
            }
            Err(TryLockError::Error(source)) => Err(FileError::of("lock", &path)(source).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once_until_it_is_given_back() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("run");
        let first = FolderLock::take(&folder).unwrap();
        let message = FolderLock::take(&folder).unwrap_err().to_string();
        assert!(message.contains("run is in use"), "{message}");
        drop(first);
        FolderLock::take(&folder).unwrap();
    }
}

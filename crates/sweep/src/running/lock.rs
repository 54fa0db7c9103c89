//! Who works where: locks of the system, which end with the process that holds them, however it ends.
//!
//! A whole sweep holds its folder alone, jobs of one sweep hold it together, and everyone holds the run that it works on. A
//! child inherits the lock of its run as its standard input, so that a run whose sweep was killed stays locked until the child has
//! ended too, and nobody trains in its folder beside it.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use crate::durable::create_folder;
use crate::error::{Result, SweepError};

const LOCK: &str = ".lock";

/// Takes the folder of a sweep, which is made if it is not there; `shared` with other jobs.
pub(super) fn take_sweep(folder: &Path, shared: bool) -> Result<File> {
    take(folder, shared)?.ok_or_else(|| SweepError::InUse(folder.to_owned()))
}

/// Takes the folder of a run, which is made if it is not there; nothing where someone else has it.
///
/// # Errors
/// The folder cannot be made, or its lock cannot be written.
pub fn take_run(folder: &Path) -> Result<Option<File>> {
    take(folder, false)
}

/// Whether a program trains in a run folder, such as by a command of `--list`, which takes no lock of ours.
pub fn is_trained_in(folder: &Path) -> bool {
    let file = File::options().read(true).write(true).open(folder.join(LOCK));
    file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn take(folder: &Path, shared: bool) -> Result<Option<File>> {
    create_folder(folder)?;
    let path = folder.join(LOCK);
    // Read access too: the file becomes the standard input of a child.
    let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
    let file = file.map_err(SweepError::file("write", &path))?;
    let locked = if shared { file.try_lock_shared() } else { file.try_lock() };
    match locked {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        // Some network file systems have no locks; that is no reason not to work there.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(Some(file)),
        Err(TryLockError::Error(error)) => Err(SweepError::file("lock", &path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_is_alone_and_jobs_share() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sweep");
        let whole = take_sweep(&path, false).unwrap();
        for shared in [false, true] {
            let message = take_sweep(&path, shared).unwrap_err().to_string();
            assert!(message.contains("sweep is in use"), "{message}");
        }
        drop(whole);
        let jobs = [take_sweep(&path, true).unwrap(), take_sweep(&path, true).unwrap()];
        assert!(take_sweep(&path, false).is_err());
        drop(jobs);
        take_sweep(&path, false).unwrap();
    }

    #[test]
    fn a_run_stays_locked_by_a_copy_of_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let first = take_run(folder.path()).unwrap().unwrap();
        let of_child = first.try_clone().unwrap();
        drop(first);
        assert!(take_run(folder.path()).unwrap().is_none());
        drop(of_child);
        assert!(take_run(folder.path()).unwrap().is_some());
    }
}

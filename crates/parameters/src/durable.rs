//! Files and folders that are whole or absent.
//!
//! Each is written to a temporary path beside its place, put on the disk, and renamed once it is whole: whatever
//! interrupts a write, what has the right name is complete.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The system refused to read, write or create a file or folder.
#[derive(Debug, Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FileError {
    /// `read`, `write`, `create`: a verb that completes "cannot … the file".
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`.
    pub fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self { action, path, source }
    }
}

/// Writes a file, so that its path holds the old contents or the new, never a part.
///
/// # Errors
/// When the folder is missing or cannot be written, or the disk is full; the old file is then as it was.
pub fn write_file(path: &Path, contents: &[u8]) -> Result<(), FileError> {
    replace_file(path, |temporary| write_synced(temporary, contents).map_err(FileError::of("write", path)))
}

/// As [`write_file`]; `write` makes the file at the temporary path that it is given.
///
/// # Errors
/// When `write` fails or the file cannot be put in its place; the old file is then as it was.
pub fn replace_file<E: From<FileError>>(path: &Path, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let temporary = temporary_path(path);
    let written = write(&temporary).and_then(|()| {
        fs::rename(&temporary, path).map_err(FileError::of("write", path))?;
        Ok(sync(parent(path))?)
    });
    if written.is_err() {
        // What is half written helps nobody, and on a full disk its room is needed; the first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Writes a folder that must not exist yet, or is replaced when it does; `write` fills the folder that it is given.
///
/// # Errors
/// When `write` fails or something cannot be written; `folder` is then as it was.
pub fn write_folder<E: From<FileError>>(folder: &Path, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let temporary = temporary_path(folder);
    remove_folder(&temporary)?;
    let written = create_folder(&temporary).map_err(E::from).and_then(|()| write(&temporary)).and_then(|()| {
        sync_tree(&temporary)?;
        put_in_place(&temporary, folder)?;
        Ok(sync(parent(folder))?)
    });
    if written.is_err() {
        let _ = fs::remove_dir_all(&temporary);
    }
    written
}

/// Makes a folder and those above it.
///
/// # Errors
/// When it cannot be made.
pub fn create_folder(folder: &Path) -> Result<(), FileError> {
    fs::create_dir_all(folder).map_err(FileError::of("create", folder))
}

/// Checks that [`write_file`] could write `path`, before work begins whose result goes there.
///
/// # Errors
/// When its folder is missing or cannot be written, or `path` is a folder.
pub fn check_writable(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Err(FileError::of("write", path)(io::ErrorKind::IsADirectory.into()));
    }
    let temporary = temporary_path(path);
    File::create(&temporary).and_then(|_| fs::remove_file(&temporary)).map_err(FileError::of("write", path))
}

/// Checks that a folder could be made, or is one, before work begins whose result goes there. Makes nothing.
///
/// # Errors
/// When the path, or one on the way to it, is no folder.
pub fn check_folder(folder: &Path) -> Result<(), FileError> {
    let there = folder.ancestors().find(|path| path.exists());
    match there.is_none_or(Path::is_dir) {
        true => Ok(()),
        false => Err(FileError::of("create", folder)(io::ErrorKind::NotADirectory.into())),
    }
}

/// `step-000500` → `step-000500.partial`, which nobody takes for a checkpoint.
pub fn temporary_path(path: &Path) -> PathBuf {
    with_ending(path, ".partial")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn write_synced(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(contents)?;
    // Without this, a power cut after the rename could leave the new name on an empty file.
    file.sync_all()
}

/// Renames; a folder that is there already moves out of the way first, so that one of the two is whole at any time.
fn put_in_place(temporary: &Path, folder: &Path) -> Result<(), FileError> {
    let rename = |from: &Path, to: &Path| fs::rename(from, to).map_err(FileError::of("rename", from));
    if !folder.exists() {
        return rename(temporary, folder);
    }
    let replaced = with_ending(folder, ".replaced");
    remove_folder(&replaced)?;
    rename(folder, &replaced)?;
    if let Err(error) = rename(temporary, folder) {
        rename(&replaced, folder)?;
        return Err(error);
    }
    remove_folder(&replaced)
}

fn remove_folder(folder: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::of("remove", folder)(error)),
        _ => Ok(()),
    }
}

/// Waits until every file below a folder, and every name, is on the disk.
fn sync_tree(folder: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(folder).map_err(FileError::of("read", folder))? {
        let path = entry.map_err(FileError::of("read", folder))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            // Windows syncs only what is open for writing.
            let file = if cfg!(unix) { File::open(&path) } else { fs::OpenOptions::new().write(true).open(&path) };
            file.and_then(|file| file.sync_all()).map_err(FileError::of("sync", &path))?;
        }
    }
    sync(folder)
}

/// Waits until the names in a folder are on the disk.
fn sync(folder: &Path) -> Result<(), FileError> {
    // Only Unix lets a folder be opened and synced; elsewhere the rename is as safe as the system makes it.
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(FileError::of("sync", folder))?;
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_or_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        write_file(&path, b"old").unwrap();
        let torn = replace_file(&path, |temporary| {
            fs::write(temporary, b"ne").unwrap();
            Err(FileError::of("write", temporary)(io::ErrorKind::StorageFull.into()))
        });
        assert!(torn.is_err());
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"old".to_vec(), vec!["report.json".into()]));
        write_file(&path, b"new").unwrap();
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"new".to_vec(), vec!["report.json".into()]));
    }

    #[test]
    fn a_folder_is_replaced_whole_or_stays_as_it_was() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("vae");
        let write = |text: &'static str, fails: bool| {
            write_folder(&folder, |temporary| {
                fs::write(temporary.join(text), text).unwrap();
                let error = FileError::of("write", temporary)(io::ErrorKind::StorageFull.into());
                if fails { Err(error) } else { Ok(()) }
            })
        };
        write("first", false).unwrap();
        assert!(write("torn", true).is_err());
        assert_eq!((names(&folder), names(parent.path())), (vec!["first".into()], vec!["vae".into()]));
        write("second", false).unwrap();
        assert_eq!((names(&folder), names(parent.path())), (vec!["second".into()], vec!["vae".into()]));
    }

    #[test]
    fn what_cannot_be_written_is_found_out_before_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| check_writable(path).unwrap_err().to_string();
        assert!(message(&folder.path().join("nowhere/x.json")).contains("nowhere/x.json"));
        assert!(message(folder.path()).starts_with("cannot write"));
        check_writable(&folder.path().join("x.json")).unwrap();
        check_folder(&folder.path().join("a/b")).unwrap();
        assert!(names(folder.path()).is_empty());
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(check_folder(&folder.path().join("file/b")).unwrap_err().to_string().starts_with("cannot create"));
    }
}

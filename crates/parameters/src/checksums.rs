//! `SHA256SUMS`: the hashes of a folder's files when they were written, in the form that `sha256sum --check` reads.
//!
//! A flipped bit in a weight is a weight like any other, so nothing but a hash can tell. A folder without the file is taken
//! as it is: it may come from another program, or its owner may have changed it on purpose.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::durable::{FileError, write_file};
use crate::files::WeightsError;
use crate::sha256;

/// The file's name.
pub const CHECKSUMS: &str = "SHA256SUMS";

/// Writes the hashes of all files below a folder, but for an older `SHA256SUMS` at its top.
///
/// # Errors
/// When a file cannot be read, or this one not written.
pub fn write_checksums(folder: &Path) -> Result<(), FileError> {
    let mut names = vec![];
    collect(folder, "", &mut names)?;
    names.sort();
    let mut text = String::new();
    for name in names.iter().filter(|name| *name != CHECKSUMS) {
        let path = folder.join(name);
        let hash = sha256::of_file(&path).map_err(FileError::of("read", &path))?;
        text.push_str(&format!("{hash}  {name}\n"));
    }
    write_file(&folder.join(CHECKSUMS), text.as_bytes())
}

/// Names below a folder, with `/` between folders on every system.
fn collect(folder: &Path, above: &str, names: &mut Vec<String>) -> Result<(), FileError> {
    for entry in std::fs::read_dir(folder).map_err(FileError::of("read", folder))? {
        let path = entry.map_err(FileError::of("read", folder))?.path();
        let name = format!("{above}{}", path.file_name().unwrap_or_default().to_string_lossy());
        match path.is_dir() {
            true => collect(&path, &format!("{name}/"), names)?,
            false => names.push(name),
        }
    }
    Ok(())
}

/// What a folder's `SHA256SUMS` says.
#[derive(Debug)]
pub struct Checksums {
    folder: PathBuf,
    hashes: BTreeMap<String, String>,
}

impl Checksums {
    /// Of a folder; empty where it has none.
    ///
    /// # Errors
    /// When the file cannot be read or is no list of hashes.
    pub fn of(folder: &Path) -> Result<Self, WeightsError> {
        let path = folder.join(CHECKSUMS);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => vec![],
            other => other.map_err(|source| WeightsError::Io { path: path.display().to_string(), source })?,
        };
        let malformed = |reason: String| WeightsError::Format {
            path: path.display().to_string(),
            kind: "list of SHA-256 hashes (`HASH  NAME`)",
            reason,
        };
        let text = String::from_utf8(bytes).map_err(|error| malformed(error.to_string()))?;
        let mut hashes = BTreeMap::new();
        for line in text.lines() {
            let (hash, name) = line.split_once("  ").ok_or_else(|| malformed(format!("{line:?}")))?;
            hashes.insert(name.to_owned(), hash.to_owned());
        }
        Ok(Self { folder: folder.to_path_buf(), hashes })
    }

    /// Checks one file by its name in the folder. What is not listed or not there is not checked.
    ///
    /// # Errors
    /// When the file is not what it was, or cannot be read.
    pub fn check(&self, name: &str) -> Result<(), WeightsError> {
        let path = self.folder.join(name);
        let Some(expected) = self.hashes.get(name).filter(|_| path.is_file()) else { return Ok(()) };
        let shown = || path.display().to_string();
        let found = sha256::of_file(&path).map_err(|source| WeightsError::Io { path: shown(), source })?;
        match *expected == found {
            true => Ok(()),
            false => Err(WeightsError::Changed { path: shown(), expected: expected.clone(), found }),
        }
    }

    /// As [`Self::check`], of several files.
    ///
    /// # Errors
    /// For the first that is not what it was.
    pub fn check_all<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), WeightsError> {
        names.into_iter().try_for_each(|name| self.check(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_is_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("vae")).unwrap();
        let weights = folder.path().join("vae/weights");
        std::fs::write(&weights, "abc").unwrap();
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        write_checksums(folder.path()).unwrap();
        // Written a second time it does not list itself.
        write_checksums(folder.path()).unwrap();
        let check = || Checksums::of(folder.path()).and_then(|sums| sums.check_all(["config.json", "vae/weights"]));
        check().unwrap();
        let text = std::fs::read_to_string(folder.path().join(CHECKSUMS)).unwrap();
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(text.ends_with(&format!("\n{hash}  vae/weights\n")) && text.lines().count() == 2, "{text}");

        std::fs::write(&weights, "abb").unwrap();
        let message = check().unwrap_err().to_string();
        assert!(message.contains("vae/weights") && message.contains(hash) && message.contains(CHECKSUMS), "{message}");
        std::fs::remove_file(&weights).unwrap();
        check().unwrap();
    }

    #[test]
    fn a_folder_without_hashes_is_taken_as_it_is_and_a_torn_list_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Checksums::of(folder.path()).unwrap().check("config.json").unwrap();
        for torn in [&b"ba7816bf"[..], b"\xff\xfe"] {
            std::fs::write(folder.path().join(CHECKSUMS), torn).unwrap();
            let message = Checksums::of(folder.path()).unwrap_err().to_string();
            assert!(message.contains("list of SHA-256 hashes"), "{message}");
        }
    }
}

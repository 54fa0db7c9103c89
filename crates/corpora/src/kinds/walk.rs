//! Files below a folder, and their texts.

use std::path::{Path, PathBuf};

use crate::error::CorpusError;
use crate::texts::invalid_byte;

/// The mark at the beginning of some UTF-8 files.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What lies below a folder.
pub(crate) struct Found {
    /// Paths below it, in the order of their names.
    pub(crate) files: Vec<PathBuf>,
    /// Links that lead to a folder or nowhere. They are passed over, because they might lead in a circle.
    pub(crate) links: Vec<PathBuf>,
}

/// The files below a folder for which `take` holds, asked of a path below it. Hidden entries are passed over, and
/// folders for which `enter` does not hold.
pub(crate) fn files_below(
    root: &Path,
    enter: impl Fn(&Path) -> bool,
    take: impl Fn(&Path) -> bool,
) -> Result<Found, CorpusError> {
    let mut found = Found { files: vec![], links: vec![] };
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        for entry in std::fs::read_dir(&path).map_err(CorpusError::file("read", &path))? {
            let entry = entry.map_err(CorpusError::file("read", &path))?;
            let mut kind = entry.file_type().map_err(CorpusError::file("read", &entry.path()))?;
            let name = entry.file_name();
            let below = folder.join(&name);
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if kind.is_symlink() {
                match std::fs::metadata(entry.path()) {
                    Ok(target) if target.is_file() => kind = target.file_type(),
                    _ => found.links.push(below.clone()),
                }
            }
            if kind.is_dir() && enter(&below) {
                folders.push(below);
            } else if kind.is_file() && take(&below) {
                found.files.push(below);
            }
        }
    }
    found.files.sort();
    found.links.sort();
    Ok(found)
}

/// A path below a folder as a name that is the same on any system: its parts with slashes between them.
pub(crate) fn name_of(path: &Path) -> String {
    path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// Whether a file has one of some extensions, in any case.
pub(crate) fn has_extension(path: &Path, extensions: &[String]) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy());
    extension.is_some_and(|extension| extensions.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// The text of a file, and where it begins: after the mark of UTF-8 where there is one. What is not UTF-8 comes back as
/// a sentence.
pub(crate) fn read_text(path: &Path) -> Result<Result<(u64, String), String>, CorpusError> {
    let mut bytes = std::fs::read(path).map_err(CorpusError::file("read", path))?;
    let start = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Ok(Err("expected text in UTF-8, found the mark of UTF-16 at offset 0".into()));
    }
    bytes.drain(..start);
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Ok((start as u64, text)),
        Err(error) => {
            let found = invalid_byte(start as u64, &error.utf8_error(), error.as_bytes());
            Err(format!("expected text in UTF-8, found {found}"))
        }
    })
}

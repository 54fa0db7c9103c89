//! Images and captions of a WebDataset: files of one sample share the name up to the first dot and follow one another.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{Batches, EXTENSIONS, Encoded, Spread};
use crate::error::EvaluationError;

/// Hands every sample that has an image to `batches`, at most so many, spread evenly.
pub(super) fn read(path: &Path, most: Option<usize>, batches: &mut Batches<'_>) -> Result<(), EvaluationError> {
    let fail = |source| EvaluationError::File { action: "read", path: path.to_path_buf(), source };
    let spread = Spread::new(most, || count(path))?;
    let mut archive = tar::Archive::new(File::open(path).map_err(fail)?);
    let mut seen = 0;
    let mut give = |sample: Sample| -> Result<(), EvaluationError> {
        let Some((name, bytes)) = sample.image else { return Ok(()) };
        seen += 1;
        let file = Encoded { name, bytes, caption: sample.caption };
        if spread.keeps(seen - 1) { batches.take(file) } else { Ok(()) }
    };
    let mut sample = Sample::default();
    for entry in archive.entries().map_err(fail)? {
        let mut entry = entry.map_err(fail)?;
        let path = entry.path().map_err(fail)?.into_owned();
        let Some((key, extension)) = key_of(&path) else { continue };
        if key != sample.key {
            give(std::mem::replace(&mut sample, Sample { key, ..Sample::default() }))?;
        }
        let mut bytes = Vec::new();
        let read = entry.read_to_end(&mut bytes).map_err(|error| error.to_string());
        if EXTENSIONS.contains(&extension.as_str()) {
            sample.image = Some((path.display().to_string(), read.map(|_| bytes)));
        } else if extension == "txt" {
            sample.caption = Some(String::from_utf8_lossy(&bytes).trim().to_string());
        }
    }
    give(sample)
}

/// How many samples have an image, by the names alone.
fn count(path: &Path) -> Result<usize, EvaluationError> {
    let fail = |source| EvaluationError::File { action: "read", path: path.to_path_buf(), source };
    let mut archive = tar::Archive::new(File::open(path).map_err(fail)?);
    let mut keys = vec![];
    for entry in archive.entries_with_seek().map_err(fail)? {
        let named = key_of(&entry.map_err(fail)?.path().map_err(fail)?);
        keys.extend(named.filter(|(_, extension)| EXTENSIONS.contains(&extension.as_str())).map(|(key, _)| key));
    }
    keys.dedup();
    Ok(keys.len())
}

/// Files of a tar that belong together.
#[derive(Default)]
struct Sample {
    key: String,
    image: Option<(String, Result<Vec<u8>, String>)>,
    caption: Option<String>,
}

/// Name up to the first dot of the last part, and the extension behind it in lower case.
fn key_of(path: &Path) -> Option<(String, String)> {
    let name = path.file_name()?.to_str()?;
    let (stem, extension) = name.split_once('.').filter(|(stem, _)| !stem.is_empty())?;
    Some((path.with_file_name(stem).display().to_string(), extension.to_lowercase()))
}

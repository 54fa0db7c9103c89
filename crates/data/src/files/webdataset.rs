//! WebDataset tars: files of one sample share the name up to the first dot and follow one another.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::listing::{PassedOver, is_image};
use crate::error::DataError;

/// Files of a tar that belong together, with an image among them.
#[derive(Debug)]
pub struct TarSample {
    /// The image's path in the tar.
    pub name: String,
    /// The image's file, or why it cannot be read.
    pub image: Result<Vec<u8>, String>,
    /// The content of the `.txt` beside it.
    pub text: Option<Vec<u8>>,
}

/// Gives every sample that has an image to `work`, in the order of the tar; says which images were passed over.
///
/// # Errors
///
/// When the tar cannot be read or is torn, or `work` fails.
pub fn for_each_sample<E: From<DataError>>(
    path: &Path,
    mut work: impl FnMut(TarSample) -> Result<(), E>,
) -> Result<PassedOver, E> {
    let fail = |error| DataError::io("read", path)(error);
    let mut archive = tar::Archive::new(File::open(path).map_err(fail)?);
    let mut passed_over = PassedOver::default();
    let mut parts = Parts::default();
    let mut give = |parts: Parts| match parts.image {
        Some((name, image)) => work(TarSample { name, image, text: parts.text }),
        None => Ok(()),
    };
    for entry in archive.entries().map_err(fail)? {
        let mut entry = entry.map_err(fail)?;
        let path = entry.path().map_err(fail)?.into_owned();
        let Some((key, extension)) = key_of(&path) else { continue };
        if key != parts.key {
            give(std::mem::replace(&mut parts, Parts { key, ..Parts::default() }))?;
        }
        if is_image(&path) {
            let mut bytes = Vec::new();
            let read = entry.read_to_end(&mut bytes).map_err(|error| error.to_string());
            parts.image = Some((path.display().to_string(), read.map(|_| bytes)));
        } else if extension == "txt" {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(fail)?;
            parts.text = Some(bytes);
        } else {
            passed_over.see(&path);
        }
    }
    give(parts)?;
    Ok(passed_over)
}

/// How many samples have an image, by the names alone.
///
/// # Errors
///
/// When the tar cannot be read or is torn.
pub fn count(path: &Path) -> Result<usize, DataError> {
    let fail = |error| DataError::io("read", path)(error);
    let mut archive = tar::Archive::new(File::open(path).map_err(fail)?);
    let mut keys = vec![];
    for entry in archive.entries_with_seek().map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let path = entry.path().map_err(fail)?;
        keys.extend(key_of(&path).filter(|_| is_image(&path)).map(|(key, _)| key));
    }
    keys.dedup();
    Ok(keys.len())
}

/// What was seen of a sample.
#[derive(Default)]
struct Parts {
    key: String,
    image: Option<(String, Result<Vec<u8>, String>)>,
    text: Option<Vec<u8>>,
}

/// Name up to the first dot of the last part, and the extension behind it in lower case.
fn key_of(path: &Path) -> Option<(String, String)> {
    let name = path.file_name()?.to_str()?;
    let (stem, extension) = name.split_once('.').filter(|(stem, _)| !stem.is_empty())?;
    Some((path.with_file_name(stem).display().to_string(), extension.to_lowercase()))
}

//! Which captions belong to which images of a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::listing::Files;
use crate::metadata;

/// An image that has a caption; whether it can be decoded is not known yet.
#[derive(Debug)]
pub(crate) struct Captioned {
    /// Path below the root, with `/` between folders.
    pub(crate) name: String,
    pub(crate) captions: Vec<String>,
    pub(crate) label: Option<usize>,
}

/// Finds the captioned images below a folder, and says of the rest why each was left out.
///
/// # Errors
///
/// When the folder or its metadata cannot be read.
pub(crate) fn find(root: &Path) -> Result<(Vec<Captioned>, Vec<String>), DataError> {
    let files = Files::below(root)?;
    let mut skipped = Vec::new();
    let found = if files.metadata.is_empty() {
        paired(root, &files, &mut skipped)
    } else {
        described(root, &files, &mut skipped)?
    };
    Ok((found, skipped))
}

/// Images that metadata files describe, in the order of their rows.
fn described(root: &Path, files: &Files, skipped: &mut Vec<String>) -> Result<Vec<Captioned>, DataError> {
    let mut items = Vec::new();
    for metadata in &files.metadata {
        let folder = metadata.parent().unwrap_or(Path::new(""));
        for row in metadata::read(&root.join(metadata))? {
            let item = row.and_then(|row| {
                let path = folder.join(&row.file_name);
                if !root.join(&path).is_file() {
                    return Err(format!("`{}` does not exist, but `{}` names it", path.display(), metadata.display()));
                }
                Ok(Captioned { name: slashed(&path), captions: row.captions, label: row.label })
            });
            match item {
                Ok(item) => items.push(item),
                Err(reason) => skipped.push(reason),
            }
        }
    }
    Ok(items)
}

/// Images that have a text file beside them, by name.
fn paired(root: &Path, files: &Files, skipped: &mut Vec<String>) -> Vec<Captioned> {
    let mut texts: BTreeMap<PathBuf, (&Path, bool)> =
        files.texts.iter().map(|text| (text.with_extension(""), (text.as_path(), false))).collect();
    let mut items = Vec::new();
    for image in &files.images {
        let Some((text, used)) = texts.get_mut(&image.with_extension("")) else {
            skipped.push(format!("`{}` has no caption beside it in a .txt file", image.display()));
            continue;
        };
        *used = true;
        let captions = match fs::read(root.join(*text)) {
            Ok(bytes) => lines(&String::from_utf8_lossy(&bytes)),
            Err(error) => {
                skipped.push(format!("`{}` cannot be read: {error}", text.display()));
                continue;
            }
        };
        if captions.is_empty() {
            skipped.push(format!("`{}` has an empty caption", image.display()));
            continue;
        }
        items.push(Captioned { name: slashed(image), captions, label: None });
    }
    let unused = texts.values().filter(|(_, used)| !used);
    skipped.extend(unused.map(|(text, _)| format!("`{}` has no image beside it", text.display())));
    items
}

fn lines(text: &str) -> Vec<String> {
    let text = text.trim_start_matches('\u{feff}');
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect()
}

fn slashed(path: &Path) -> String {
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

//! Images of a folder, and the captions beside them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::EXTENSIONS;
use crate::error::EvaluationError;

/// The images below a folder; hidden entries are passed over.
pub(super) fn list_files(root: &Path, below: &Path, found: &mut Vec<PathBuf>) -> Result<(), EvaluationError> {
    let folder = root.join(below);
    let fail = |source| EvaluationError::File { action: "read", path: folder.clone(), source };
    for entry in std::fs::read_dir(&folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = below.join(name);
        if entry.file_type().map_err(fail)?.is_dir() {
            list_files(root, &path, found)?;
        } else if path
            .extension()
            .is_some_and(|extension| EXTENSIONS.contains(&extension.to_string_lossy().to_lowercase().as_str()))
        {
            found.push(path);
        }
    }
    Ok(())
}

/// The caption in `name.txt` beside `name.png`: its first line.
pub(super) fn beside(image: &Path) -> Option<String> {
    let text = std::fs::read_to_string(image.with_extension("txt")).ok()?;
    text.lines().next().map(|line| line.trim().to_string()).filter(|line| !line.is_empty())
}

/// Captions of a `metadata.jsonl` (a Hugging Face imagefolder).
pub(super) fn metadata(folder: &Path) -> Result<BTreeMap<PathBuf, String>, EvaluationError> {
    let path = folder.join("metadata.jsonl");
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    let text = std::fs::read_to_string(&path).map_err(|source| EvaluationError::File {
        action: "read",
        path: path.clone(),
        source,
    })?;
    let mut captions = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let row: serde_json::Value = serde_json::from_str(line)
            .map_err(|error| EvaluationError::Images { path: path.clone(), reason: error.to_string() })?;
        let caption = ["text", "caption", "prompt"].iter().find_map(|key| row.get(key)?.as_str());
        if let (Some(file), Some(caption)) = (row.get("file_name").and_then(|name| name.as_str()), caption) {
            captions.insert(PathBuf::from(file), caption.to_string());
        }
    }
    Ok(captions)
}

//! The files below a folder, sorted by what they are for and then by name.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::DataError;

/// The file extensions of images, in lower case.
pub(crate) const IMAGES: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// The images below a folder in the order of their names, as paths below it.
///
/// # Errors
///
/// When the folder or one below it cannot be read.
pub fn images_below(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    Ok(Files::below(folder)?.images)
}

/// The files below a folder, as paths below it.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) images: Vec<PathBuf>,
    /// Text files, which may be captions.
    pub(crate) texts: Vec<PathBuf>,
    /// `metadata.jsonl`, and `metadata.csv` where there is no such file beside it.
    pub(crate) metadata: Vec<PathBuf>,
}

impl Files {
    /// Walks a folder to its end. Hidden entries are passed over, and so are links to folders,
    /// which might lead in a circle.
    ///
    /// # Errors
    ///
    /// When the folder or one below it cannot be read.
    pub(crate) fn below(root: &Path) -> Result<Self, DataError> {
        let mut files = Self::default();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let path = root.join(&folder);
            for entry in fs::read_dir(&path).map_err(DataError::io("read", &path))? {
                let entry = entry.map_err(DataError::io("read", &path))?;
                let kind = entry.file_type().map_err(DataError::io("read", &entry.path()))?;
                let name = entry.file_name();
                if name.as_encoded_bytes().starts_with(b".") {
                    continue;
                }
                match kind.is_dir() {
                    true => folders.push(folder.join(name)),
                    false => files.add(folder.join(name)),
                }
            }
        }
        files.images.sort();
        files.texts.sort();
        files.metadata.sort();
        // A folder that describes itself twice is taken at the word of its JSON lines.
        let described: Vec<PathBuf> =
            files.metadata.iter().filter(|path| extension(path) == "jsonl").cloned().collect();
        files.metadata.retain(|path| extension(path) == "jsonl" || !described.contains(&path.with_extension("jsonl")));
        Ok(files)
    }

    fn add(&mut self, path: PathBuf) {
        if path.file_name().is_some_and(|name| name == "metadata.jsonl" || name == "metadata.csv") {
            self.metadata.push(path);
        } else if extension(&path) == "txt" {
            self.texts.push(path);
        } else if IMAGES.contains(&extension(&path).as_str()) {
            self.images.push(path);
        }
    }
}

fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_names() {
        let root = tempfile::tempdir().unwrap();
        let names = [
            "b.JPEG",
            "a.webp",
            "a.txt",
            "x/c.png",
            "x/notes.md",
            ".hidden/d.png",
            "x/.e.png",
            "metadata.csv",
            "metadata.jsonl",
            "x/metadata.csv",
        ];
        for name in names {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let files = Files::below(root.path()).unwrap();
        assert_eq!(files.images, ["a.webp", "b.JPEG", "x/c.png"].map(PathBuf::from));
        assert_eq!(files.texts, [PathBuf::from("a.txt")]);
        assert_eq!(files.metadata, ["metadata.jsonl", "x/metadata.csv"].map(PathBuf::from));
        assert!(Files::below(Path::new("/nowhere")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_in_a_circle_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a.png"), "").unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("circle")).unwrap();
        std::os::unix::fs::symlink(root.path().join("a.png"), root.path().join("b.png")).unwrap();
        assert_eq!(Files::below(root.path()).unwrap().images.len(), 2);
    }
}

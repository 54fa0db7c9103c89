//! The files below a folder, sorted by what they are for and then by name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::DataError;

/// The file extensions of images that are read, in lower case; those of pytorch-fid.
pub const IMAGES: [&str; 9] = ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "pgm", "ppm"];

/// The file extensions of images that are not read.
const OTHER_IMAGES: [&str; 22] = [
    "gif", "avif", "heic", "heif", "jxl", "jp2", "jpe", "jfif", "tga", "dds", "exr", "hdr", "psd", "svg", "ico",
    "apng", "pbm", "pnm", "raw", "dng", "cr2", "nef",
];

/// Whether a path ends like an image that is read.
pub fn is_image(path: &Path) -> bool {
    IMAGES.contains(&extension(path).as_str())
}

/// The images below a folder in the order of their names, as paths below it.
///
/// # Errors
///
/// When the folder or one below it cannot be read.
pub fn images_below(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    Ok(Listing::below(folder)?.images)
}

/// The files below a folder, as paths below it.
#[derive(Debug, Default)]
pub struct Listing {
    /// Images that can be read, by their names.
    pub images: Vec<PathBuf>,
    /// Text files, which may be captions.
    pub(super) texts: Vec<PathBuf>,
    /// `metadata.jsonl` and `metadata.csv`.
    pub(super) metadata: Vec<PathBuf>,
    /// Images of kinds that are not read.
    pub passed_over: PassedOver,
}

/// How many image files are passed over because their kind is not read, by extension.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassedOver(BTreeMap<String, usize>);

impl PassedOver {
    /// Counts a file, if it is an image of a kind that is not read.
    pub(super) fn see(&mut self, path: &Path) {
        let extension = extension(path);
        if OTHER_IMAGES.contains(&extension.as_str()) {
            *self.0.entry(extension).or_default() += 1;
        }
    }

    /// One sentence, if any were passed over.
    pub fn warning(&self) -> Option<String> {
        let kinds: Vec<String> = self.0.iter().map(|(extension, count)| format!("{count} .{extension}")).collect();
        let expected = IMAGES.map(|extension| format!(".{extension}")).join(", ");
        let count: usize = self.0.values().sum();
        (count > 0).then(|| {
            format!("{count} image files are passed over: expected the kinds {expected}, found {}", kinds.join(", "))
        })
    }
}

impl Listing {
    /// Lists a folder to its end. Hidden entries are passed over, and so are links to folders,
    /// which might lead in a circle.
    ///
    /// # Errors
    ///
    /// When the folder or one below it cannot be read.
    pub fn below(root: &Path) -> Result<Self, DataError> {
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
        Ok(files)
    }

    fn add(&mut self, path: PathBuf) {
        if path.file_name().is_some_and(|name| name == "metadata.jsonl" || name == "metadata.csv") {
            self.metadata.push(path);
        } else if extension(&path) == "txt" {
            self.texts.push(path);
        } else if is_image(&path) {
            self.images.push(path);
        } else {
            self.passed_over.see(&path);
        }
    }
}

/// What stands behind the last dot, in lower case.
pub(super) fn extension(path: &Path) -> String {
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
            "x/d.GIF",
            "x/e.heic",
            "x/f.gif",
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
        let files = Listing::below(root.path()).unwrap();
        assert_eq!(files.images, ["a.webp", "b.JPEG", "x/c.png"].map(PathBuf::from));
        assert_eq!(files.texts, [PathBuf::from("a.txt")]);
        assert_eq!(files.metadata, ["metadata.csv", "metadata.jsonl", "x/metadata.csv"].map(PathBuf::from));
        let warning = files.passed_over.warning().unwrap();
        assert!(warning.starts_with("3 image files") && warning.ends_with("found 2 .gif, 1 .heic"), "{warning}");
        assert!(Listing::below(Path::new("/nowhere")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_in_a_circle_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a.png"), "").unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("circle")).unwrap();
        std::os::unix::fs::symlink(root.path().join("a.png"), root.path().join("b.png")).unwrap();
        assert_eq!(Listing::below(root.path()).unwrap().images.len(), 2);
    }
}

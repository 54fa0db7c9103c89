//! Which captions belong to which images of a folder.
//!
//! Where the folder or one below it holds a `metadata.jsonl` or `metadata.csv`, metadata decides, and images that it does
//! not name have no caption. Otherwise `cat.jpg` is captioned by the lines of `cat.txt`. Where two metadata files name the
//! same image, the one in the deeper folder, nearer to the image, counts, and a `metadata.jsonl` counts before the
//! `metadata.csv` beside it; either is said.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use super::listing::{Listing, extension};
use super::metadata::{self, Row};
use super::text::caption_lines;
use crate::error::DataError;

/// An image that has a caption; whether it can be decoded is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptionedImage {
    /// Path below the root, with `/` between folders.
    pub name: String,
    /// At least one, none of them blank.
    pub captions: Vec<String>,
    /// The class, where the metadata has one.
    pub label: Option<usize>,
}

/// The captioned images of a folder.
#[derive(Debug, Default)]
pub struct CaptionedImages {
    /// In the order of the metadata's rows, or of the images' names.
    pub images: Vec<CaptionedImage>,
    /// What was left out, one sentence each: files by name, rows by file and line.
    pub skipped: Vec<String>,
}

/// Finds the captioned images below a folder, and says of the rest why each was left out.
///
/// # Errors
///
/// When the folder or its metadata cannot be read, or a CSV file lacks the columns.
pub fn captioned_images(root: &Path) -> Result<CaptionedImages, DataError> {
    let files = Listing::below(root)?;
    let mut found = CaptionedImages::default();
    if files.metadata.is_empty() {
        found.pair(root, &files);
    } else {
        found.describe(root, files.metadata)?;
    }
    found.skipped.extend(files.passed_over.warning());
    Ok(found)
}

/// A row, and the image that it names as a path below the root.
struct Named {
    /// Number of the metadata file.
    file: usize,
    image: PathBuf,
    row: Row,
}

impl CaptionedImages {
    /// Images that metadata files describe, in the order of their rows.
    fn describe(&mut self, root: &Path, mut files: Vec<PathBuf>) -> Result<(), DataError> {
        // A folder that describes itself twice is taken at the word of its JSON lines.
        let described: Vec<PathBuf> = files.iter().filter(|path| extension(path) == "jsonl").cloned().collect();
        files.retain(|path| {
            let counts = extension(path) == "jsonl" || !described.contains(&path.with_extension("jsonl"));
            if !counts {
                let reason = format!("`{}` is passed over: the metadata.jsonl beside it counts", path.display());
                self.skipped.push(reason);
            }
            counts
        });
        let mut rows = Vec::new();
        for (file, metadata) in files.iter().enumerate() {
            let folder = metadata.parent().unwrap_or(Path::new(""));
            for row in metadata::read(root, metadata)? {
                let named = row.and_then(|row| {
                    let image = folder.join(&row.file_name);
                    if root.join(&image).is_file() {
                        return Ok(Named { file, image, row });
                    }
                    Err(format!("`{}` does not exist, but `{}` names it", image.display(), metadata.display()))
                });
                match named {
                    Ok(named) => rows.push(named),
                    Err(reason) => self.skipped.push(reason),
                }
            }
        }
        self.nearest(&files, rows);
        Ok(())
    }

    /// Takes of each image the rows of the metadata file that lies nearest to it.
    fn nearest(&mut self, files: &[PathBuf], rows: Vec<Named>) {
        let depth = |file: usize| files[file].components().count();
        let mut nearest: HashMap<PathBuf, usize> = HashMap::new();
        for named in &rows {
            let file = nearest.entry(named.image.clone()).or_insert(named.file);
            if depth(named.file) > depth(*file) {
                *file = named.file;
            }
        }
        let mut passed_over: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for Named { file, image, row } in rows {
            match nearest.get(&image) {
                Some(&counts) if counts != file => *passed_over.entry((file, counts)).or_default() += 1,
                _ => {
                    let Row { captions, label, .. } = row;
                    self.images.push(CaptionedImage { name: slashed(&image), captions, label });
                }
            }
        }
        for ((file, counts), rows) in passed_over {
            let [file, counts] = [file, counts].map(|file| files[file].display());
            self.skipped.push(format!(
                "`{file}`: {rows} rows are passed over: `{counts}` names the same images, lies nearer to them and counts"
            ));
        }
    }

    /// Images that have a text file beside them, by name.
    fn pair(&mut self, root: &Path, files: &Listing) {
        let mut texts: BTreeMap<PathBuf, (&Path, bool)> =
            files.texts.iter().map(|text| (text.with_extension(""), (text.as_path(), false))).collect();
        for image in &files.images {
            let Some((text, used)) = texts.get_mut(&image.with_extension("")) else {
                self.skipped.push(format!("`{}` has no caption beside it in a .txt file", image.display()));
                continue;
            };
            *used = true;
            let captions = match fs::read(root.join(*text)).map_err(|error| error.to_string()) {
                Ok(bytes) => caption_lines(&bytes),
                Err(reason) => Err(reason),
            };
            match captions {
                Ok(captions) if captions.is_empty() => {
                    self.skipped.push(format!("`{}` has an empty caption", image.display()));
                }
                Ok(captions) => self.images.push(CaptionedImage { name: slashed(image), captions, label: None }),
                Err(reason) => self.skipped.push(format!("`{}` cannot be read: {reason}", text.display())),
            }
        }
        let unused = texts.values().filter(|(_, used)| !used);
        self.skipped.extend(unused.map(|(text, _)| format!("`{}` has no image beside it", text.display())));
    }
}

fn slashed(path: &Path) -> String {
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    #[test]
    fn of_two_metadata_files_the_nearer_one_counts_and_it_is_said() {
        let outer = br#"{"file_name": "train/0.png", "text": "outer 0"}
            {"file_name": "train/1.png", "text": "outer 1"}"#;
        let inner = br#"{"file_name": "0.png", "text": "inner 0"}"#;
        let folder = folder(&[
            ("train/0.png", b""),
            ("train/1.png", b""),
            ("metadata.jsonl", outer),
            ("train/metadata.jsonl", inner),
            ("train/metadata.csv", b"file_name,text\n0.png,csv"),
        ]);
        let found = captioned_images(folder.path()).unwrap();
        let captions: Vec<&str> = found.images.iter().flat_map(|image| &image.captions).map(String::as_str).collect();
        assert_eq!(captions, ["outer 1", "inner 0"]);
        let [csv, outer] = &found.skipped[..] else { panic!("{:?}", found.skipped) };
        assert!(csv.contains("train/metadata.csv") && csv.contains("metadata.jsonl beside it counts"), "{csv}");
        assert!(outer.contains("1 rows") && outer.contains("`train/metadata.jsonl` names the same"), "{outer}");
    }

    #[test]
    fn captions_of_another_encoding_are_skipped_by_name() {
        let folder = folder(&[
            ("0.png", b""),
            ("0.txt", b"\xff\xfea\0 \0c\0a\0t\0"),
            ("1.png", b""),
            ("1.txt", b"caf\xe9"),
            ("2.png", b""),
            ("2.txt", "café".as_bytes()),
        ]);
        let found = captioned_images(folder.path()).unwrap();
        let captions: Vec<&str> = found.images.iter().flat_map(|image| &image.captions).map(String::as_str).collect();
        assert_eq!(captions, ["a cat", "café"]);
        assert!(matches!(&found.skipped[..], [one] if one.contains("`1.txt`") && one.contains("UTF-8")));
    }
}

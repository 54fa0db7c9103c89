//! The user's own images: an imagefolder with metadata, or images beside text files of the same
//! name.
//!
//! Where the folder or one below it holds a `metadata.jsonl` (or else `metadata.csv`), the metadata
//! decides and images that it does not name are left alone. Otherwise `cat.jpg` is captioned by
//! `cat.txt`, each line of which is a caption of its own. Opening only checks that the files exist;
//! an image is decoded when it is asked for, and a broken one is then an error of its own.

use std::fs;
use std::path::{Path, PathBuf};

use crate::captioned::{self, Captioned};
use crate::config::FolderConfig;
use crate::decode::encoded_size;
use crate::error::DataError;
use crate::held_out::held_out;
use crate::listing;
use crate::pixels::{Image, ImageShape};
use crate::source::{Source, Split};

/// How many of the skipped files and rows are written to the log; [`Source::skipped`] has them all.
const LOGGED: usize = 5;

/// Captioned images of a folder.
pub struct FolderSource {
    root: PathBuf,
    items: Vec<Captioned>,
    skipped: Vec<String>,
    shape: ImageShape,
    held_out_is_train: bool,
}

impl FolderSource {
    /// Finds the captioned images; none is decoded yet.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read, or holds no captioned image.
    pub fn open(config: &FolderConfig, shape: ImageShape, split: Split) -> Result<Self, DataError> {
        let root = config.path.clone();
        if !root.is_dir() {
            let remedy = "`data.source.path` must name a folder of captioned images".into();
            return Err(DataError::Missing { path: root, remedy });
        }
        let (all, skipped) = captioned::find(&root)?;
        report(&root, all.len(), &skipped);
        if all.is_empty() {
            return Err(nothing_in(&root, &skipped));
        }
        let marks = held_out(all.iter().map(|item| item.name.as_str()), config.held_out);
        let held_out_is_train = !marks.contains(&true);
        let wanted = split == Split::HeldOut && !held_out_is_train;
        let items = all.into_iter().zip(marks).filter(|&(_, held)| held == wanted).map(|(item, _)| item).collect();
        Ok(Self { root, items, skipped, shape, held_out_is_train })
    }

    fn bytes(&self, index: usize) -> Result<Vec<u8>, DataError> {
        let path = self.root.join(&self.items[index].name);
        fs::read(&path).map_err(DataError::io("read", &path))
    }
}

impl Source for FolderSource {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn name(&self, index: usize) -> String {
        self.items[index].name.clone()
    }

    fn captions(&self, index: usize) -> &[String] {
        &self.items[index].captions
    }

    fn image(&self, index: usize) -> Result<Image, DataError> {
        let image = Image::decode(&self.bytes(index)?, &self.items[index].name, self.shape.channels)?;
        image.fitted([self.shape.height, self.shape.width])
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn native_size(&self, index: usize) -> Result<[usize; 2], DataError> {
        encoded_size(&self.bytes(index)?).map_err(DataError::image(self.name(index)))
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.items[index].label
    }

    fn held_out_is_train(&self) -> bool {
        self.held_out_is_train
    }

    fn skipped(&self) -> &[String] {
        &self.skipped
    }
}

fn report(root: &Path, found: usize, skipped: &[String]) {
    if skipped.is_empty() {
        return;
    }
    tracing::warn!("`{}`: {found} captioned images, {} entries skipped", root.display(), skipped.len());
    for reason in skipped.iter().take(LOGGED) {
        tracing::warn!("skipped: {reason}");
    }
}

fn nothing_in(root: &Path, skipped: &[String]) -> DataError {
    let first = skipped.first().map(|reason| format!("; {} entries skipped, the first: {reason}", skipped.len()));
    DataError::Empty {
        searched: format!(
            "searched `{}` for metadata.jsonl, metadata.csv, or {} files with a .txt file of the same name{}",
            root.display(),
            listing::IMAGES.join(", "),
            first.unwrap_or_default()
        ),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 6, width: 6 };

    /// Writes files below a temporary folder; an image's grey is the length of its name.
    fn folder(images: &[&str], texts: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in images {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let grey = Array3::from_elem((3, 6, 8), name.len() as u8);
            Image::new(grey).unwrap().save_png(&path).unwrap();
        }
        for (name, text) in texts {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn open(folder: &tempfile::TempDir, held_out: f64, split: Split) -> Result<FolderSource, DataError> {
        FolderSource::open(&FolderConfig { path: folder.path().into(), held_out }, SHAPE, split)
    }

    fn names(source: &FolderSource) -> Vec<String> {
        (0..source.len()).map(|index| source.name(index)).collect()
    }

    #[test]
    fn pairs_are_found_at_any_depth_in_sorted_order() {
        let folder = folder(
            &["b.PNG", "a/deep/c.png", "a/b.jpg", "lonely.webp", ".hidden.png"],
            &[
                ("b.TXT", "one\n\n  two \n"),
                ("a/deep/c.txt", "\u{feff}three"),
                ("a/b.txt", "four"),
                ("readme.txt", "no image"),
                (".hidden.txt", "hidden"),
            ],
        );
        let source = open(&folder, 0.0, Split::Train).unwrap();
        assert_eq!(names(&source), ["a/b.jpg", "a/deep/c.png", "b.PNG"]);
        assert_eq!(source.captions(2), ["one", "two"]);
        assert_eq!(source.captions(1), ["three"]);
        assert_eq!(source.native_size(1).unwrap(), [6, 8]);
        // The file's bytes are a PNG whatever its name says.
        assert_eq!(source.image(0).unwrap().shape(), SHAPE);
        assert_eq!(source.skipped().len(), 2, "{:?}", source.skipped());
        assert!(source.held_out_is_train());
    }

    #[test]
    fn metadata_decides_where_there_is_any() {
        let folder = folder(
            &["x/1.png", "x/2.png", "x/sub/3.png", "x/4.png"],
            &[
                (
                    "x/metadata.jsonl",
                    r#"{"file_name": "./sub/3.png", "text": "three", "label": 3}
                    {"file_name": "1.png", "text": ["one", "uno"]}
                    {"file_name": "nowhere.png", "text": "lost"}
                    {"file_name": "../x/2.png", "text": "escape"}
                    {"file_name": "/etc/passwd", "text": "escape"}"#,
                ),
                ("x/metadata.csv", "file_name,text\n4.png,four"),
                ("x/2.txt", "a caption that metadata overrules"),
            ],
        );
        let source = open(&folder, 0.0, Split::Train).unwrap();
        assert_eq!(names(&source), ["x/sub/3.png", "x/1.png"]);
        assert_eq!((source.label(0), source.label(1)), (Some(3), None));
        assert_eq!(source.captions(1), ["one", "uno"]);
        let skipped = source.skipped();
        assert_eq!(skipped.len(), 3);
        assert!(skipped[0].contains("nowhere.png") && skipped[1].contains("../x/2.png") && skipped[2].contains("/etc"));
    }

    #[test]
    fn a_broken_image_fails_alone() {
        let folder = folder(&["good.png"], &[("bad.png", "not an image"), ("bad.txt", "bad"), ("good.txt", "good")]);
        let source = open(&folder, 0.0, Split::Train).unwrap();
        assert!(source.image(0).unwrap_err().to_string().contains("bad.png"));
        assert!(source.image(1).is_ok());
    }

    #[test]
    fn the_splits_part_the_folder() {
        let images: Vec<String> = (0..20).map(|index| format!("{index}.png")).collect();
        let texts: Vec<String> = (0..20).map(|index| format!("{index}.txt")).collect();
        let folder = folder(
            &images.iter().map(String::as_str).collect::<Vec<_>>(),
            &texts.iter().map(|name| (name.as_str(), "caption")).collect::<Vec<_>>(),
        );
        let [train, held_out] = [Split::Train, Split::HeldOut].map(|split| open(&folder, 0.3, split).unwrap());
        assert!(!train.held_out_is_train() && !held_out.is_empty() && !train.is_empty());
        let mut all = [names(&train), names(&held_out)].concat();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 20);
    }

    #[test]
    fn an_empty_folder_says_what_was_searched() {
        let message = open(&folder(&["a.png"], &[]), 0.0, Split::Train).err().unwrap().to_string();
        assert!(message.contains("metadata.jsonl") && message.contains("a.png"), "{message}");
        let config = FolderConfig { path: "/nowhere/at/all".into(), held_out: 0.0 };
        let message = FolderSource::open(&config, SHAPE, Split::Train).err().unwrap().to_string();
        assert!(message.contains("/nowhere/at/all") && message.contains("data.source.path"), "{message}");
    }
}

//! The user's own images: an imagefolder with metadata, or images beside text files of the same
//! name.
//!
//! [`crate::files::captioned_images`] says which captions belong to which images. Opening only checks that the files exist;
//! an image is decoded when it is asked for, and a broken one is then an error of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use interfuse_parameters::sha256;
use serde::{Deserialize, Serialize};

use super::held_out::held_out;
use super::{DataSet, Source, SourceSettings, Stamp, parted, validate_held_out};
use crate::error::DataError;
use crate::files::decode::encoded_size;
use crate::files::{CaptionedImage, CaptionedImages, IMAGES, captioned_images};
use crate::images::{Covering, Framing, Image, ImageShape};

/// Options of `kind = "folder"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderConfig {
    /// The folder: an imagefolder with `metadata.jsonl` or `metadata.csv`, or images beside
    /// `.txt` captions.
    pub path: PathBuf,
    /// Fraction, from 0 to below 1, of the images that training does not see. With 0, the held-out
    /// split is the training set itself.
    #[serde(default = "default_held_out")]
    pub held_out: f64,
}

fn default_held_out() -> f64 {
    0.05
}

impl SourceSettings for FolderConfig {
    fn validate(&self, _: ImageShape) -> Result<(), DataError> {
        validate_held_out(self.held_out)
    }

    fn open(&self, framing: Framing) -> Result<DataSet, DataError> {
        let (train, held_out) = FolderSource::open(self, framing)?;
        Ok(DataSet::kept(train, held_out))
    }
}

/// Captioned images of a folder.
struct FolderSource {
    root: PathBuf,
    items: Vec<CaptionedImage>,
    /// Of the whole folder, for both splits.
    skipped: Arc<[String]>,
    framing: Framing,
    held_out_is_train: bool,
}

impl FolderSource {
    /// Finds the captioned images of both splits, the second where something is held out; none is decoded yet.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read, or holds no captioned image.
    fn open(config: &FolderConfig, framing: Framing) -> Result<(Self, Option<Self>), DataError> {
        let root = config.path.clone();
        if !root.is_dir() {
            let remedy = "`data.source.path` must name a folder of captioned images".into();
            return Err(DataError::Missing { path: root, remedy });
        }
        let CaptionedImages { images: all, skipped } = captioned_images(&root)?;
        if all.is_empty() {
            return Err(nothing_in(&root, &skipped));
        }
        warn(&root, all.len(), &skipped);
        let marks = held_out(all.iter().map(|item| item.name.as_str()), config.held_out);
        let (train, held_out) = parted(all, &marks);
        let (held_out_is_train, skipped) = (held_out.is_none(), Arc::from(skipped));
        let of = |items| Self {
            root: root.clone(),
            items,
            skipped: Arc::clone(&skipped),
            framing: framing.clone(),
            held_out_is_train,
        };
        Ok((of(train), held_out.map(of)))
    }

    fn path(&self, index: usize) -> PathBuf {
        self.root.join(&self.items[index].name)
    }

    fn bytes(&self, index: usize) -> Result<Vec<u8>, DataError> {
        let path = self.path(index);
        fs::read(&path).map_err(DataError::io("read", &path))
    }

    /// The image at its own size.
    fn decoded(&self, index: usize) -> Result<Image, DataError> {
        Image::decode(&self.bytes(index)?, &self.items[index].name, self.framing.shape.channels)
    }
}

impl Source for FolderSource {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn name(&self, index: usize) -> String {
        self.items[index].name.clone()
    }

    fn captions(&self, index: usize) -> Result<Vec<String>, DataError> {
        Ok(self.items[index].captions.clone())
    }

    fn image(&self, index: usize) -> Result<Image, DataError> {
        self.decoded(index)?.framed(&self.framing).map_err(|error| error.of_image(&self.items[index].name))
    }

    fn covering(&self, index: usize) -> Result<Covering, DataError> {
        let covering = Covering::of(&self.decoded(index)?, &self.framing);
        covering.map_err(|error| error.of_image(&self.items[index].name))
    }

    fn shape(&self) -> ImageShape {
        self.framing.shape
    }

    fn framing(&self) -> Framing {
        self.framing.clone()
    }

    fn native_size(&self, index: usize) -> Result<[usize; 2], DataError> {
        encoded_size(&self.bytes(index)?).map_err(DataError::image(self.name(index)))
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.items[index].label
    }

    fn stamp(&self, index: usize) -> Result<Option<Stamp>, DataError> {
        let path = self.path(index);
        let metadata = fs::metadata(&path).map_err(DataError::io("read", &path))?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = modified.and_then(|time| u64::try_from(time.as_nanos()).ok());
        Ok(Some(Stamp { bytes: metadata.len(), modified }))
    }

    fn sha256(&self, index: usize) -> Result<Option<String>, DataError> {
        Ok(Some(sha256::of_bytes(&self.bytes(index)?)))
    }

    fn held_out_is_train(&self) -> bool {
        self.held_out_is_train
    }

    fn skipped(&self) -> &[String] {
        &self.skipped
    }
}

/// Tells whoever listens what was left out: the first few, and how many.
fn warn(root: &Path, found: usize, skipped: &[String]) {
    const NAMED: usize = 8;
    if skipped.is_empty() {
        return;
    }
    tracing::warn!("`{}`: {found} captioned images, {} entries skipped", root.display(), skipped.len());
    for reason in skipped.iter().take(NAMED) {
        tracing::warn!("skipped: {reason}");
    }
}

fn nothing_in(root: &Path, skipped: &[String]) -> DataError {
    let first = skipped.first().map(|reason| format!("; {} entries skipped, the first: {reason}", skipped.len()));
    DataError::Empty {
        searched: format!(
            "searched `{}` for metadata.jsonl, metadata.csv, or {} files with a .txt file of the same name{}",
            root.display(),
            IMAGES.join(", "),
            first.unwrap_or_default()
        ),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::images::Fit;

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

    fn both(folder: &tempfile::TempDir, held_out: f64) -> Result<(FolderSource, Option<FolderSource>), DataError> {
        FolderSource::open(&FolderConfig { path: folder.path().into(), held_out }, SHAPE.into())
    }

    fn open(folder: &tempfile::TempDir) -> Result<FolderSource, DataError> {
        both(folder, 0.0).map(|(train, _)| train)
    }

    fn names(source: &FolderSource) -> Vec<String> {
        (0..source.len()).map(|index| source.name(index)).collect()
    }

    #[test]
    fn an_image_is_framed_as_the_configuration_says_through_the_whole_chain() {
        let folder = folder(&["a.png"], &[("a.txt", "one")]);
        let open = |fit: &str| {
            let path = folder.path().display();
            let toml = format!("image_size = [6, 6]\nfit = '{fit}'\nsource = {{ kind = 'folder', path = '{path}' }}");
            crate::sources::open(&toml::from_str(&toml).unwrap()).unwrap().train
        };
        let white = |fit: &str| open(fit).image(0).unwrap().pixels().iter().filter(|&&level| level == 255).count();
        // Six by eight pixels become five by six.
        assert_eq!((white("crop"), white("pad"), white("stretch")), (0, 18, 0));
        assert_eq!(open("pad").framing().fit, Fit::Pad, "kept images know it too");
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
        let source = open(&folder).unwrap();
        assert_eq!(names(&source), ["a/b.jpg", "a/deep/c.png", "b.PNG"]);
        assert_eq!(source.captions(2).unwrap(), ["one", "two"]);
        assert_eq!(source.captions(1).unwrap(), ["three"]);
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
        let source = open(&folder).unwrap();
        assert_eq!(names(&source), ["x/sub/3.png", "x/1.png"]);
        assert_eq!((source.label(0), source.label(1)), (Some(3), None));
        assert_eq!(source.captions(1).unwrap(), ["one", "uno"]);
        let skipped = source.skipped();
        assert_eq!(skipped.len(), 4);
        for (reason, part) in skipped.iter().zip(["metadata.csv", "nowhere.png", "../x/2.png", "/etc"]) {
            assert!(reason.contains(part), "{reason}");
        }
    }

    #[test]
    fn a_broken_image_fails_alone() {
        let folder = folder(&["good.png"], &[("bad.png", "not an image"), ("bad.txt", "bad"), ("good.txt", "good")]);
        let source = open(&folder).unwrap();
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
        let (train, held_out) = both(&folder, 0.3).unwrap();
        let held_out = held_out.unwrap();
        assert!(!train.held_out_is_train() && !held_out.is_empty() && !train.is_empty());
        let mut all = [names(&train), names(&held_out)].concat();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 20);
    }

    #[test]
    fn an_empty_folder_says_what_was_searched() {
        let message = open(&folder(&["a.png"], &[])).err().unwrap().to_string();
        assert!(message.contains("metadata.jsonl") && message.contains("a.png"), "{message}");
        let config = FolderConfig { path: "/nowhere/at/all".into(), held_out: 0.0 };
        let message = FolderSource::open(&config, SHAPE.into()).err().unwrap().to_string();
        assert!(message.contains("/nowhere/at/all") && message.contains("data.source.path"), "{message}");
    }
}

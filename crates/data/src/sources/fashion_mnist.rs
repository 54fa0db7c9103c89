//! Fashion-MNIST: 60,000 + 10,000 grey photographs of clothes, 28 × 28 pixels, in ten classes.
//!
//! It is the set for numbers that mean something: large enough to generalise on, with an official
//! test set, quick to read, and installed by a package manager. Captions are made from the class by
//! a few templates. The files are IDX, a header of big-endian integers before the bytes, inside
//! gzip.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use super::{DataSet, Source, SourceSettings, Split, idx};
use crate::error::DataError;
use crate::images::{Covering, Framing, Image, ImageShape};

/// The ten classes in the order of their labels.
pub const CLASS_NAMES: [&str; 10] =
    ["t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];

/// Options of `kind = "fashion-mnist"`. The official test set is the held-out split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FashionMnistConfig {
    /// Folder with the four gzipped IDX files.
    pub folder: PathBuf,
}

impl Default for FashionMnistConfig {
    fn default() -> Self {
        Self { folder: PathBuf::from("/usr/share/datasets/fashion-mnist") }
    }
}

impl SourceSettings for FashionMnistConfig {
    fn validate(&self, _: ImageShape) -> Result<(), DataError> {
        Ok(())
    }

    fn open(&self, framing: Framing) -> Result<DataSet, DataError> {
        // The pixels lie in memory decoded: there is nothing to keep.
        let train = Arc::new(FashionMnistSource::open(self, framing.clone(), Split::Train)?);
        Ok(DataSet { train, held_out: Arc::new(FashionMnistSource::open(self, framing, Split::HeldOut)?) })
    }
}

/// One split, decompressed once and kept as bytes at its native size.
struct FashionMnistSource {
    /// `[count, height, width]`
    pixels: Array3<u8>,
    labels: Vec<u8>,
    framing: Framing,
    split: Split,
}

impl FashionMnistSource {
    /// Reads one split into memory, 47 MB for the training set.
    ///
    /// # Errors
    ///
    /// When a file is missing, truncated, of another format, or at odds with its companion.
    fn open(config: &FashionMnistConfig, framing: Framing, split: Split) -> Result<Self, DataError> {
        let prefix = match split {
            Split::Train => "train",
            Split::HeldOut => "t10k",
        };
        let images_path = config.folder.join(format!("{prefix}-images-idx3-ubyte.gz"));
        let labels_path = config.folder.join(format!("{prefix}-labels-idx1-ubyte.gz"));
        if let Some(path) = [&images_path, &labels_path].into_iter().find(|path| !path.exists()) {
            return Err(missing(path));
        }
        let ([count, height, width], bytes) = idx::read(&images_path)?;
        let ([label_count], labels) = idx::read(&labels_path)?;
        if label_count != count {
            let expected = format!("{count} labels, one for each image of `{}`", images_path.display());
            return Err(malformed(&labels_path, expected, format!("{label_count}")));
        }
        if let Some(label) = labels.iter().find(|&&label| usize::from(label) >= CLASS_NAMES.len()) {
            return Err(malformed(&labels_path, "labels from 0 to 9", format!("{label}")));
        }
        if count * height * width == 0 {
            return Err(DataError::Empty { searched: format!("`{}` has no pixels", images_path.display()) });
        }
        let pixels = Array3::from_shape_vec((count, height, width), bytes)
            .map_err(|error| malformed(&images_path, "as many bytes as its header says", error.to_string()))?;
        Ok(Self { pixels, labels, framing, split })
    }
}

impl FashionMnistSource {
    /// The image at its own size, grey.
    fn plane(&self, index: usize) -> Result<Image, DataError> {
        Image::new(self.pixels.slice(ndarray::s![index..=index, .., ..]).to_owned())
    }
}

impl Source for FashionMnistSource {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn name(&self, index: usize) -> String {
        match self.split {
            Split::Train => format!("train/{index:05}"),
            Split::HeldOut => format!("held-out/{index:05}"),
        }
    }

    fn captions(&self, index: usize) -> Result<Vec<String>, DataError> {
        Ok(captions(CLASS_NAMES[usize::from(self.labels[index])]))
    }

    fn image(&self, index: usize) -> Result<Image, DataError> {
        // Grey is resized before it is repeated: a third of the work for the same pixels.
        self.plane(index)?.framed(&self.framing).map_err(|error| error.of_image(&self.name(index)))
    }

    fn covering(&self, index: usize) -> Result<Covering, DataError> {
        Covering::of(&self.plane(index)?, &self.framing).map_err(|error| error.of_image(&self.name(index)))
    }

    fn shape(&self) -> ImageShape {
        self.framing.shape
    }

    fn framing(&self) -> Framing {
        self.framing.clone()
    }

    fn native_size(&self, _index: usize) -> Result<[usize; 2], DataError> {
        let (_, height, width) = self.pixels.dim();
        Ok([height, width])
    }

    fn label(&self, index: usize) -> Option<usize> {
        Some(self.labels[index].into())
    }
}

/// What one may call an image of a class, from the bare word to a sentence about it.
fn captions(name: &str) -> Vec<String> {
    let one = match name {
        "trousers" => format!("a pair of {name}"),
        "ankle boot" => format!("an {name}"),
        _ => format!("a {name}"),
    };
    vec![
        name.into(),
        one.clone(),
        format!("a photo of {one}"),
        format!("a grey picture of {one}"),
        format!("{one} on a black background"),
    ]
}

fn malformed(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> DataError {
    DataError::malformed(path.display().to_string(), expected, found)
}

fn missing(path: &Path) -> DataError {
    let remedy = "install it with `apt-get install dataset-fashion-mnist`, or set \
                  `data.source.folder` to the folder that holds the four IDX files";
    DataError::Missing { path: path.into(), remedy: remedy.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::idx::tests::{encode, gzip};

    const NATIVE: ImageShape = ImageShape { channels: 1, height: 4, width: 4 };

    /// Ten 4 × 4 images, one of each class, each of one grey.
    fn tiny(folder: &Path, prefix: &str) {
        let pixels: Vec<u8> = (0..10_u8).flat_map(|class| [class * 20; 16]).collect();
        let labels: Vec<u8> = (0..10).collect();
        gzip(&folder.join(format!("{prefix}-images-idx3-ubyte.gz")), &encode(&[10, 4, 4], &pixels));
        gzip(&folder.join(format!("{prefix}-labels-idx1-ubyte.gz")), &encode(&[10], &labels));
    }

    fn open(folder: &Path, shape: ImageShape, split: Split) -> Result<FashionMnistSource, DataError> {
        FashionMnistSource::open(&FashionMnistConfig { folder: folder.into() }, shape.into(), split)
    }

    #[test]
    fn images_labels_and_captions_belong_together() {
        let folder = tempfile::tempdir().unwrap();
        tiny(folder.path(), "train");
        let source = open(folder.path(), NATIVE, Split::Train).unwrap();
        assert_eq!((source.len(), source.label(9), source.name(9)), (10, Some(9), "train/00009".into()));
        assert!(source.image(9).unwrap().pixels().iter().all(|&byte| byte == 180));
        assert_eq!(source.captions(9).unwrap()[2], "a photo of an ankle boot");
        assert_eq!(source.captions(1).unwrap()[1], "a pair of trousers");
        assert!(!source.held_out_is_train());

        let large = ImageShape { channels: 3, height: 8, width: 6 };
        let resized = open(folder.path(), large, Split::Train).unwrap();
        assert_eq!(resized.image(3).unwrap().shape(), large);
        assert_eq!(resized.native_size(3).unwrap(), [4, 4]);
    }

    #[test]
    fn missing_files_say_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        tiny(folder.path(), "train");
        let message = open(folder.path(), NATIVE, Split::HeldOut).err().unwrap().to_string();
        for part in ["t10k-images-idx3-ubyte.gz", "apt-get install dataset-fashion-mnist", "data.source.folder"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn files_at_odds_are_errors_that_name_file_expected_and_found() {
        let labels: Vec<u8> = (0..10).collect();
        let [images, label_file] = ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"];
        let cases = [
            (images, encode(&[10, 4, 4], &[0; 100]), "160 bytes", "100"),
            (images, encode(&[10, 0, 4], &[]), "captioned images", "no pixels"),
            (label_file, encode(&[9], &labels[..9]), "10 labels", "9"),
            (label_file, encode(&[10], &[11; 10]), "0 to 9", "11"),
        ];
        for (file, content, expected, found) in cases {
            let folder = tempfile::tempdir().unwrap();
            tiny(folder.path(), "train");
            gzip(&folder.path().join(file), &content);
            let message = open(folder.path(), NATIVE, Split::Train).err().unwrap().to_string();
            for part in [file, expected, found] {
                assert!(message.contains(part), "{part} is not in: {message}");
            }
        }
    }

    #[test]
    #[ignore = "needs the Debian package dataset-fashion-mnist"]
    fn the_installed_package_reads_as_published() {
        let folder = FashionMnistConfig::default().folder;
        let shape = ImageShape { channels: 1, height: 28, width: 28 };
        for (split, count) in [(Split::Train, 60_000), (Split::HeldOut, 10_000)] {
            let source = open(&folder, shape, split).unwrap();
            assert_eq!((source.len(), source.native_size(0).unwrap()), (count, [28, 28]));
            for (class, name) in CLASS_NAMES.iter().enumerate() {
                let found = (0..count).filter(|&index| source.label(index) == Some(class)).count();
                assert_eq!(found, count / 10, "{name}");
            }
        }
        let first = open(&folder, shape, Split::Train).unwrap();
        assert_eq!(first.captions(0).unwrap()[0], "ankle boot");
    }
}

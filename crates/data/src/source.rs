//! What every collection of captioned images can be asked, and how one is opened.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::{DataConfig, SourceConfig};
use crate::emoji::EmojiSource;
use crate::error::DataError;
use crate::fashion_mnist::FashionMnistSource;
use crate::folder::FolderSource;
use crate::kept::Kept;
use crate::noise::NoiseSource;
use crate::pixels::{Image, ImageShape};
use crate::shapes::ShapesSource;

/// Which part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// What the model learns from.
    Train,
    /// What the model is measured on, see [`Source::held_out_is_train`].
    HeldOut,
}

/// Captioned images before any random transform, numbered from 0.
///
/// The order is the same each time that a source is opened. Methods that take an `index` panic when
/// it is not below [`Source::len`], as slices do.
pub trait Source: Send + Sync {
    /// How many captioned images there are, at least one.
    fn len(&self) -> usize;

    /// Never true for a source from [`open`], which refuses empty ones.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A stable name: a path inside the folder, an emoji, `train/00012`.
    fn name(&self, index: usize) -> String;

    /// All captions of an image, of which a sample draws one. Never empty.
    fn captions(&self, index: usize) -> &[String];

    /// The image in the shape that the configuration asks for, composited on white.
    ///
    /// # Errors
    ///
    /// When this one image cannot be read. The others are not affected: skip it and count it.
    fn image(&self, index: usize) -> Result<Image, DataError>;

    /// The shape of every image.
    fn shape(&self) -> ImageShape;

    /// Height and width in pixels before the image was resized.
    ///
    /// # Errors
    ///
    /// When this one image cannot be read.
    fn native_size(&self, index: usize) -> Result<[usize; 2], DataError>;

    /// The class of an image, where the data set has classes.
    fn label(&self, index: usize) -> Option<usize> {
        let _ = index;
        None
    }

    /// Whether nothing could be held out, so that [`Split::HeldOut`] holds the very images of
    /// [`Split::Train`].
    ///
    /// A loss measured there says how well the model fits under fixed noise, not how well it
    /// generalises. Label it so.
    fn held_out_is_train(&self) -> bool {
        false
    }

    /// What was left out when the source was opened, one sentence each: unpaired files, rows
    /// without a caption.
    fn skipped(&self) -> &[String] {
        &[]
    }
}

/// A source that several share.
impl<S: Source + ?Sized> Source for Arc<S> {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn name(&self, index: usize) -> String {
        (**self).name(index)
    }

    fn captions(&self, index: usize) -> &[String] {
        (**self).captions(index)
    }

    fn image(&self, index: usize) -> Result<Image, DataError> {
        (**self).image(index)
    }

    fn shape(&self) -> ImageShape {
        (**self).shape()
    }

    fn native_size(&self, index: usize) -> Result<[usize; 2], DataError> {
        (**self).native_size(index)
    }

    fn label(&self, index: usize) -> Option<usize> {
        (**self).label(index)
    }

    fn held_out_is_train(&self) -> bool {
        (**self).held_out_is_train()
    }

    fn skipped(&self) -> &[String] {
        (**self).skipped()
    }
}

/// At most `most` images of a source with their numbers, spread evenly; bad ones are left out.
pub fn spread(source: &dyn Source, most: usize) -> (Vec<usize>, Vec<Image>) {
    let count = most.min(source.len());
    let indices = (0..count).map(|place| place * source.len() / count);
    indices.filter_map(|index| Some((index, source.image(index).ok()?))).unzip()
}

/// Opens the data set that a configuration describes.
///
/// # Errors
///
/// When a value of the configuration is outside its range, files are missing or malformed, or no
/// captioned image is found.
pub fn open(config: &DataConfig, split: Split) -> Result<Box<dyn Source>, DataError> {
    config.validate()?;
    let shape = config.image_shape();
    Ok(match &config.source {
        SourceConfig::Emoji(emoji) => Box::new(Kept::new(EmojiSource::open(emoji, shape, split)?)),
        SourceConfig::FashionMnist(fashion) => Box::new(FashionMnistSource::open(fashion, shape, split)?),
        SourceConfig::Folder(folder) => Box::new(Kept::new(FolderSource::open(folder, shape, split)?)),
        SourceConfig::Shapes(shapes) => Box::new(Kept::new(ShapesSource::new(shapes, shape, split))),
        SourceConfig::Noise(noise) => Box::new(Kept::new(NoiseSource::new(noise, shape))),
    })
}

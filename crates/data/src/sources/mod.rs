//! Collections of captioned images, a file for each kind.
//!
//! A [`Source`] is a numbered collection with random access. A kind is one file here: its settings, their validation, and
//! how it is opened (`SourceSettings`); and one line in the list of kinds below. `docs/contributing/add-source.md` walks
//! through one.
//!
//! **Collections too large for memory.** Everything later in the chain asks for an image by its number, and a run's cursor
//! ([`crate::LoaderCursor`]) is a number as well: the order of an epoch is a function of (seed, epoch), so where a run stands
//! needs no state of the source. Shards ([`shards`]) are opened once for an index of where each image lies. Those that can only be
//! read from front to back keep their numbers and say in which blocks these lie ([`Source::blocks`]): the order of an epoch then
//! goes through the blocks, and tells the source what comes up ([`Source::expect`]), so that a block is read once.

pub mod compositions;
pub mod emoji;
pub mod fashion_mnist;
pub mod folder;
pub(crate) mod held_out;
mod idx;
mod kept;
pub mod noise;
pub mod shapes;
pub mod shards;
mod view;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::compositions::CompositionsConfig;
use self::emoji::EmojiConfig;
use self::fashion_mnist::FashionMnistConfig;
use self::folder::FolderConfig;
pub use self::kept::KEPT_BYTES;
use self::kept::Kept;
use self::noise::NoiseConfig;
use self::shapes::ShapesConfig;
use self::shards::ShardsConfig;
pub use self::view::View;
use crate::config::DataConfig;
use crate::error::DataError;
use crate::images::{Covering, Framing, Image, ImageShape};
use crate::order::Blocks;

/// The kinds of sources: an enum of their settings, told apart by the key `kind`.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($settings:ty)),+ $(,)?) => {
        /// The kinds of captioned images, chosen by the key `kind`.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "kebab-case")]
        pub enum SourceConfig {
            $($(#[$doc])* $kind($settings)),+
        }

        impl SourceConfig {
            /// The settings of the kind that was chosen.
            fn settings(&self) -> &dyn SourceSettings {
                match self { $(Self::$kind(settings) => settings),+ }
            }
        }
    };
}

kinds! {
    /// Twemoji images captioned with their Unicode names, built into the program.
    Emoji(EmojiConfig),
    /// 70,000 grey photographs of clothes from a Debian package.
    FashionMnist(FashionMnistConfig),
    /// The user's own images and captions.
    Folder(FolderConfig),
    /// The user's own images and captions in tars, Parquet or JSON lines.
    Shards(ShardsConfig),
    /// Coloured shapes made by the program, whose drawings and captions are scored exactly.
    Shapes(ShapesConfig),
    /// Several groups of such shapes on an image, with longer captions, of which no run sees all.
    Compositions(CompositionsConfig),
    /// Random images and captions, to measure speed.
    Noise(NoiseConfig),
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self::Emoji(EmojiConfig::default())
    }
}

impl SourceConfig {
    /// Whether the program makes the images, in the size that they are asked for.
    pub(crate) fn makes_images(&self) -> bool {
        matches!(self, Self::Shapes(_) | Self::Compositions(_) | Self::Noise(_))
    }

    /// Checks the values of the chosen kind, for images of a shape.
    ///
    /// # Errors
    ///
    /// The first key whose value is outside its range.
    pub(crate) fn validate(&self, shape: ImageShape) -> Result<(), DataError> {
        self.settings().validate(shape)
    }
}

/// What the settings of a kind can do. Keys are named from the root: `data.source.held_out`.
pub(crate) trait SourceSettings {
    /// Checks every value, before anything is opened.
    ///
    /// # Errors
    ///
    /// The first key whose value is outside its range. Whether files exist is not asked here.
    fn validate(&self, shape: ImageShape) -> Result<(), DataError>;

    /// Opens both splits; every image is brought to the shape of `framing`.
    ///
    /// # Errors
    ///
    /// When files are missing or malformed, or no captioned image is found.
    fn open(&self, framing: Framing) -> Result<DataSet, DataError>;
}

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

    /// All captions of an image, of which a document takes one; at least one, and none of them blank.
    ///
    /// # Errors
    ///
    /// When they cannot be read. The other images are not affected: skip it and count it.
    fn captions(&self, index: usize) -> Result<Vec<String>, DataError>;

    /// The first caption of an image, where one is enough.
    ///
    /// # Errors
    ///
    /// As [`Source::captions`].
    fn caption(&self, index: usize) -> Result<String, DataError> {
        let none = || DataError::malformed(self.name(index), "at least one caption", "none");
        self.captions(index)?.into_iter().next().ok_or_else(none)
    }

    /// The image in that of the shapes of the configuration which suits it, composited on white.
    ///
    /// # Errors
    ///
    /// When this one image cannot be read. The others are not affected: skip it and count it.
    fn image(&self, index: usize) -> Result<Image, DataError>;

    /// The image before it is cropped, where it is cropped at random.
    ///
    /// # Errors
    ///
    /// As [`Source::image`].
    fn covering(&self, index: usize) -> Result<Covering, DataError> {
        self.image(index).map(Covering::from)
    }

    /// The shape of every image; where there are several sizes, the first.
    fn shape(&self) -> ImageShape;

    /// What images were brought to, and how; where the program makes them, their shape says all.
    fn framing(&self) -> Framing {
        self.shape().into()
    }

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

    /// What tells an image from an edited one of the same name, at the price of asking the file system; none where an image
    /// cannot change under its name.
    ///
    /// # Errors
    ///
    /// When it cannot be found out.
    fn stamp(&self, index: usize) -> Result<Option<Stamp>, DataError> {
        let _ = index;
        Ok(None)
    }

    /// SHA-256 of the stored bytes of an image, in hexadecimal; none where [`Source::stamp`] has none.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn sha256(&self, index: usize) -> Result<Option<String>, DataError> {
        let _ = index;
        Ok(None)
    }

    /// Whether nothing could be held out, so that [`Split::HeldOut`] holds the very images of
    /// [`Split::Train`].
    ///
    /// A loss measured there says how well the model fits under fixed noise, not how well it
    /// generalises. Label it so.
    fn held_out_is_train(&self) -> bool {
        false
    }

    /// The blocks in which images lie that are read from front to back, so that an epoch goes through a few at a time; none where
    /// an image costs the same wherever it lies.
    fn blocks(&self) -> Option<Blocks> {
        None
    }

    /// Hears which images come up now, each once and in whatever order, and which then, where there are [`Source::blocks`]: those
    /// that lie together can be read together, and ahead of time. Others may be asked for all the same, at a higher price.
    fn expect(&self, now: &[usize], next: &[usize]) {
        let _ = (now, next);
    }

    /// What was left out when the source was opened, one sentence each: unpaired files, rows
    /// without a caption.
    fn skipped(&self) -> &[String] {
        &[]
    }
}

/// How large a stored image is, and when it was last written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// Length in bytes.
    pub bytes: u64,
    /// Nanoseconds since 1970; absent where the file system does not know.
    pub modified: Option<u64>,
}

/// A data set, opened once and shared by all who read it.
#[derive(Clone)]
pub struct DataSet {
    /// What the model learns from.
    pub train: Arc<dyn Source>,
    /// What the model is measured on; where nothing could be held out, the very source of `train`.
    pub held_out: Arc<dyn Source>,
}

impl DataSet {
    /// Of the training images and those that are held out, if any; decoded images are kept while they fit into memory.
    pub(crate) fn kept(train: impl Source + 'static, held_out: Option<impl Source + 'static>) -> Self {
        let train: Arc<dyn Source> = Arc::new(Kept::new(train));
        let held_out = held_out.map(|held_out| Arc::new(Kept::new(held_out)) as Arc<dyn Source>);
        Self { held_out: held_out.unwrap_or_else(|| Arc::clone(&train)), train }
    }

    /// One of the two.
    pub fn of(&self, split: Split) -> &Arc<dyn Source> {
        match split {
            Split::Train => &self.train,
            Split::HeldOut => &self.held_out,
        }
    }
}

/// Parts items by their marks, those that are held out second; all are for training where none is marked.
pub(crate) fn parted<T>(items: Vec<T>, held_out: &[bool]) -> (Vec<T>, Option<Vec<T>>) {
    let (mut train, mut held) = (vec![], vec![]);
    for (item, &is_held_out) in items.into_iter().zip(held_out) {
        if is_held_out { held.push(item) } else { train.push(item) }
    }
    (train, (!held.is_empty()).then_some(held))
}

/// Checks a number of images that are made when they are asked for.
fn validate_images(images: usize) -> Result<(), DataError> {
    /// Beyond it, a typing error is likelier than a wish.
    const MOST_IMAGES: usize = 10_000_000;
    match images {
        1..=MOST_IMAGES => Ok(()),
        found => Err(DataError::config("data.source.images", format!("1 to {MOST_IMAGES}"), found)),
    }
}

/// Checks the fraction that is held out.
fn validate_held_out(fraction: f64) -> Result<(), DataError> {
    if (0.0..1.0).contains(&fraction) {
        return Ok(());
    }
    Err(DataError::config("data.source.held_out", "a fraction from 0 to below 1", fraction))
}

/// At most `most` numbers below `all`, spread evenly: sources are often sorted by what is on the images.
pub fn evenly(most: usize, all: usize) -> impl Iterator<Item = usize> {
    let count = most.min(all);
    (0..count).map(move |place| place * all / count)
}

/// At most `most` images of a source with their numbers, spread evenly; bad ones are left out.
pub fn spread(source: &dyn Source, most: usize) -> (Vec<usize>, Vec<Image>) {
    evenly(most, source.len()).filter_map(|index| Some((index, source.image(index).ok()?))).unzip()
}

/// What was left out when a source was opened, a line each: the first few, and how many more.
pub fn left_out(source: &dyn Source) -> Vec<String> {
    named(source.skipped())
}

/// The first few of the reasons why something was left out, and how many more there are.
pub(crate) fn named(skipped: &[String]) -> Vec<String> {
    const NAMED: usize = 8;
    let named = skipped.iter().take(NAMED).map(|reason| format!("left out: {reason}"));
    let more = (skipped.len() > NAMED).then(|| format!("left out: {} more", skipped.len() - NAMED));
    named.chain(more).collect()
}

/// Opens the data set that a configuration describes.
///
/// # Errors
///
/// When a value of the configuration is outside its range, files are missing or malformed, or no
/// captioned image is found.
pub fn open(config: &DataConfig) -> Result<DataSet, DataError> {
    config.validate()?;
    config.source.settings().open(config.framing())
}

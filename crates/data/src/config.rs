//! The `[data]` table of a configuration file: which images, and what every one of them is
//! brought to.
//!
//! ```toml
//! [data]
//! image_size = [32, 32]      # height, width in pixels
//! channels = 3               # 1 (grey) or 3 (RGB)
//! horizontal_flip = 0.0      # probability, per sample and step
//! source = { kind = "emoji", groups = ["food-and-drink"], skin_tones = false, held_out = 0.1 }
//! # source = { kind = "fashion-mnist", folder = "/usr/share/datasets/fashion-mnist" }
//! # source = { kind = "folder", path = "my-images", held_out = 0.05 }
//! # source = { kind = "shapes", images = 8192 }
//! # source = { kind = "noise", images = 256, caption_length = 16 }
//! ```

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::emoji;
use crate::error::DataError;
use crate::pixels::ImageShape;

/// The largest height or width in pixels: beyond it, a typing error is likelier than a wish.
const LARGEST_SIDE: usize = 4096;

/// The most images of a source that makes them itself; their captions lie in memory.
const MOST_IMAGES: usize = 10_000_000;

/// The most letters of a caption of noise.
const MOST_LETTERS: usize = 100_000;

/// Where samples come from and what their images look like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Height and width in pixels that every image is brought to, each from 1 to 4096.
    #[serde(default = "default_image_size")]
    pub image_size: [usize; 2],
    /// Channels of every image: 1 (luma) or 3 (RGB).
    #[serde(default = "default_channels")]
    pub channels: usize,
    /// Probability, from 0 to 1, that a training sample is mirrored. Sampled per sample and step.
    ///
    /// Leave it at 0 where left and right carry meaning, as in "left arrow".
    #[serde(default)]
    pub horizontal_flip: f64,
    /// The captioned images.
    #[serde(default)]
    pub source: SourceConfig,
}

/// The kinds of captioned images, chosen by the key `kind`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SourceConfig {
    /// Twemoji images captioned with their Unicode names, built into the program.
    Emoji(EmojiConfig),
    /// 70,000 grey photographs of clothes from a Debian package.
    FashionMnist(FashionMnistConfig),
    /// The user's own images and captions.
    Folder(FolderConfig),
    /// Coloured shapes made by the program, whose drawings and captions are scored exactly.
    Shapes(ShapesConfig),
    /// Random images and captions, to measure speed.
    Noise(NoiseConfig),
}

/// Options of `kind = "emoji"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmojiConfig {
    /// Unicode groups by name, such as `food-and-drink`, or `all`.
    #[serde(default = "default_groups")]
    pub groups: Vec<String>,
    /// Whether hands and people also appear in their skin tones.
    #[serde(default)]
    pub skin_tones: bool,
    /// Fraction, from 0 to below 1, of the (emoji, skin tone) pairs, or of the emoji, that training does not see.
    ///
    /// Without `skin_tones` there is one image per caption and no pair that could be held out:
    /// the held-out split is then the training set itself, unless whole emoji are held out.
    #[serde(default = "default_emoji_held_out")]
    pub held_out: f64,
    /// What is held out.
    #[serde(default)]
    pub held_out_by: EmojiHeldOut,
}

/// What an emoji source holds out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmojiHeldOut {
    /// Pairs of an emoji and a skin tone, of which training sees each part: what a model that draws can be asked for.
    #[default]
    Tone,
    /// Whole emoji, in all their skin tones: what an autoencoder can be measured on.
    Emoji,
}

/// Options of `kind = "fashion-mnist"`. The official test set is the held-out split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FashionMnistConfig {
    /// Folder with the four gzipped IDX files.
    #[serde(default = "default_fashion_folder")]
    pub folder: PathBuf,
}

/// Options of `kind = "folder"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderConfig {
    /// The folder: an imagefolder with `metadata.jsonl` or `metadata.csv`, or images beside
    /// `.txt` captions.
    pub path: PathBuf,
    /// Fraction, from 0 to below 1, of the images that training does not see. With 0, the held-out
    /// split is the training set itself.
    #[serde(default = "default_folder_held_out")]
    pub held_out: f64,
}

/// Options of `kind = "shapes"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapesConfig {
    /// Training images, at least 1; an eighth as many are held out, of combinations that training does not see.
    #[serde(default = "default_shapes_images")]
    pub images: usize,
}

/// Options of `kind = "noise"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseConfig {
    /// How many, at least 1.
    #[serde(default = "default_noise_images")]
    pub images: usize,
    /// Letters of every caption, at least 1.
    #[serde(default = "default_noise_caption_length")]
    pub caption_length: usize,
}

fn default_image_size() -> [usize; 2] {
    [32, 32]
}

fn default_channels() -> usize {
    3
}

fn default_groups() -> Vec<String> {
    ["food-and-drink", "animals-and-nature"].map(String::from).to_vec()
}

fn default_emoji_held_out() -> f64 {
    0.1
}

fn default_fashion_folder() -> PathBuf {
    PathBuf::from("/usr/share/datasets/fashion-mnist")
}

fn default_shapes_images() -> usize {
    8192
}

fn default_noise_images() -> usize {
    256
}

fn default_noise_caption_length() -> usize {
    16
}

fn default_folder_held_out() -> f64 {
    0.05
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            image_size: default_image_size(),
            channels: default_channels(),
            horizontal_flip: 0.0,
            source: SourceConfig::default(),
        }
    }
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self::Emoji(EmojiConfig::default())
    }
}

impl Default for EmojiConfig {
    fn default() -> Self {
        Self {
            groups: default_groups(),
            skin_tones: false,
            held_out: default_emoji_held_out(),
            held_out_by: EmojiHeldOut::default(),
        }
    }
}

impl Default for FashionMnistConfig {
    fn default() -> Self {
        Self { folder: default_fashion_folder() }
    }
}

impl DataConfig {
    /// What every image is brought to.
    pub fn image_shape(&self) -> ImageShape {
        let [height, width] = self.image_size;
        ImageShape { channels: self.channels, height, width }
    }

    /// Checks every value once, before anything is opened.
    ///
    /// # Errors
    ///
    /// The first key whose value is outside its range. Whether files exist is not asked here.
    pub fn validate(&self) -> Result<(), DataError> {
        if self.image_size.iter().any(|side| !(1..=LARGEST_SIDE).contains(side)) {
            let expected = format!("height and width from 1 to {LARGEST_SIDE} pixels");
            return Err(DataError::config("data.image_size", expected, format!("{:?}", self.image_size)));
        }
        if ![1, 3].contains(&self.channels) {
            return Err(DataError::config("data.channels", "1 (grey) or 3 (RGB)", self.channels));
        }
        if !(0.0..=1.0).contains(&self.horizontal_flip) {
            let expected = "a probability from 0 to 1";
            return Err(DataError::config("data.horizontal_flip", expected, self.horizontal_flip));
        }
        if matches!(self.source, SourceConfig::Shapes(_)) && self.channels != 3 {
            return Err(DataError::config("data.channels", "3, for shapes are told by their colours", self.channels));
        }
        self.source.validate()
    }
}

impl SourceConfig {
    fn validate(&self) -> Result<(), DataError> {
        match self {
            Self::Emoji(emoji) => {
                validate_fraction(emoji.held_out)?;
                emoji::parse_groups(&emoji.groups).map(|_| ())
            }
            Self::FashionMnist(_) => Ok(()),
            Self::Folder(folder) => validate_fraction(folder.held_out),
            Self::Shapes(shapes) => validate_images(shapes.images),
            Self::Noise(noise) => {
                validate_images(noise.images)?;
                match noise.caption_length {
                    1..=MOST_LETTERS => Ok(()),
                    found => {
                        let expected = format!("1 to {MOST_LETTERS}");
                        Err(DataError::config("data.source.caption_length", expected, found))
                    }
                }
            }
        }
    }
}

/// Of images that are made when they are asked for.
fn validate_images(images: usize) -> Result<(), DataError> {
    match images {
        1..=MOST_IMAGES => Ok(()),
        found => Err(DataError::config("data.source.images", format!("1 to {MOST_IMAGES}"), found)),
    }
}

fn validate_fraction(fraction: f64) -> Result<(), DataError> {
    if (0.0..1.0).contains(&fraction) {
        return Ok(());
    }
    Err(DataError::config("data.source.held_out", "a fraction from 0 to below 1", fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(toml: &str) -> Result<DataConfig, String> {
        toml::from_str(toml).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_table_is_the_default() {
        assert_eq!(parse("").unwrap(), DataConfig::default());
        assert_eq!(parse("source = { kind = 'emoji' }").unwrap(), DataConfig::default());
        DataConfig::default().validate().unwrap();
    }

    #[test]
    fn every_kind_survives_a_round_trip() {
        for source in [
            "source = { kind = 'emoji', groups = ['all'], skin_tones = true, held_out = 0.2 }",
            "source = { kind = 'fashion-mnist' }",
            "source = { kind = 'folder', path = 'images' }",
        ] {
            let config = parse(&format!("image_size = [28, 20]\nchannels = 1\n{source}")).unwrap();
            config.validate().unwrap();
            assert_eq!(parse(&toml::to_string(&config).unwrap()).unwrap(), config);
        }
    }

    #[test]
    fn unknown_keys_are_errors_under_every_kind() {
        for (toml, key) in [
            ("image_sise = [32, 32]", "image_sise"),
            ("source = { kind = 'emoji', group = ['all'] }", "group"),
            ("source = { kind = 'fashion-mnist', path = 'x' }", "path"),
            ("source = { kind = 'folder', path = 'x', hold_out = 0.1 }", "hold_out"),
            ("source = { kind = 'webdataset' }", "webdataset"),
            ("source = { kind = 'folder' }", "path"),
        ] {
            let message = parse(toml).unwrap_err();
            assert!(message.contains(key), "{toml}: {message}");
        }
    }

    #[test]
    fn values_outside_their_range_name_the_key() {
        for (toml, key) in [
            ("image_size = [0, 32]", "data.image_size"),
            ("image_size = [32, 40000]", "data.image_size"),
            ("channels = 4", "data.channels"),
            ("horizontal_flip = 1.5", "data.horizontal_flip"),
            ("horizontal_flip = nan", "data.horizontal_flip"),
            ("source = { kind = 'emoji', groups = [] }", "data.source.groups"),
            ("source = { kind = 'emoji', groups = ['food'] }", "data.source.groups"),
            ("source = { kind = 'emoji', held_out = 1.0 }", "data.source.held_out"),
            ("source = { kind = 'folder', path = 'x', held_out = -0.1 }", "data.source.held_out"),
        ] {
            let message = parse(toml).unwrap().validate().unwrap_err().to_string();
            assert!(message.contains(key), "{toml}: {message}");
        }
    }
}

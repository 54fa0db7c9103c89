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
//! # source = { kind = "shards", shards = ["cc12m/{00000..01242}.tar"], held_out = 0.001 }
//! # source = { kind = "shapes", images = 8192 }
//! # source = { kind = "compositions", images = 100000, groups = 3 }
//! # source = { kind = "noise", images = 256, caption_length = 16 }
//! ```

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::images::{BucketsConfig, Fit, Framing, ImageShape};
use crate::mixture::{self, MixtureConfig, MixtureUnit};
use crate::sources::SourceConfig;

/// The largest height or width in pixels: beyond it, a typing error is likelier than a wish.
const LARGEST_SIDE: usize = 4096;

/// Where samples come from and what their images look like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Height and width in pixels that every image is brought to, each from 1 to 4096.
    #[serde(default = "default_image_size")]
    pub image_size: [usize; 2],
    /// Sizes for images of other proportions; all images are brought to `image_size` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<BucketsConfig>,
    /// What becomes of images of other proportions.
    #[serde(default)]
    pub fit: Fit,
    /// Whether images that are smaller than what they are brought to are enlarged; they are left out if not, or padded where
    /// `fit` is `pad`.
    #[serde(default)]
    pub upscale: bool,
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
    /// Collections that documents are drawn from, in the proportions of their weights; the images of `source` alone if there
    /// are none. Where none of them is of kind `images`, there are no images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mixture: Vec<MixtureConfig>,
    /// What the weights of the mixture are fractions of: `documents` or `tokens`.
    #[serde(default)]
    pub mixture_by: MixtureUnit,
    /// Fraction, from 0 to 1, of the run's documents, at its end, in which the parts of the mixture have their `late_weight`.
    /// It follows `train.steps`: a resume with more steps begins them later.
    #[serde(default)]
    pub late_fraction: f64,
}

fn default_image_size() -> [usize; 2] {
    [32, 32]
}

fn default_channels() -> usize {
    3
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            image_size: default_image_size(),
            buckets: None,
            fit: Fit::default(),
            upscale: false,
            channels: default_channels(),
            horizontal_flip: 0.0,
            source: SourceConfig::default(),
            mixture: vec![],
            mixture_by: MixtureUnit::default(),
            late_fraction: 0.0,
        }
    }
}

impl DataConfig {
    /// What every image is brought to.
    pub fn image_shape(&self) -> ImageShape {
        let [height, width] = self.image_size;
        ImageShape { channels: self.channels, height, width }
    }

    /// The same, and how images are brought to it.
    pub fn framing(&self) -> Framing {
        let sizes = self.buckets.as_ref().map_or(vec![], |buckets| buckets.sizes(self.image_size));
        Framing { shape: self.image_shape(), sizes: sizes.into(), fit: self.fit, upscale: self.upscale }
    }

    /// Whether documents have images of `source`.
    pub fn has_images(&self) -> bool {
        self.mixture.is_empty() || self.mixture.iter().any(MixtureConfig::is_images)
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
        if let Some(buckets) = &self.buckets {
            buckets.validate(self.image_size, LARGEST_SIDE)?;
            if self.has_images() && self.source.makes_images() {
                let expected = "none where the program makes the images, which have one size";
                return Err(DataError::config("data.buckets", expected, "some"));
            }
        }
        if ![1, 3].contains(&self.channels) {
            return Err(DataError::config("data.channels", "1 (grey) or 3 (RGB)", self.channels));
        }
        if !(0.0..=1.0).contains(&self.horizontal_flip) {
            let expected = "a probability from 0 to 1";
            return Err(DataError::config("data.horizontal_flip", expected, self.horizontal_flip));
        }
        if !(0.0..=1.0).contains(&self.late_fraction) {
            return Err(DataError::config("data.late_fraction", "a fraction from 0 to 1", self.late_fraction));
        }
        let has_late = self.mixture.iter().any(|part| part.late_weight.is_some());
        if has_late != (self.late_fraction > 0.0) {
            let expected = "above 0 where a part of the mixture has a late_weight, and only there";
            return Err(DataError::config("data.late_fraction", expected, self.late_fraction));
        }
        mixture::validate(&self.mixture, self.image_shape())?;
        match self.has_images() {
            true => self.source.validate(self.image_shape()),
            false => Ok(()),
        }
    }
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
            "source = { kind = 'shards', shards = ['a/{0..9}.tar'], captions = ['json.caption'], held_out = 0.01 }",
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
            ("source = { kind = 'shards', shards = ['a'], caption = ['txt'] }", "caption"),
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
            ("buckets = { sizes = [] }", "data.buckets"),
            ("buckets = { ratios = [0.0] }", "data.buckets.ratios"),
            ("buckets = { ratios = [0.5] }\nsource = { kind = 'shapes' }", "data.buckets"),
            ("channels = 4", "data.channels"),
            ("horizontal_flip = 1.5", "data.horizontal_flip"),
            ("horizontal_flip = nan", "data.horizontal_flip"),
            ("source = { kind = 'emoji', groups = [] }", "data.source.groups"),
            ("source = { kind = 'emoji', groups = ['food'] }", "data.source.groups"),
            ("source = { kind = 'emoji', held_out = 1.0 }", "data.source.held_out"),
            ("source = { kind = 'folder', path = 'x', held_out = -0.1 }", "data.source.held_out"),
            ("source = { kind = 'shards', shards = [] }", "data.source.shards"),
            ("source = { kind = 'shards', shards = ['a'], image = [''] }", "data.source.image"),
            ("source = { kind = 'shards', shards = ['a'], held_out = 2.0 }", "data.source.held_out"),
            ("source = { kind = 'shapes', images = 0 }", "data.source.images"),
            ("channels = 1\nsource = { kind = 'shapes' }", "data.channels"),
            ("source = { kind = 'noise', caption_length = 0 }", "data.source.caption_length"),
            ("late_fraction = 0.1", "data.late_fraction"),
            ("mixture = [{ name = 'a', late_weight = 2.0, content = { kind = 'images' } }]", "data.late_fraction"),
            (
                "late_fraction = 0.1\nmixture = [{ name = 'a', late_weight = -1.0, content = { kind = 'images' } }]",
                "data.mixture[0].late_weight",
            ),
            (
                "late_fraction = 0.1\nmixture = [{ name = 'a', late_weight = 0.0, content = { kind = 'images' } }]",
                "data.mixture",
            ),
        ] {
            let message = parse(toml).unwrap().validate().unwrap_err().to_string();
            assert!(message.contains(key), "{toml}: {message}");
        }
    }
}

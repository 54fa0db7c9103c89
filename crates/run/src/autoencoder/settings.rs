//! The configuration file of an autoencoder's run.

use std::path::Path;

use interfuse_data::DataConfig;
use interfuse_trainer::autoencoder::{ArchitectureConfig, AutoencoderLossConfig, AutoencoderTrainConfig};
use interfuse_trainer::{IntervalConfig, MatrixOptimizer, OptimizerConfig};
use interfuse_vae::VaeConfig;
use serde::{Deserialize, Serialize};

use crate::configuration;
use crate::error::{Context as _, Result, refuse};
use crate::settings::{RunSettings, refuse_old_keys};

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaeSettings {
    /// Where the run lives and computes.
    pub run: RunSettings,
    /// The images; captions are not looked at.
    pub data: DataConfig,
    /// The networks.
    pub vae: ArchitectureConfig,
    /// What the autoencoder is trained by.
    #[serde(default)]
    pub loss: AutoencoderLossConfig,
    /// AdamW, its learning rate and the moving average.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// How much is trained, and on what batches.
    pub train: AutoencoderTrainConfig,
    /// After how many steps each thing is due.
    #[serde(default)]
    pub intervals: IntervalConfig,
    /// Held-out images.
    #[serde(default)]
    pub validation: ValidationImages,
}

/// How many held-out images are looked at, spread evenly, unless all are fewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValidationImages {
    /// Held-out images by which quality is measured; 0 measures none.
    pub images: usize,
    /// Held-out images that previews show, each with its reconstruction; 0 makes no preview.
    pub shown: usize,
}

impl Default for ValidationImages {
    fn default() -> Self {
        Self { images: 128, shown: 16 }
    }
}

impl VaeSettings {
    /// Reads a configuration, applies `overrides` (each `a.b=value`), and checks it.
    ///
    /// # Errors
    /// A file that cannot be read, a key that is unknown, missing or mistyped, a value outside its range; each named.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self> {
        refuse_old_keys(path)?;
        Self::checked(configuration::load(path, overrides)?, path)
    }

    /// As [`Self::load`], of a text that was read from `path` before.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Self> {
        Self::checked(configuration::parse(text, path, overrides)?, path)
    }

    fn checked(self, path: &Path) -> Result<Self> {
        self.validate().with_context(|| format!("in {}", path.display()))?;
        Ok(self)
    }

    fn validate(&self) -> Result<()> {
        self.run.validate()?;
        self.data.validate()?;
        self.loss.validate()?;
        self.loss.check_size(self.data.image_size)?;
        self.optimizer.validate()?;
        if self.optimizer.matrices == MatrixOptimizer::Muon {
            refuse!(
                "optimizer.matrices: expected \"adamw\", for an autoencoder has no matrices of a backbone, found \"muon\""
            );
        }
        self.train.validate()?;
        let factor = self.networks()?.network().downsampling();
        let [height, width] = self.data.image_size;
        if self.data.buckets.is_some() {
            refuse!(
                "data.buckets: expected none, for an autoencoder learns from images of one size and encodes those of any, found some"
            );
        }
        if height % factor != 0 || width % factor != 0 {
            refuse!(
                "data.image_size: expected multiples of {factor}, by which {} widths in vae.block_out_channels shrink \
                 images, found [{height}, {width}]",
                self.vae.block_out_channels.len()
            );
        }
        Ok(())
    }

    /// The networks for images of this data.
    ///
    /// # Errors
    /// When the settings do not fit together.
    pub fn networks(&self) -> Result<VaeConfig> {
        Ok(self.vae.vae_config(self.data.channels)?)
    }
}

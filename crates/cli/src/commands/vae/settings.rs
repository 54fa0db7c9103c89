//! The configuration file of an autoencoder's run.

use std::path::Path;

use anyhow::{Context, bail};
use interfuse_data::DataConfig;
use interfuse_trainer::autoencoder::{ArchitectureConfig, AutoencoderLossConfig, AutoencoderTrainConfig};
use interfuse_trainer::{IntervalConfig, OptimizerConfig};
use interfuse_vae::VaeConfig;
use serde::{Deserialize, Serialize};

use crate::settings::RunSettings;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VaeSettings {
    pub(super) run: RunSettings,
    pub(super) data: DataConfig,
    pub(super) vae: ArchitectureConfig,
    #[serde(default)]
    pub(super) loss: AutoencoderLossConfig,
    #[serde(default)]
    pub(super) optimizer: OptimizerConfig,
    pub(super) train: AutoencoderTrainConfig,
    #[serde(default)]
    pub(super) intervals: IntervalConfig,
    #[serde(default)]
    pub(super) validation: ValidationImages,
}

/// How many held-out images are looked at, spread evenly, unless all are fewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ValidationImages {
    /// By which quality is measured.
    pub(super) images: usize,
    /// Which previews show, each with its reconstruction.
    pub(super) shown: usize,
}

impl Default for ValidationImages {
    fn default() -> Self {
        Self { images: 128, shown: 16 }
    }
}

impl VaeSettings {
    /// Reads a configuration and checks it.
    pub(super) fn load(path: &Path, overrides: &[String]) -> anyhow::Result<Self> {
        let settings: Self = crate::config::load(path, overrides)?;
        settings.validate().with_context(|| format!("in {}", path.display()))?;
        Ok(settings)
    }

    fn validate(&self) -> anyhow::Result<()> {
        if self.run.keep_checkpoints == 0 {
            bail!("run.keep_checkpoints: expected at least 1, found 0");
        }
        self.data.validate()?;
        self.loss.validate()?;
        self.loss.check_size(self.data.image_size)?;
        self.optimizer.validate()?;
        self.train.validate()?;
        let factor = self.networks()?.network().downsampling();
        let [height, width] = self.data.image_size;
        if height % factor != 0 || width % factor != 0 {
            bail!(
                "data.image_size: expected multiples of {factor}, by which {} widths in vae.block_out_channels shrink \
                 images, found [{height}, {width}]",
                self.vae.block_out_channels.len()
            );
        }
        Ok(())
    }

    /// The networks for images of this data.
    pub(super) fn networks(&self) -> anyhow::Result<VaeConfig> {
        Ok(self.vae.vae_config(self.data.channels)?)
    }
}

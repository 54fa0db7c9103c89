//! Settings of the model.

use std::collections::BTreeMap;
use std::sync::Arc;

use interfuse_image_tower::{ImageTowerConfig, TimestepConditioning};
use interfuse_mot::{BackboneConfig, NormPlacement, Partition};
use interfuse_sequence::{Modality, Objective, PositionScheme, SequenceFormat};
use interfuse_text_tower::TextTowerConfig;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The largest vocabulary: beyond it, a typing error is likelier than a wish, and memory runs out without a message.
const MOST_IDS: usize = 1 << 24;

/// Settings of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The architecture: a partition of the modalities among parts. One part is the dense model, one part for each
    /// modality is Mixture-of-Transformers.
    pub partition: Vec<Vec<String>>,
    /// How the patches of an image advance the position.
    #[serde(default)]
    pub positions: PositionScheme,
    /// `[latent_channels, height, width]` of every image; taken from the data and its codec if absent.
    #[serde(default)]
    pub latent_shape: [usize; 3],
    /// The backbone.
    pub backbone: BackboneConfig,
    /// The modalities by name, each with the settings of its tower. Lanes are in the order of the names.
    pub modalities: BTreeMap<String, TowerConfig>,
}

/// Settings of a modality's ends; which kind decides its objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "objective", rename_all = "snake_case")]
pub enum TowerConfig {
    /// Discrete ids, learned by next-token prediction.
    NextToken(TextTowerConfig),
    /// Latents, learned by denoising.
    Denoise(ImageTowerConfig),
}

impl TowerConfig {
    /// The objective of the modality.
    pub fn objective(&self) -> Objective {
        match self {
            Self::NextToken(_) => Objective::NextToken,
            Self::Denoise(_) => Objective::Denoise,
        }
    }
}

impl ModelConfig {
    /// The modalities, by lane.
    pub fn modalities(&self) -> Vec<Modality> {
        let modality =
            |(name, tower): (&String, &TowerConfig)| Modality { name: name.clone(), objective: tower.objective() };
        self.modalities.iter().map(modality).collect()
    }

    /// The lane of a modality.
    pub fn lane(&self, name: &str) -> Option<usize> {
        self.modalities.keys().position(|key| key == name)
    }

    /// The first lane of an objective.
    pub fn lane_of(&self, objective: Objective) -> Option<usize> {
        self.modalities.values().position(|tower| tower.objective() == objective)
    }

    /// Settings of the tower of a lane.
    pub fn tower(&self, lane: usize) -> Option<&TowerConfig> {
        self.modalities.values().nth(lane)
    }

    /// Settings of the first image modality.
    pub fn image_tower(&self) -> Option<&ImageTowerConfig> {
        self.modalities.values().find_map(|tower| match tower {
            TowerConfig::Denoise(config) => Some(config),
            TowerConfig::NextToken(_) => None,
        })
    }

    /// What a sample is laid out against.
    pub fn sequence_format(&self) -> Arc<SequenceFormat> {
        Arc::new(SequenceFormat {
            modalities: self.modalities(),
            latent_shape: self.latent_shape,
            patch_size: self.image_tower().map_or(1, |config| config.patch_size),
            positions: self.positions,
        })
    }

    /// The architecture.
    ///
    /// # Errors
    /// When `partition` is no partition of the modalities.
    pub fn partition(&self) -> Result<Partition, ConfigError> {
        let names: Vec<String> = self.modalities.keys().cloned().collect();
        Partition::from_names(&self.partition, &names).map_err(|message| ConfigError(format!("model.{message}")))
    }

    /// Whether the rows of a lane carry a condition for adaptive norms.
    pub fn is_conditioned(&self, lane: usize) -> bool {
        match self.tower(lane) {
            Some(TowerConfig::Denoise(config)) => config.timestep_conditioning == TimestepConditioning::AdaLn,
            _ => false,
        }
    }

    /// Checks all settings against one another.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.backbone.validate().map_err(|error| ConfigError(format!("model.backbone.{error}")))?;
        self.partition()?;
        for (name, tower) in &self.modalities {
            match tower {
                TowerConfig::NextToken(config) if !(1..=MOST_IDS).contains(&config.vocab_size) => {
                    let found = config.vocab_size;
                    return Err(ConfigError(format!(
                        "model.modalities.{name}.vocab_size: expected the number of ids, from 1 to {MOST_IDS}, found {found}"
                    )));
                }
                TowerConfig::NextToken(_) => {}
                TowerConfig::Denoise(config) => config
                    .validate(self.latent_shape)
                    .map_err(|error| ConfigError(format!("model.modalities.{name}.{error}")))?,
            }
        }
        if self.modalities.values().filter(|tower| tower.objective() == Objective::Denoise).count() > 1 {
            return Err(ConfigError(
                "model.modalities: expected at most one with objective `denoise`, found more".into(),
            ));
        }
        let unplaced = |image: &ImageTowerConfig| !image.learned_positions && image.unet.is_none();
        if self.positions == PositionScheme::Shared && self.image_tower().is_some_and(unplaced) {
            let message = "model.positions: expected `sequential` or `axial`, or learned_positions = true in the image \
                           modality, found `shared`: all patches of an image would look alike";
            return Err(ConfigError(message.into()));
        }
        if self.image_tower().is_some_and(|image| image.timestep_conditioning == TimestepConditioning::AdaLn)
            && self.backbone.norm == NormPlacement::Post
        {
            let message = "model.backbone.norm: expected `pre`, which `ada_ln` conditioning modulates, found `post`";
            return Err(ConfigError(message.into()));
        }
        Ok(())
    }
}

/// Settings that do not fit together; says which key, what was expected and what was found.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ConfigError(pub String);

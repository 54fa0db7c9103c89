//! Settings of the model.

use std::collections::BTreeMap;
use std::sync::Arc;

use interfuse_image_tower::{ImageTowerConfig, TimestepConditioning};
use interfuse_mot::{
    BackboneConfig, BalanceScope, FeedForwardConfig, MoeConfig, NormPlacement, PartSettings, Partition, Routing,
    WeightKind,
};
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
    /// `[latent_channels, height, width]` of every image; `[0, 0, 0]` takes those that the data and its codec give.
    #[serde(default)]
    pub latent_shape: [usize; 3],
    /// The backbone.
    pub backbone: BackboneConfig,
    /// The modalities by name, each with the settings of its ends. Lanes are in the order of the names.
    pub modalities: BTreeMap<String, ModalityConfig>,
}

/// Settings of a modality's ends; which kind decides its objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "objective", rename_all = "snake_case")]
pub enum ModalityConfig {
    /// Discrete ids, learned by next-token prediction.
    NextToken(TextTowerConfig),
    /// Latents, learned by denoising.
    Denoise(ImageTowerConfig),
}

impl ModalityConfig {
    /// The modality whose vocabulary this one shares, if it does.
    pub fn shares(&self) -> Option<&String> {
        match self {
            Self::NextToken(config) => config.vocabulary.as_ref(),
            Self::Denoise(_) => None,
        }
    }

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
        let owners: Vec<&String> = self.towers().map(|(name, _)| name).collect();
        let modality = |(name, config): (&String, &ModalityConfig)| Modality {
            name: name.clone(),
            objective: config.objective(),
            tower: owners.iter().position(|owner| *owner == config.shares().unwrap_or(name)).unwrap_or_default(),
        };
        self.modalities.iter().map(modality).collect()
    }

    /// The modalities that own a tower: all but those that share the vocabulary of another.
    pub fn towers(&self) -> impl Iterator<Item = (&String, &ModalityConfig)> {
        self.modalities.iter().filter(|(_, config)| config.shares().is_none())
    }

    /// The lane of a modality.
    pub fn lane(&self, name: &str) -> Option<usize> {
        self.modalities.keys().position(|key| key == name)
    }

    /// Settings of a lane.
    pub fn modality(&self, lane: usize) -> Option<&ModalityConfig> {
        self.modalities.values().nth(lane)
    }

    /// Settings of the ids of a lane: its own, or those of the modality whose vocabulary it shares.
    pub fn vocabulary(&self, name: &str) -> Option<&TextTowerConfig> {
        match self.modalities.get(name)? {
            ModalityConfig::NextToken(TextTowerConfig { vocabulary: Some(owner), .. }) => self.vocabulary(owner),
            ModalityConfig::NextToken(config) => Some(config),
            ModalityConfig::Denoise(_) => None,
        }
    }

    /// Settings of the denoise modality, if there is one.
    pub fn image_tower(&self) -> Option<&ImageTowerConfig> {
        self.modalities.values().find_map(|modality| match modality {
            ModalityConfig::Denoise(config) => Some(config),
            ModalityConfig::NextToken(_) => None,
        })
    }

    /// What a sample is laid out against where its images are of the size of `latent_shape`.
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

    /// What each part is known by and made for.
    ///
    /// # Errors
    /// When `partition` is no partition of the modalities.
    pub fn part_settings(&self) -> Result<Vec<PartSettings>, ConfigError> {
        let partition = self.partition()?;
        let of_part = |(name, lanes): (&String, &Vec<usize>)| PartSettings {
            name: name.clone(),
            conditioned: lanes.iter().any(|&lane| self.is_conditioned(lane)),
            feed_forward: self.backbone.feed_forward_of(name).clone(),
        };
        Ok(partition.names().iter().zip(partition.parts()).map(of_part).collect())
    }

    /// The feed-forward that serves a modality.
    pub fn feed_forward(&self, modality: &str) -> &FeedForwardConfig {
        let part = self.partition.iter().find(|names| names.iter().any(|name| name == modality));
        part.map_or(&self.backbone.feed_forward, |names| self.backbone.feed_forward_of(&names.join("+")))
    }

    /// Whether a loss needs to know how the routers distribute the rows of a whole step before its gradient is computed.
    pub fn balances_over_steps(&self) -> bool {
        let needs = |moe: &MoeConfig| moe.balance_loss() > 0.0 && moe.balance_over() == BalanceScope::Step;
        self.modalities.keys().filter_map(|name| self.feed_forward(name).moe()).any(needs)
    }

    /// Whether the experts that serve a modality choose their rows, so that a row's depend on the rows after it.
    pub fn sees_the_future(&self, modality: &str) -> bool {
        self.feed_forward(modality).moe().is_some_and(|moe| moe.routing == Routing::ExpertChoice)
    }

    /// Whether the rows of a lane carry a condition for adaptive norms.
    pub fn is_conditioned(&self, lane: usize) -> bool {
        match self.modality(lane) {
            Some(ModalityConfig::Denoise(config)) => config.timestep_conditioning == TimestepConditioning::AdaLn,
            _ => false,
        }
    }

    /// Checks all settings against one another.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.backbone.validate().map_err(|error| ConfigError(format!("model.backbone.{error}")))?;
        self.validate_modalities()?;
        self.validate_parts()?;
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

impl ModelConfig {
    /// Settings of parts must be of parts that there are.
    fn validate_parts(&self) -> Result<(), ConfigError> {
        let partition = self.partition()?;
        let names = partition.names();
        if let Some(name) = self.backbone.parts.keys().find(|name| !names.contains(name)) {
            let expected = format!("a part of the partition ({})", names.join(", "));
            return Err(ConfigError(format!("model.backbone.parts: expected {expected}, found `{name}`")));
        }
        let differ = self.part_settings()?.windows(2).any(|pair| pair[0].feed_forward != pair[1].feed_forward);
        if differ && self.backbone.is_tied_somewhere(WeightKind::Ffn) {
            let message = "model.backbone.untie: expected `ffn` in it and untie_from = 0 where parts have different \
                           feed-forwards, found feed-forwards that all parts have in common";
            return Err(ConfigError(message.into()));
        }
        Ok(())
    }

    fn validate_modalities(&self) -> Result<(), ConfigError> {
        let fail = |name: &str, message: String| Err(ConfigError(format!("model.modalities.{name}{message}")));
        for (name, modality) in &self.modalities {
            // Names are parts of the names of weights and of parts.
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
                return fail(name, ": expected a name of letters, digits, `_` and `-`".into());
            }
            match modality {
                ModalityConfig::NextToken(config) => self.validate_vocabulary(name, config)?,
                ModalityConfig::Denoise(config) => {
                    config.validate(self.latent_shape).or_else(|error| fail(name, format!(".{error}")))?;
                }
            }
        }
        if self.modalities.values().filter(|modality| modality.objective() == Objective::Denoise).count() > 1 {
            let message = "model.modalities: expected at most one with objective `denoise`, found more";
            return Err(ConfigError(message.into()));
        }
        Ok(())
    }

    fn validate_vocabulary(&self, name: &str, config: &TextTowerConfig) -> Result<(), ConfigError> {
        let fail = |message: String| Err(ConfigError(format!("model.modalities.{name}.{message}")));
        let Some(owner) = &config.vocabulary else {
            return match (1..=MOST_IDS).contains(&config.vocab_size) {
                true => Ok(()),
                false => fail(format!(
                    "vocab_size: expected the number of ids, from 1 to {MOST_IDS}, found {}",
                    config.vocab_size
                )),
            };
        };
        match self.modalities.get(owner) {
            Some(ModalityConfig::NextToken(TextTowerConfig { vocabulary: None, .. })) if owner != name => {}
            _ => {
                return fail(format!(
                    "vocabulary: expected a next_token modality with ids of its own, found `{owner}`"
                ));
            }
        }
        match *config == (TextTowerConfig { vocabulary: config.vocabulary.clone(), ..TextTowerConfig::default() }) {
            true => Ok(()),
            false => fail(format!("vocabulary: expected no other setting beside it, for they are those of `{owner}`")),
        }
    }
}

/// Settings that do not fit together; says which key, what was expected and what was found.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ConfigError(pub String);

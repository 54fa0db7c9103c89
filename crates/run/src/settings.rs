//! The configuration file: one table for each crate that owns settings, and the run's own.

use std::path::{Path, PathBuf};

use interfuse_checkpoint::OtherParts;
use interfuse_data::{DataConfig, DocumentConfig};
use interfuse_sampling::SamplingConfig;
use interfuse_trainer::{IntervalConfig, OptimizerConfig, TrainConfig, ValidationConfig};
use interfuse_transfusion::{ModelConfig, ObjectiveConfig};
use interfuse_vae::CodecConfig;
use serde::{Deserialize, Serialize};

use crate::configuration;
use crate::error::{Context as _, Result, refuse, require};

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the run lives and computes.
    pub run: RunSettings,
    /// The captioned images.
    pub data: DataConfig,
    /// How documents are made of them.
    #[serde(default)]
    pub documents: DocumentConfig,
    /// Text to ids.
    #[serde(default)]
    pub tokenizer: TokenizerSettings,
    /// Pixels to latents.
    #[serde(default)]
    pub codec: CodecConfig,
    /// The model.
    pub model: ModelConfig,
    /// What its weights start from; random numbers if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartSettings>,
    /// How the losses are weighed.
    #[serde(default)]
    pub objective: ObjectiveConfig,
    /// AdamW, its learning rate and the moving average.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// How much is trained, and on what batches.
    pub train: TrainConfig,
    /// After how many steps each thing is due.
    #[serde(default)]
    pub intervals: IntervalConfig,
    /// Losses under fixed noise.
    #[serde(default)]
    pub validation: ValidationConfig,
    /// How images are sampled.
    #[serde(default)]
    pub sampling: SamplingConfig,
    /// Images generated while the model trains.
    #[serde(default)]
    pub preview: PreviewSettings,
}

/// Where a run lives and computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// The run folder.
    pub dir: PathBuf,
    /// Seed of weights, data and noise.
    #[serde(default)]
    pub seed: u64,
    /// `auto`, `cpu`, `wgpu`, `wgpu:N`, `cuda` or `cuda:N`.
    #[serde(default = "auto")]
    pub device: String,
    /// Checkpoints that are kept, the latest first; at least 1.
    #[serde(default = "two")]
    pub keep_checkpoints: usize,
    /// Whether the model is measured when training is done, as by `interfuse evaluate`. An autoencoder is not.
    #[serde(default)]
    pub evaluate: bool,
}

/// Where the tokenizer comes from: a file, or trained on the captions. One of the two keys is needed, unless the model starts
/// from a language model, whose tokenizer it then has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerSettings {
    /// Ids, from 261 to 1,048,576, of a byte-level BPE trained on the captions.
    #[serde(default)]
    pub vocab_size: Option<usize>,
    /// A `tokenizer.json` to load instead.
    #[serde(default)]
    pub path: Option<PathBuf>,
}

/// What the weights of a model start from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartSettings {
    /// A folder of transformers with a language model (Llama, SmolLM, Mistral, Qwen2, Qwen2.5, Qwen3), which becomes the part that
    /// serves captions, with its embedding and head.
    pub language_model: PathBuf,
    /// What the other parts start from: `copy`, of the language model's layers, or `fresh`.
    #[serde(default)]
    pub other_parts: OtherParts,
}

/// Images generated while the model trains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PreviewSettings {
    /// What is generated; captions of the data if empty.
    pub prompts: Vec<String>,
    /// How many captions of the data, if there are no prompts.
    pub count: usize,
}

impl Default for PreviewSettings {
    fn default() -> Self {
        Self { prompts: vec![], count: 16 }
    }
}

fn auto() -> String {
    "auto".into()
}

fn two() -> usize {
    2
}

impl RunSettings {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<()> {
        require!(!self.dir.as_os_str().is_empty(), "run.dir: expected the path of a folder, found \"\"");
        require!(self.keep_checkpoints > 0, "run.keep_checkpoints: expected at least 1, found 0");
        Ok(())
    }
}

impl Settings {
    /// Checks what can be checked before any data is opened; the model is checked once its sizes are known.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<()> {
        self.run.validate()?;
        match (&self.tokenizer.vocab_size, &self.tokenizer.path) {
            (None, None) if self.start.is_some() => {}
            (Some(_), None) if self.start.is_some() => {
                refuse!("tokenizer.vocab_size: expected none, for start.language_model has a tokenizer of its own")
            }
            (None, None) => refuse!("tokenizer: expected `vocab_size` or `path`, found neither"),
            (Some(_), Some(_)) => refuse!("tokenizer: expected `vocab_size` or `path`, found both"),
            _ => {}
        }
        self.data.validate()?;
        self.documents.validate()?;
        self.objective.validate(&self.model.modalities())?;
        self.optimizer.validate()?;
        self.train.validate()?;
        self.validation.validate()?;
        self.sampling.validate()?;
        if let Some(tower) = self.model.image_tower() {
            self.sampling.solver_for(tower.process)?;
        }
        Ok(())
    }

    /// Checks that the autoencoder is there that the codec names, for whoever plans runs before the first of them opens it.
    ///
    /// # Errors
    /// When it is not; says which command makes one.
    pub fn check_autoencoder(&self) -> Result<()> {
        let Some(vae) = self.codec.vae() else { return Ok(()) };
        require!(
            vae.path.join("config.json").is_file(),
            "codec.path: expected the folder of an autoencoder, found none at {}; `interfuse vae train CONFIG` makes one, with \
             codes by `vae.codebook` as in configs/vae_emoji_codes.toml, and `interfuse vae import` brings one along",
            vae.path.display()
        );
        Ok(())
    }

    /// What works but is hardly meant.
    pub fn warnings(&self) -> Vec<String> {
        let (warmup, steps) = (self.optimizer.warmup_steps, self.train.steps);
        let mut warnings = vec![];
        if warmup >= steps {
            warnings.push(format!(
                "optimizer.warmup_steps: the learning rate rises for {warmup} steps and training takes {steps}, so it \
                 never reaches its peak"
            ));
        }
        warnings.extend(self.untrained_guidance(self.sampling.guidance));
        warnings
    }

    /// Guidance sets the prediction against one without a prompt, which a model only has if captions were left out in training.
    pub fn untrained_guidance(&self, guidance: f64) -> Option<String> {
        (guidance != 1.0 && self.documents.caption_dropout == 0.0).then(|| {
            format!(
                "guidance {guidance}: with documents.caption_dropout = 0 the model is never asked to draw without a \
                 caption, so guidance pushes away from noise; guidance 1 uses the model as it is"
            )
        })
    }

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
}

/// Says the new names of keys that a configuration of an earlier version has.
pub(crate) fn refuse_old_keys(path: &Path) -> Result<()> {
    let old = configuration::renamed_keys(path);
    require!(
        old.is_empty(),
        "{} was written for an earlier version, whose keys have other names: {}",
        path.display(),
        configuration::listed(&old)
    );
    Ok(())
}

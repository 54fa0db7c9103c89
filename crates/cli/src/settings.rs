//! The configuration file: one table for each crate that owns settings, and the run's own.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use interfuse_data::{DataConfig, DocumentConfig};
use interfuse_sampling::SamplingConfig;
use interfuse_trainer::{IntervalConfig, OptimizerConfig, TrainConfig, ValidationConfig};
use interfuse_transfusion::{ModelConfig, ObjectiveConfig};
use interfuse_vae::CodecConfig;
use serde::{Deserialize, Serialize};

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) run: RunSettings,
    pub(crate) data: DataConfig,
    #[serde(default)]
    pub(crate) documents: DocumentConfig,
    pub(crate) tokenizer: TokenizerSettings,
    #[serde(default)]
    pub(crate) codec: CodecConfig,
    pub(crate) model: ModelConfig,
    #[serde(default)]
    pub(crate) objective: ObjectiveConfig,
    #[serde(default)]
    pub(crate) optimizer: OptimizerConfig,
    pub(crate) train: TrainConfig,
    #[serde(default)]
    pub(crate) intervals: IntervalConfig,
    #[serde(default)]
    pub(crate) validation: ValidationConfig,
    #[serde(default)]
    pub(crate) sampling: SamplingConfig,
    #[serde(default)]
    pub(crate) preview: PreviewSettings,
}

/// Where a run lives and computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunSettings {
    /// The run folder.
    pub(crate) dir: PathBuf,
    /// Of weights, data and noise.
    #[serde(default)]
    pub(crate) seed: u64,
    /// `auto`, `cpu`, `wgpu`, `wgpu:N`, `cuda` or `cuda:N`.
    #[serde(default = "auto")]
    pub(crate) device: String,
    /// Checkpoints that are kept, the latest first; at least 1.
    #[serde(default = "two")]
    pub(crate) keep_checkpoints: usize,
    /// Whether the model is measured when training is done.
    #[serde(default)]
    pub(crate) evaluate: bool,
}

/// Where the tokenizer comes from: a file, or trained on the captions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenizerSettings {
    /// Ids of a byte-level BPE trained on the captions.
    #[serde(default)]
    pub(crate) vocab_size: Option<usize>,
    /// A `tokenizer.json` to load instead.
    #[serde(default)]
    pub(crate) path: Option<PathBuf>,
}

/// Images generated while the model trains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PreviewSettings {
    /// What is generated; captions of the data if empty.
    pub(crate) prompts: Vec<String>,
    /// How many captions of the data, if there are no prompts.
    pub(crate) count: usize,
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

impl Settings {
    /// Checks what can be checked before any data is opened; the model is checked once its sizes are known.
    pub(crate) fn validate(&self) -> anyhow::Result<()> {
        if self.run.keep_checkpoints == 0 {
            bail!("run.keep_checkpoints: expected at least 1, found 0");
        }
        match (&self.tokenizer.vocab_size, &self.tokenizer.path) {
            (None, None) => bail!("tokenizer: expected `vocab_size` or `path`, found neither"),
            (Some(_), Some(_)) => bail!("tokenizer: expected `vocab_size` or `path`, found both"),
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

    /// What works but is hardly meant.
    pub(crate) fn warnings(&self) -> Vec<String> {
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
    pub(crate) fn untrained_guidance(&self, guidance: f64) -> Option<String> {
        (guidance != 1.0 && self.documents.caption_dropout == 0.0).then(|| {
            format!(
                "guidance {guidance}: with documents.caption_dropout = 0 the model is never asked to draw without a \
                 caption, so guidance pushes away from noise; guidance 1 uses the model as it is"
            )
        })
    }

    /// Reads a configuration and checks it.
    pub(crate) fn load(path: &Path, overrides: &[String]) -> anyhow::Result<Self> {
        Self::checked(crate::config::load(path, overrides)?, path)
    }

    /// As [`Self::load`], of a text that was read from `path` before.
    pub(crate) fn parse(text: &str, path: &Path, overrides: &[String]) -> anyhow::Result<Self> {
        Self::checked(crate::config::parse(text, path, overrides)?, path)
    }

    fn checked(self, path: &Path) -> anyhow::Result<Self> {
        self.validate().with_context(|| format!("in {}", path.display()))?;
        Ok(self)
    }
}

//! A trained model with its place, and the settings it was trained under.

use std::path::{Path, PathBuf};

use interfuse_checkpoint::{Pretrained, weights_file};
use interfuse_data::conversations::ConversationsConfig;
use interfuse_data::mixture::{ContentConfig, MixtureConfig};
use interfuse_sampling::SamplingConfig;

use crate::configuration;
use crate::error::Result;
use crate::run_folder::{RunFolder, resolve_checkpoint};
use crate::settings::Settings;

/// A trained model and where it came from.
pub struct LoadedRun {
    /// The model.
    pub pretrained: Pretrained,
    /// The checkpoint folder.
    pub checkpoint: PathBuf,
    /// The file in it that the weights are of: themselves, or their moving average.
    pub weights: PathBuf,
    /// The run folder, where the checkpoint lies in one.
    pub run: Option<PathBuf>,
    /// `config.toml` of the run folder, where there is one.
    pub settings: Option<Settings>,
}

impl LoadedRun {
    /// Opens a run folder, of which it takes the latest checkpoint, or a checkpoint; `device` is named as
    /// [`device::open`](crate::device::open) has it.
    ///
    /// # Errors
    /// When there is no such run, checkpoint or device, or a file is missing, torn, of another model or of an earlier
    /// version; names the file.
    pub fn open(path: &Path, prefer_ema: bool, device: &str) -> Result<Self> {
        let checkpoint = resolve_checkpoint(path)?;
        let run = run_of(&checkpoint);
        let settings = match run.as_ref().map(|run| run.join("config.toml")) {
            Some(config) if config.exists() => {
                RunFolder::open(config.parent().unwrap_or(path))?;
                Some(configuration::load(&config, &[])?)
            }
            _ => None,
        };
        let device = crate::device::open(device)?;
        let pretrained = Pretrained::open(&checkpoint, prefer_ema, &device)?;
        let weights = weights_file(&checkpoint, prefer_ema);
        Ok(Self { pretrained, checkpoint, weights, run, settings })
    }

    /// How the run samples unless it is told otherwise.
    pub fn sampling(&self) -> SamplingConfig {
        self.settings.as_ref().map(|settings| settings.sampling.clone()).unwrap_or_default()
    }

    /// A warning where images are to be generated with guidance that the model was not trained for.
    pub fn guidance_warning(&self, sampling: &SamplingConfig) -> Option<String> {
        self.settings.as_ref()?.untrained_guidance(sampling.guidance)
    }

    /// A warning where images are to be edited and the run has not learned to, or not without what guidance leaves out.
    pub fn edit_warning(&self, sampling: &SamplingConfig) -> Option<String> {
        let settings = self.settings.as_ref()?;
        let learned: Vec<_> = settings.data.mixture.iter().filter_map(MixtureConfig::conversations).collect();
        if learned.is_empty() {
            return Some(self.never_asked());
        }
        let never = |dropout: fn(&ConversationsConfig) -> f64| learned.iter().all(|config| dropout(config) == 0.0);
        let untrained = |key: &str, scale: f64, dropout: &str| {
            format!(
                "{key} {scale}: with {dropout} = 0 in all collections of conversations the model never learned what guidance \
                 is to lead away from; {key} 1 uses it as it is"
            )
        };
        let (words, images) = (sampling.guidance, sampling.image_guidance);
        if words != 1.0 && never(|config| config.instruction_dropout) {
            return Some(untrained("guidance", words, "instruction_dropout"));
        }
        (images != 1.0 && never(|config| config.context_dropout))
            .then(|| untrained("image_guidance", images, "context_dropout"))
    }

    /// A warning where questions are to be answered and the run has learned from no conversations.
    pub fn question_warning(&self) -> Option<String> {
        let mut mixture = self.settings.as_ref()?.data.mixture.iter();
        mixture.all(|part| part.conversations().is_none()).then(|| self.never_asked())
    }

    /// Whether the run learned to fill masks; not known of a checkpoint by itself.
    pub fn learned_masks(&self) -> Option<bool> {
        let mixture = &self.settings.as_ref()?.data.mixture;
        let is_masked = |part: &MixtureConfig| match &part.content {
            ContentConfig::Texts(texts) => texts.causal_masking > 0.0,
            ContentConfig::Images | ContentConfig::Speech(_) | ContentConfig::Conversations(_) => false,
        };
        Some(mixture.iter().any(is_masked))
    }

    fn never_asked(&self) -> String {
        let run = self.folder().display();
        format!(
            "{run} was trained without conversations (data.mixture of kind `conversations`), so it was never asked anything"
        )
    }

    /// Where files about this model go.
    pub fn folder(&self) -> &Path {
        self.run.as_deref().unwrap_or(&self.checkpoint)
    }
}

/// `RUN/checkpoints/step-000500` → `RUN`
fn run_of(checkpoint: &Path) -> Option<PathBuf> {
    let checkpoints = checkpoint.parent()?;
    (checkpoints.file_name()? == "checkpoints").then(|| checkpoints.parent().map(Path::to_path_buf))?
}

//! A trained model with its place, and the settings it was trained under.

use std::path::{Path, PathBuf};

use interfuse_checkpoint::{Pretrained, weights_file};
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

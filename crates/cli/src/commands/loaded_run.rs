//! A trained model as the commands that use one need it: its weights, its place, and the settings it was trained under.

use std::path::{Path, PathBuf};

use interfuse_sampling::{Pretrained, SamplingConfig, weights_file};

use crate::args::ModelArgs;
use crate::run_folder::resolve_checkpoint;
use crate::settings::Settings;

/// A trained model and where it came from.
pub(crate) struct LoadedRun {
    pub(crate) pretrained: Pretrained,
    /// The checkpoint folder.
    pub(crate) checkpoint: PathBuf,
    /// The file in it that the weights are of: themselves, or their moving average.
    pub(crate) weights: PathBuf,
    /// The run folder, where the checkpoint lies in one.
    pub(crate) run: Option<PathBuf>,
    /// `config.toml` of the run folder, where there is one.
    pub(crate) settings: Option<Settings>,
}

impl LoadedRun {
    /// Opens a run folder or a checkpoint.
    pub(crate) fn open(args: &ModelArgs) -> anyhow::Result<Self> {
        let checkpoint = resolve_checkpoint(&args.run)?;
        let device = crate::device::open(&args.device)?;
        let pretrained = Pretrained::open(&checkpoint, !args.raw_weights, &device)?;
        let weights = weights_file(&checkpoint, !args.raw_weights);
        let run = run_of(&checkpoint);
        let settings = match run.as_ref().map(|run| run.join("config.toml")) {
            Some(path) if path.exists() => Some(crate::config::load(&path, &[])?),
            _ => None,
        };
        Ok(Self { pretrained, checkpoint, weights, run, settings })
    }

    /// How the run draws unless it is told otherwise.
    pub(crate) fn sampling(&self) -> SamplingConfig {
        self.settings.as_ref().map(|settings| settings.sampling.clone()).unwrap_or_default()
    }

    /// Says so where images are to be generated with guidance that the model was not trained for.
    pub(crate) fn warn_of_guidance(&self, sampling: &SamplingConfig) {
        if let Some(warning) =
            self.settings.as_ref().and_then(|settings| settings.untrained_guidance(sampling.guidance))
        {
            eprintln!("warning: {warning}");
        }
    }

    /// Where files about this model go.
    pub(crate) fn folder(&self) -> &Path {
        self.run.as_deref().unwrap_or(&self.checkpoint)
    }
}

/// `RUN/checkpoints/step-000500` → `RUN`
fn run_of(checkpoint: &Path) -> Option<PathBuf> {
    let checkpoints = checkpoint.parent()?;
    (checkpoints.file_name()? == "checkpoints").then(|| checkpoints.parent().map(Path::to_path_buf))?
}

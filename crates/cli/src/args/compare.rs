//! What the user types after `interfuse compare`.

use std::path::PathBuf;

use interfuse_run::comparison::{ComparisonSettings, Paper};

#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// Run folders, or metrics.csv of other trainers; the first is the reference. Folders whose names differ in their seed
    /// alone (dense-seed0, dense-seed1) are one model
    #[arg(required = true, num_args = 2..)]
    pub(crate) runs: Vec<PathBuf>,
    /// Folder to write comparison.json, comparison.html and figures to
    #[arg(long, default_value = "comparison")]
    pub(crate) out: PathBuf,
    /// Compare losses of training where nothing was held out
    #[arg(long)]
    pub(crate) training_only: bool,
    /// Compare runs on different data or with different tokenizers all the same
    #[arg(long)]
    pub(crate) different_data: bool,
    /// Show the slopes of one of the paper's models beside these, such as chameleon-7b
    #[arg(long, value_name = "MODEL")]
    pub(crate) paper: Option<String>,
    /// Records of the moving mean of training losses, an odd number; a fiftieth of them if absent
    #[arg(long)]
    pub(crate) window: Option<usize>,
    /// How often blocks of records are resampled for an interval
    #[arg(long, default_value_t = 400)]
    pub(crate) resamples: usize,
    /// Seed of that
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) answer: super::AnswerArgs,
}

impl CompareArgs {
    /// As the library takes it.
    pub(crate) fn settings(&self) -> interfuse_run::Result<ComparisonSettings> {
        Ok(ComparisonSettings {
            training_only: self.training_only,
            different_data: self.different_data,
            window: self.window,
            resamples: self.resamples,
            seed: self.seed,
            paper: self.paper.as_deref().map(Paper::named).transpose()?,
        })
    }
}

//! What the user types about sweeps of runs.

use std::path::PathBuf;

use clap::Args;
use interfuse_sweep::Job;

#[derive(Debug, Args)]
pub(crate) struct CalibrateArgs {
    /// The sweep
    pub(crate) sweep: PathBuf,
    /// Steps that are timed at each size
    #[arg(long, default_value_t = 5)]
    pub(crate) steps: usize,
    /// What was measured
    #[arg(long, default_value = "calibration.json")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct SweepPlanArgs {
    /// The sweep
    pub(crate) sweep: PathBuf,
    /// What `scaling calibrate` measured, by which hours are predicted
    #[arg(long)]
    pub(crate) calibration: Option<PathBuf>,
    /// List the runs of `scaling batch`
    #[arg(long)]
    pub(crate) batches: bool,
    /// Runs at once, for the hours of all
    #[arg(long, default_value_t = 1)]
    pub(crate) at_once: usize,
}

#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// The sweep
    pub(crate) sweep: PathBuf,
    /// Folder of all runs
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// What `scaling calibrate` measured
    #[arg(long)]
    pub(crate) calibration: Option<PathBuf>,
    /// Runs at once
    #[arg(long, default_value_t = 1)]
    pub(crate) at_once: usize,
    /// Threads of all runs together; as many as there are cores if absent
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// A device that one run at a time has to itself, such as cuda:0; may be repeated
    #[arg(long = "device")]
    pub(crate) devices: Vec<String>,
    /// Which part of the runs, where jobs of a scheduler share them, such as 1/8
    #[arg(long, value_name = "K/N")]
    pub(crate) job: Option<Job>,
    /// Only print the commands of the runs that are left
    #[arg(long)]
    pub(crate) list: bool,
    /// Put runs of different data or tokenizers into one table all the same
    #[arg(long)]
    pub(crate) different_data: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BatchArgs {
    #[command(flatten)]
    pub(crate) sweep: SweepArgs,
    /// Fits of pairs, against whose exponents the best batches are held; may be repeated
    #[arg(long = "fit", value_name = "FIT.json")]
    pub(crate) fits: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PhenomenaArgs {
    /// Run folders
    #[arg(required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Fits of pairs, whose exponents the statements are about; may be repeated
    #[arg(long = "fit", value_name = "FIT.json")]
    pub(crate) fits: Vec<PathBuf>,
    /// What `scaling batch` found, for the statements about best batches; may be repeated
    #[arg(long = "batches", value_name = "BATCHES.json")]
    pub(crate) batches: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ModalitiesArgs {
    /// Losses of models on each other's data: {"names": ["prose", "code"], "losses": [[…], […]]}
    pub(crate) losses: PathBuf,
    /// Perplexity on another's data that makes a modality, above 1
    #[arg(long, default_value_t = interfuse_sweep::modalities::SIGMA)]
    pub(crate) sigma: f64,
}

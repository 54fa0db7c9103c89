//! What a run folder says: its size, tokens, losses and gradients, read from `config.toml`, `metrics.jsonl` and checkpoints.
//!
//! A run counts the tokens of every step that have a target (`NAME_count`); their sum is D. N is that of the backbone's
//! matrices that a row meets, computed from the configuration ([`mod@crate::dial`]); of a mixture of experts so many experts as take
//! a row on average.

mod alike;
mod config;
mod measured;
mod records;
mod table;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use interfuse_scaling::interval::quantile;
use interfuse_scaling::phenomena::{SpikeSettings, spikes};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use alike::check_alike;
pub use measured::{Measure, Measured};
pub use records::{Records, read_records};
pub use table::{FolderTable, TableOptions, table_of};

use crate::durable::read_text;
use crate::error::{Result, SweepError};

/// What counts as a spike of the gradient norm in [`GradientStatistics`].
pub const SPIKES: SpikeSettings = SpikeSettings::USUAL;

/// A run as its folder tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunResult {
    /// The folder.
    pub folder: PathBuf,
    /// The folder's name.
    pub name: String,
    /// The seed, where the configuration says it.
    pub seed: Option<u64>,
    /// N.
    pub params: f64,
    /// Steps taken.
    pub steps: u64,
    /// Steps that the configuration asks for.
    pub planned_steps: Option<u64>,
    /// The modalities of the model.
    pub lanes: Vec<String>,
    /// Tokens seen by the name of their count, such as `text_count`.
    pub tokens: BTreeMap<String, f64>,
    /// Different tokens among them by the name of the modality, where the run says `NAME_unique_tokens`.
    pub unique_tokens: BTreeMap<String, f64>,
    /// The last of each loss that was measured beside training, such as `held_out/text_loss`.
    pub losses: BTreeMap<String, LastLoss>,
    /// Peak learning rate.
    pub learning_rate: Option<f64>,
    /// Training FLOPs as the run counts them.
    pub flops: Option<f64>,
    /// Seconds of its steps, without validation.
    pub seconds: Option<f64>,
    /// Of the gradient norm before clipping.
    pub gradients: Option<GradientStatistics>,
    /// Steps behind the latest whole checkpoint.
    pub checkpoint: Option<u64>,
    /// SHA-256 of the latest checkpoint's tokenizer.
    pub tokenizer: Option<String>,
    /// What its data and tokenizer are, key by key.
    pub identity: BTreeMap<String, String>,
}

/// A loss and when it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastLoss {
    /// After so many steps.
    pub step: u64,
    /// Nats a token; nothing where it was not finite.
    pub loss: Option<f64>,
}

/// The gradient norms of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradientStatistics {
    /// Of the finite ones.
    pub median: f64,
    /// 95 % of the finite ones are below.
    pub high: f64,
    /// The largest finite one.
    pub largest: f64,
    /// Steps whose norm was not finite.
    pub not_finite: usize,
    /// [`SPIKES`] for each thousand steps, where there are enough steps.
    pub spikes: Option<f64>,
}

impl GradientStatistics {
    /// Of norms in the order of training; nothing where none is finite.
    pub fn of(norms: &[f64]) -> Option<Self> {
        let mut finite: Vec<f64> = norms.iter().copied().filter(|norm| norm.is_finite()).collect();
        finite.sort_by(f64::total_cmp);
        let largest = *finite.last()?;
        Some(Self {
            median: quantile(&finite, 0.5),
            high: quantile(&finite, 0.95),
            largest,
            not_finite: norms.len() - finite.len(),
            spikes: spikes(norms, SPIKES).ok().map(|found| found.per_thousand),
        })
    }
}

impl RunResult {
    /// Tokens of all modalities.
    pub fn all_tokens(&self) -> f64 {
        self.tokens.values().sum()
    }

    /// Whether it has taken all steps that its configuration asks for.
    pub fn is_finished(&self) -> bool {
        self.planned_steps.is_none_or(|planned| self.steps >= planned)
    }
}

/// Reads a run folder.
///
/// # Errors
/// It holds no run, a file cannot be read or understood, or nothing was recorded yet; names the file.
pub fn read_run(folder: &Path) -> Result<RunResult> {
    let path = folder.join("config.toml");
    if !path.is_file() {
        return Err(SweepError::malformed(folder, "holds no run: config.toml is missing"));
    }
    let table: toml::Table = toml::from_str(&read_text(&path)?).map_err(|error| SweepError::malformed(&path, error))?;
    let config = config::ConfigNumbers::of(&path, &table)?;
    let records = read_records(folder)?;
    let checkpoint = latest_checkpoint(folder);
    let tokenizer = checkpoint.as_ref().and_then(|(_, path)| std::fs::read(path.join("tokenizer.json")).ok());
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    Ok(RunResult {
        folder: folder.to_owned(),
        name: absolute.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        seed: config.seed,
        params: config.params,
        steps: records.last_step(),
        planned_steps: config.steps,
        lanes: config.lanes,
        tokens: records.tokens(),
        unique_tokens: records.unique_tokens(),
        losses: records.losses(),
        learning_rate: records.peak("learning_rate"),
        flops: records.total("flops"),
        seconds: records.seconds(),
        gradients: GradientStatistics::of(&records.gradient_norms()),
        checkpoint: checkpoint.map(|(step, _)| step),
        tokenizer: tokenizer.map(|bytes| hexadecimal(Sha256::new().chain_update(bytes))),
        identity: alike::identity(folder, &table),
    })
}

/// The whole checkpoint with the most steps. What an interrupted save left behind has another name or no weights.
pub fn latest_checkpoint(folder: &Path) -> Option<(u64, PathBuf)> {
    let entries = std::fs::read_dir(folder.join("checkpoints")).ok()?;
    let of = |path: PathBuf| {
        let step = path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()?;
        path.join("model.safetensors").is_file().then_some((step, path))
    };
    entries.flatten().filter_map(|entry| of(entry.path())).max()
}

/// A hash as text.
pub(crate) fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

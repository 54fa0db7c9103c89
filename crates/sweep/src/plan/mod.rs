//! The runs of a sweep: group × size × tokens × seed, with overrides, cost and predicted hours.
//!
//! Tokens become steps by the mean tokens of a document:
//!
//! ```text
//! batch = min(dial or batch_tokens, D / least_steps) tokens = documents × tokens a document
//! steps = D / (documents × tokens a document), rounded
//! ```
//!
//! What a run has really seen is counted by the run itself and stands in the table of results.

mod batches;
mod overrides;
mod text;

use serde::Serialize;

use crate::calibration::Calibration;
use crate::counts::{Count, exact};
use crate::dial::{Shape, dial};
use crate::error::{Result, SweepError};
use crate::flops::TrainingFlops;
use crate::runs::Measured;
use crate::settings::{Group, Sweep};

pub use overrides::{FINAL_RATE, WARMUP_STEPS, learning_rates};

/// One run of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedRun {
    /// `GROUP-N8K-D1M-s0`, or `GROUP-N8K-D1M-B4K-s0` where batches are tried; also its folder.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Which of its losses and tokens are the group's.
    pub measured: Measured,
    /// Configuration that the group's runs share.
    pub config: std::path::PathBuf,
    /// SHA-256 of that configuration.
    pub config_sha256: String,
    /// Changes to it, `key=value`, without folder.
    pub overrides: Vec<String>,
    /// Its seed.
    pub seed: u64,
    /// What was asked for.
    pub size: f64,
    /// The model.
    pub shape: Shape,
    /// Parameters of the backbone's matrices.
    pub params: f64,
    /// Tokens that were asked for.
    pub budget: f64,
    /// Tokens that the steps come to.
    pub tokens: f64,
    /// Optimizer steps.
    pub steps: u64,
    /// Tokens of a step.
    pub batch_tokens: f64,
    /// Training FLOPs.
    pub flops: TrainingFlops,
    /// Hours that it takes by itself, where the machine is calibrated.
    pub hours: Option<f64>,
}

/// All runs of a sweep, the first seed of every cell first and the cheapest of a seed first, so that what is interrupted can be
/// fitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The runs.
    pub runs: Vec<PlannedRun>,
    /// What looks wrong without being an error.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Plans a sweep; with a calibration also its hours.
    ///
    /// # Errors
    /// Neither a group nor the calibration says how many tokens a document has.
    pub fn new(sweep: &Sweep, calibration: Option<&Calibration>) -> Result<Self> {
        Self::of_cells(sweep, calibration, &[None])
    }

    /// Plans every cell of a sweep with each of its `batches`, for [`mod@crate::batches`]. A batch is not made smaller for
    /// a small budget, as that of a law is: it would be counted as another. It has whole documents in equal micro-batches.
    ///
    /// # Errors
    /// As [`Plan::new`]; there are no `batches`, a budget has less than `least_steps` steps of one, or two of them come to the same
    /// number of documents; names the key.
    pub fn of_batches(sweep: &Sweep, calibration: Option<&Calibration>) -> Result<Self> {
        let batches: Vec<Option<Count>> = sweep.settings.batches.iter().copied().map(Some).collect();
        if batches.is_empty() {
            let place = format!("{}: batches", sweep.path.display());
            let expected = "at least three batch sizes in tokens, such as [\"4K\", \"16K\", \"64K\"]";
            return Err(SweepError::value(place, expected, "none"));
        }
        let plan = Self::of_cells(sweep, calibration, &batches)?;
        batches::check(sweep, &plan.runs)?;
        Ok(plan)
    }

    fn of_cells(sweep: &Sweep, calibration: Option<&Calibration>, batches: &[Option<Count>]) -> Result<Self> {
        let mut runs = vec![];
        for (at, group) in sweep.groups.iter().enumerate() {
            let known = calibration.and_then(|calibration| calibration.tokens_per_document.get(&group.name));
            let per_document = group.tokens_per_document.or(known.copied()).ok_or_else(|| {
                let place = format!("{}: groups[{at}].tokens_per_document", sweep.path.display());
                SweepError::value(place, "the mean tokens of a document, here or in the calibration", "neither")
            })?;
            for &seed in &group.seeds {
                for &size in &group.sizes {
                    for (&tokens, &batch) in
                        group.tokens.iter().flat_map(|tokens| batches.iter().map(move |b| (tokens, b)))
                    {
                        runs.push(planned(sweep, group, per_document, Cell { size, tokens, seed, batch })?);
                    }
                }
            }
        }
        for run in &mut runs {
            run.hours = calibration.map(|known| run.flops.total() / known.flops_per_second(run.params) / 3600.0);
        }
        // Sorting is stable: equal runs stay in the order of the file.
        let rank = |run: &PlannedRun| seed_rank(sweep, run);
        runs.sort_by(|a, b| rank(a).cmp(&rank(b)).then(a.flops.total().total_cmp(&b.flops.total())));
        let warnings = warnings(sweep, &runs, calibration);
        Ok(Self { runs, warnings })
    }

    /// FLOPs of all runs.
    pub fn flops(&self) -> f64 {
        self.runs.iter().map(|run| run.flops.total()).sum()
    }

    /// Hours of all runs one after another, where the machine is calibrated.
    pub fn hours(&self) -> Option<f64> {
        self.runs.iter().map(|run| run.hours).sum()
    }
}

/// The place of a run's seed among those of its group.
fn seed_rank(sweep: &Sweep, run: &PlannedRun) -> usize {
    let group = sweep.groups.iter().find(|group| group.name == run.group);
    group.and_then(|group| group.seeds.iter().position(|seed| *seed == run.seed)).unwrap_or_default()
}

/// What a run is of, beside its group.
#[derive(Debug, Clone, Copy)]
struct Cell {
    size: Count,
    tokens: Count,
    seed: u64,
    /// Tokens of a step, where they are what is tried.
    batch: Option<Count>,
}

fn planned(sweep: &Sweep, group: &Group, per_document: f64, cell: Cell) -> Result<PlannedRun> {
    let (size, budget, seed) = (cell.size.get(), cell.tokens.get(), cell.seed);
    let shape = dial(size)?;
    let usual = || {
        let wanted = sweep.settings.batch_tokens.map_or(shape.batch_tokens, Count::get);
        wanted.min(budget / sweep.settings.least_steps as f64)
    };
    let batch = overrides::Batch::of(group, cell.batch.map_or_else(usual, Count::get) / per_document);
    let batch_name = cell.batch.map_or_else(String::new, |batch| format!("-B{batch}"));
    let batch_tokens = batch.documents() * per_document;
    let steps = (budget / batch_tokens).round().max(1.0) as u64;
    let tokens = steps as f64 * batch_tokens;
    let rate = shape.learning_rate * sweep.settings.learning_rate_factor;
    let schedule = overrides::Schedule { seed, steps, rate };
    Ok(PlannedRun {
        name: format!("{}-N{}-D{}{batch_name}-s{seed}", group.name, exact(size), exact(budget)),
        group: group.name.clone(),
        measured: group.measured.clone(),
        config: group.config.clone(),
        config_sha256: group.config_sha256.clone(),
        overrides: overrides::of(group, &shape, batch, schedule),
        seed,
        size,
        params: shape.params(),
        budget,
        tokens,
        steps,
        batch_tokens,
        flops: TrainingFlops::of(&shape, tokens, per_document, overrides::vocabulary(group)),
        hours: None,
        shape,
    })
}

fn warnings(sweep: &Sweep, runs: &[PlannedRun], calibration: Option<&Calibration>) -> Vec<String> {
    let mut warnings = vec![];
    let few: Vec<&str> =
        runs.iter().filter(|run| run.steps < sweep.settings.least_steps).map(|run| run.name.as_str()).collect();
    if let [first, ..] = few[..] {
        warnings.push(format!(
            "{} runs take fewer than least_steps = {} steps, {first} first: a step of one document is already too large",
            few.len(),
            sweep.settings.least_steps
        ));
    }
    let tokenizer = |group: &Group| group.table.get("tokenizer").cloned();
    for (at, group) in sweep.groups.iter().enumerate() {
        let shared = |other: &&Group| {
            let names = |group: &Group| group.measured.names().map(str::to_owned).collect::<Vec<_>>();
            names(group).iter().any(|name| names(other).contains(name)) && tokenizer(group) != tokenizer(other)
        };
        if let Some(other) = sweep.groups[..at].iter().find(shared) {
            warnings.push(format!(
                "{} and {} share a modality but not their [tokenizer], so that their losses say nothing of each other: give \
                 both one tokenizer.path",
                other.name, group.name
            ));
        }
    }
    let trained = sweep.groups.iter().any(|group| group.measured.modalities.len() == 2)
        && sweep
            .groups
            .iter()
            .any(|group| group.table.get("tokenizer").and_then(|tokenizer| tokenizer.get("path")).is_none());
    if trained {
        warnings.push(
            "a tokenizer is trained on each run's own data: runs of a modality and of its pair then count different tokens; \
             give all groups one tokenizer.path"
                .to_owned(),
        );
    }
    let outside = |calibration: &Calibration| runs.iter().any(|run| !calibration.covers(run.params));
    if calibration.is_some_and(outside) {
        warnings.push("hours of sizes outside the calibration are those of the nearest size in it".to_owned());
    }
    warnings
}

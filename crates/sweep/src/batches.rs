//! The third phenomenon of 2301.03728: the best batch size of a pair goes with β of its law.
//!
//! A small sweep trains every cell of group, size and budget with several batch sizes. Of a cell the best batch is the bottom of
//! a parabola, fitted by least squares to the runs of all seeds:
//!
//! ```text
//! loss(B) = L + c (ln B − ln B*)²        N and D fixed, B in tokens a step
//! ```
//!
//! The learning rate is that of the size, whatever the batch: a sweep that tuned it for each batch would be another measurement.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use interfuse_scaling::phenomena::{Association, BestBatch, PairRun, associations, best_batch};
use interfuse_scaling::uncertainty::BootstrapSettings;
use serde::{Deserialize, Serialize};

use crate::counts::short;
use crate::durable::{read_json, write_json};
use crate::error::{Result, SweepError};
use crate::plan::Plan;
use crate::running::{RunPlace, State};

/// What the statements of [`associations`] measure that are about batches.
const OF_BATCHES: &str = "ln best batch";

/// A run of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRun {
    /// Its name.
    pub run: String,
    /// Tokens a step, as the run counted them.
    pub batch: f64,
    /// Steps.
    pub steps: f64,
    /// Its final held-out loss, of a pair the mean of both; nats a token.
    pub loss: f64,
}

/// The runs of one group, size and budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchCell {
    /// `text`, or a pair such as `speech|text`.
    pub modality: String,
    /// N.
    pub params: f64,
    /// Tokens that were asked for.
    pub tokens: f64,
    /// The runs that are finished, smallest batch first.
    pub runs: Vec<BatchRun>,
    /// Runs that are not finished.
    pub missing: usize,
    /// The bottom of the parabola; nothing where there is none yet, or none at all.
    pub best: Option<BestBatch>,
    /// Why there is none.
    pub note: Option<String>,
}

/// What a sweep over batches came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchAnswer {
    /// Every cell, in the order of the plan.
    pub cells: Vec<BatchCell>,
    /// α and β of the interactions of pairs, where they were given.
    pub exponents: BTreeMap<String, (f64, f64)>,
    /// The paper's statements about batches, over the cells of those pairs.
    pub statements: Vec<Association>,
}

/// The file of an answer in the folder of its sweep.
pub fn answer_path(folder: &Path) -> PathBuf {
    folder.join("batches.json")
}

/// Reads what a plan of [`Plan::of_batches`] has come to so far, fits every cell, and writes `batches.json`.
///
/// # Errors
/// A file cannot be read, understood or written, or a setting is out of its range. A cell without a bottom is no error; it says why.
pub fn answer(
    plan: &Plan,
    folder: &Path,
    exponents: BTreeMap<String, (f64, f64)>,
    bootstrap: BootstrapSettings,
) -> Result<BatchAnswer> {
    bootstrap.validate()?;
    let mut cells: Vec<BatchCell> = vec![];
    for run in &plan.runs {
        let modality = run.measured.modality();
        let is_its =
            |cell: &BatchCell| cell.modality == modality && cell.params == run.params && cell.tokens == run.budget;
        let place = cells.iter().position(is_its).unwrap_or_else(|| {
            let (params, tokens) = (run.params, run.budget);
            let (runs, best, note) = (vec![], None, None);
            cells.push(BatchCell { modality, params, tokens, runs, missing: 0, best, note });
            cells.len() - 1
        });
        let cell = &mut cells[place];
        match RunPlace::new(folder, &run.name).state()? {
            State::Finished(finished) => cell.runs.push(BatchRun {
                run: run.name.clone(),
                batch: finished.row.batch_tokens.unwrap_or(run.batch_tokens),
                steps: finished.row.steps.unwrap_or(run.steps as f64),
                loss: finished.row.loss,
            }),
            State::Failed(_) | State::Open { .. } => cell.missing += 1,
        }
    }
    for cell in &mut cells {
        cell.runs.sort_by(|a, b| a.batch.total_cmp(&b.batch));
        let runs: Vec<(f64, f64)> = cell.runs.iter().map(|run| (run.batch, run.loss)).collect();
        match best_batch(&runs, bootstrap) {
            Ok(best) => cell.best = Some(best),
            Err(error) => cell.note = Some(error.to_string()),
        }
    }
    let pairs: Vec<PairRun> = cells.iter().filter_map(|cell| pair_run(cell, &exponents)).collect();
    let mut statements = if pairs.is_empty() { vec![] } else { associations(&pairs, bootstrap) };
    statements.retain(|statement| statement.measured == OF_BATCHES);
    let answer = BatchAnswer { cells, exponents, statements };
    write_json(&answer_path(folder), &answer)?;
    Ok(answer)
}

/// A cell whose pair's law is known. A bottom beyond the batches that were tried is an extrapolation, and none of its evidence.
fn pair_run(cell: &BatchCell, exponents: &BTreeMap<String, (f64, f64)>) -> Option<PairRun> {
    let (alpha, beta) = *exponents.get(&cell.modality)?;
    let best = cell.best.filter(|best| best.inside)?;
    Some(PairRun {
        pair: cell.modality.clone(),
        params: cell.params,
        alpha,
        beta,
        ascent: None,
        spikes: None,
        best_batch: Some(best.batch),
    })
}

impl BatchAnswer {
    /// Reads a `batches.json`.
    ///
    /// # Errors
    /// There is none, or it is not one; names it.
    pub fn load(path: &Path) -> Result<Self> {
        read_json(path)?.ok_or_else(|| SweepError::malformed(path, "there is no such file"))
    }

    /// Modality, N and best batch of the cells whose bottom lies between the batches that were tried.
    pub fn best_batches(&self) -> Vec<(String, f64, f64)> {
        let of = |cell: &BatchCell| {
            let best = cell.best.filter(|best| best.inside)?;
            Some((cell.modality.clone(), cell.params, best.batch))
        };
        self.cells.iter().filter_map(of).collect()
    }

    /// The runs of every cell with its answer in words, and what the paper says of them.
    pub fn to_text(&self) -> String {
        let mut text =
            "loss = L + c (ln B - ln B*)^2 at fixed N and D, B in tokens a step, by least squares; the learning \
                        rate is the size's, whatever the batch\n"
                .to_owned();
        self.cells.iter().for_each(|cell| cell.write(&mut text));
        for statement in &self.statements {
            let _ = writeln!(text, "{}", statement.to_line());
        }
        if self.statements.is_empty() {
            text.push_str(
                "the paper: the best batch goes with beta of a pair's law; to hold it against that, give the fits of pairs \
                 by --fit\n",
            );
        }
        text
    }
}

impl BatchCell {
    fn write(&self, text: &mut String) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}  N {}  D {}", self.modality, short(self.params), short(self.tokens));
        for BatchRun { run, batch, steps, loss } in &self.runs {
            let _ = writeln!(text, "  B {:>6}  {steps:>6} steps  loss {loss:.4}  {run}", short(*batch));
        }
        if self.missing > 0 {
            let _ = writeln!(text, "  not finished: {}", self.missing);
        }
        match (&self.best, &self.note) {
            (Some(best), _) => {
                let _ = writeln!(text, "  {}", sentence(best));
            }
            (None, Some(note)) => {
                let _ = writeln!(text, "  no best batch: {note}");
            }
            (None, None) => {}
        }
    }
}

/// `best batch 16.2K tokens (12.1K to 20.3K, 95 %): loss = 3.2100 + 0.0123 (ln B - ln 16.2K)^2, …`
fn sentence(best: &BestBatch) -> String {
    let BestBatch { batch, loss, curvature, inside, interval } = best;
    let interval = interval.map_or_else(
        || "no interval, for too few resampled sweeps have a bottom".to_owned(),
        |found| format!("{} to {}, {} %", short(found.low), short(found.high), found.level * 100.0),
    );
    let batch = short(*batch);
    // A step of ln 2 away from the bottom.
    let twice = curvature * std::f64::consts::LN_2.powi(2);
    let mut text = format!(
        "best batch {batch} tokens ({interval}): loss = {loss:.4} + {curvature:.4} (ln B - ln {batch})^2, so that twice or half \
         of it costs {twice:.4}"
    );
    if !inside {
        text.push_str("; it lies beyond the batches that were tried and is not counted: try more of them on that side");
    }
    text
}

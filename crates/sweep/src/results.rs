//! The files of a sweep: `table.csv`, which `interfuse scaling fit` reads, and `runs.csv`, which has everything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use interfuse_scaling::interval::median;
use interfuse_scaling::table::{Run, Table};

use crate::durable::write_file;
use crate::error::{Result, SweepError};
use crate::plan::{Plan, PlannedRun};
use crate::running::{Finished, RunPlace, State};
use crate::runs::check_alike;

/// By which fraction seen tokens may differ from planned ones before that is said.
const OTHER_BUDGET: f64 = 0.05;

/// What a sweep has so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Collected {
    /// The runs that are finished, for a law; nothing while there is none.
    pub table: Option<Table>,
    /// The file of it.
    pub table_path: PathBuf,
    /// The file of all runs.
    pub runs_path: PathBuf,
    /// Finished, failed and open runs.
    pub counts: [usize; 3],
    /// Runs that failed, with reasons.
    pub failed: Vec<(String, String)>,
    /// What a reader should know of the runs.
    pub notes: Vec<String>,
}

const HEAD: [&str; 23] = [
    "run",
    "state",
    "modality",
    "size",
    "params",
    "budget",
    "tokens",
    "unique_tokens",
    "seed",
    "steps",
    "batch_tokens",
    "learning_rate",
    "attempt",
    "loss",
    "first_loss",
    "second_loss",
    "flops",
    "seconds",
    "gradient_median",
    "gradient_high",
    "gradient_largest",
    "gradient_spikes",
    "reason",
];

/// Reads where all runs of a plan stand and writes both files; jobs of one sweep may all do so. `different_data` takes runs of
/// different tokenizers, or of one modality on different data, all the same.
///
/// # Errors
/// A file cannot be read, understood or written, or runs have different tokenizers or data; names them.
pub fn collect(plan: &Plan, folder: &Path, different_data: bool) -> Result<Collected> {
    let states = plan.runs.iter().map(|run| Ok((run, RunPlace::new(folder, &run.name).state()?)));
    let states: Vec<(&PlannedRun, State)> = states.collect::<Result<_>>()?;
    let finished: Vec<&Finished> = states
        .iter()
        .filter_map(|(_, state)| match state {
            State::Finished(finished) => Some(finished.as_ref()),
            _ => None,
        })
        .collect();
    let runs_path = folder.join("runs.csv");
    write_csv(&runs_path, &states)?;
    let named: Vec<_> = finished.iter().map(|finished| (finished.row.modality.clone(), &finished.run)).collect();
    let mut notes = check_alike(&named, different_data)?;
    let mut rows: Vec<Run> = finished.iter().map(|finished| finished.row.clone()).collect();
    if !notes.is_empty() {
        // The table would refuse them once more.
        rows.iter_mut().for_each(|row| row.tokenizer = None);
    }
    let table = if rows.is_empty() { None } else { Some(Table::new(rows)?) };
    let table_path = folder.join("table.csv");
    if let Some(table) = &table {
        let mut bytes = vec![];
        table.write_csv(&mut bytes)?;
        write_file(&table_path, &bytes)?;
    }
    let failed: Vec<(String, String)> = states
        .iter()
        .filter_map(|(run, state)| match state {
            State::Failed(reason) => Some((run.name.clone(), reason.clone())),
            _ => None,
        })
        .collect();
    notes.extend(other_budgets(&states));
    let open = states.len() - finished.len() - failed.len();
    Ok(Collected { table, table_path, runs_path, counts: [finished.len(), failed.len(), open], failed, notes })
}

/// Groups whose runs saw other budgets than planned, because their documents have another length than was said.
fn other_budgets(states: &[(&PlannedRun, State)]) -> Vec<String> {
    let mut ratios: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (run, state) in states {
        if let State::Finished(finished) = state {
            ratios.entry(&run.group).or_default().push(finished.row.tokens / run.tokens);
        }
    }
    let of = |(group, ratios): (&str, Vec<f64>)| {
        let ratio = median(&ratios);
        ((ratio - 1.0).abs() > OTHER_BUDGET).then(|| {
            format!(
                "{group}: runs saw {ratio:.3} times the tokens that were planned; the table has what they saw, and with \
                 tokens_per_document {ratio:.3} times as large the next sweep has what it asks for"
            )
        })
    };
    ratios.into_iter().filter_map(of).collect()
}

fn write_csv(path: &Path, states: &[(&PlannedRun, State)]) -> Result<()> {
    let wrong = |error: csv::Error| SweepError::malformed(path, error);
    let mut writer = csv::Writer::from_writer(vec![]);
    writer.write_record(HEAD).map_err(wrong)?;
    for (run, state) in states {
        writer.write_record(cells(run, state)).map_err(wrong)?;
    }
    let bytes = writer.into_inner().map_err(|error| SweepError::malformed(path, error))?;
    write_file(path, &bytes)
}

fn cells(run: &PlannedRun, state: &State) -> [String; HEAD.len()] {
    let some = |number: Option<f64>| number.map_or_else(String::new, |number| number.to_string());
    let (kind, reason, finished) = match state {
        State::Finished(finished) => ("finished", "", Some(finished)),
        State::Failed(reason) => ("failed", reason.as_str(), None),
        State::Open { .. } => ("open", "", None),
    };
    let of = |number: fn(&Finished) -> Option<f64>| some(finished.and_then(|finished| number(finished)));
    let gradients = |number: fn(&crate::runs::GradientStatistics) -> Option<f64>| {
        some(finished.and_then(|finished| finished.run.gradients.as_ref()).and_then(number))
    };
    let losses = finished.and_then(|finished| run.measured.losses(&finished.run).ok()).unwrap_or_default();
    [
        run.name.clone(),
        kind.to_owned(),
        run.measured.modality(),
        run.size.to_string(),
        run.params.to_string(),
        run.budget.to_string(),
        of(|finished| Some(finished.row.tokens)),
        of(|finished| finished.row.unique_tokens),
        run.seed.to_string(),
        of(|finished| finished.row.steps),
        of(|finished| finished.row.batch_tokens),
        of(|finished| finished.row.learning_rate),
        of(|finished| Some(f64::from(finished.attempt))),
        of(|finished| Some(finished.row.loss)),
        some(losses.first().copied()),
        some(losses.get(1).copied()),
        of(|finished| finished.run.flops),
        of(|finished| finished.run.seconds),
        gradients(|found| Some(found.median)),
        gradients(|found| Some(found.high)),
        gradients(|found| Some(found.largest)),
        gradients(|found| found.spikes),
        reason.to_owned(),
    ]
}

//! A table of any run folders, for `interfuse scaling fit RUNS…`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use interfuse_scaling::table::Table;

use super::{Measured, RunResult, check_alike, read_run};
use crate::error::{Result, SweepError};

/// What run folders are taken for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TableOptions {
    /// Held-out losses by modality, where names do not say them: `text` → `held_out/prompts.text_loss`.
    pub losses: BTreeMap<String, String>,
    /// Whether runs of different data or tokenizers are taken all the same.
    pub different_data: bool,
}

/// A table and what it was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct FolderTable {
    /// For a law.
    pub table: Table,
    /// The runs, in the order of the table.
    pub runs: Vec<RunResult>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// Reads run folders into a table. A run that has not taken all its steps is left out and noted, because a checkpoint in the
/// middle of a falling learning rate is no run of that length.
///
/// # Errors
/// A folder is no run, its losses or tokens are not there, runs differ in data or tokenizer, or none is finished; names the
/// folder.
pub fn table_of(folders: &[PathBuf], options: &TableOptions) -> Result<FolderTable> {
    let (mut runs, mut rows, mut kinds, mut notes) = (vec![], vec![], vec![], vec![]);
    for folder in folders {
        let run = read_run(folder)?;
        if !run.is_finished() {
            let planned = run.planned_steps.unwrap_or_default();
            notes.push(format!("{} is left out: {} of {planned} steps are taken", folder.display(), run.steps));
            continue;
        }
        let measured = measured(&run, options)?;
        rows.push(measured.row(&run, &folder.display().to_string())?);
        kinds.push(measured.modality());
        runs.push(run);
    }
    if runs.is_empty() {
        return Err(SweepError::value("the run folders", "at least one finished run", "none"));
    }
    let named: Vec<(String, &RunResult)> = kinds.into_iter().zip(&runs).collect();
    notes.extend(check_alike(&named, options.different_data)?);
    if options.different_data {
        // The table would refuse them once more.
        rows.iter_mut().for_each(|row| row.tokenizer = None);
    }
    Ok(FolderTable { table: Table::new(rows)?, runs, notes })
}

fn measured(run: &RunResult, options: &TableOptions) -> Result<Measured> {
    let given = |name: &String| options.losses.contains_key(name);
    if run.lanes.iter().any(given) {
        // Losses that are not given are found by their names once those that are given cannot mislead.
        let mut named = run.clone();
        for (name, key) in &options.losses {
            if let Some(last) = run.losses.get(key) {
                named.losses.insert(format!("held_out/{name}_loss"), *last);
            }
        }
        let mut measured = Measured::of_run(&named)?;
        for measure in &mut measured.modalities {
            if let Some(key) = options.losses.get(&measure.name) {
                measure.loss.clone_from(key);
            }
        }
        return Ok(measured);
    }
    Measured::of_run(run)
}

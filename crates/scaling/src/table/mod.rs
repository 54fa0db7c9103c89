//! A table of finished runs: what a law is fitted to.
//!
//! N is the count of parameters, D of tokens that a run has seen, U of unique tokens among them, all in ones; a loss is in nats a
//! token and lower-is-better. A run has one modality (`text`) or a pair (`speech|text`), whose D is the sum over both.

mod columns;
mod read;
mod warnings;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use columns::COLUMNS;
pub use read::{ReadOptions, read_table, read_table_from};
pub use warnings::{FEW_TOKENS, TableWarning};

use crate::error::ScalingError;

/// The modality of runs whose table does not say one.
pub const UNNAMED: &str = "all";

/// One finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Name, where the table has names.
    pub run: Option<String>,
    /// `text`, or a pair such as `speech|text`.
    pub modality: String,
    /// N, from above 0.
    pub params: f64,
    /// D, from above 0; of a pair the tokens of both.
    pub tokens: f64,
    /// U, from above 0 to D: how many of the tokens were different ones. Without it every token was new.
    pub unique_tokens: Option<f64>,
    /// Of the tokens of a pair, the fraction that the first modality has, between 0 and 1; a half where it is not said.
    pub first_share: Option<f64>,
    /// Nats a token on held-out data, above 0.
    pub loss: f64,
    /// Optimizer steps.
    pub steps: Option<f64>,
    /// Tokens a step.
    pub batch_tokens: Option<f64>,
    /// Peak learning rate.
    pub learning_rate: Option<f64>,
    /// Training FLOPs; 6 N D where they are not said.
    pub flops: Option<f64>,
    /// Seed of the run.
    pub seed: Option<f64>,
    /// Which tokenizer the loss is counted in.
    pub tokenizer: Option<String>,
}

impl Run {
    /// A run of a single modality of which no more is known.
    pub fn new(params: f64, tokens: f64, loss: f64) -> Self {
        Self {
            run: None,
            modality: UNNAMED.to_owned(),
            params,
            tokens,
            unique_tokens: None,
            first_share: None,
            loss,
            steps: None,
            batch_tokens: None,
            learning_rate: None,
            flops: None,
            seed: None,
            tokenizer: None,
        }
    }

    /// The two modalities of a pair.
    pub fn pair(&self) -> Option<(&str, &str)> {
        self.modality.split_once('|')
    }

    /// Training FLOPs: as the table says, else 6 N D (Kaplan et al. 2020).
    pub fn training_flops(&self) -> f64 {
        self.flops.unwrap_or(6.0 * self.params * self.tokens)
    }
}

/// Runs that may be fitted together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(into = "Vec<Run>", try_from = "Vec<Run>")]
pub struct Table {
    runs: Vec<Run>,
}

impl TryFrom<Vec<Run>> for Table {
    type Error = ScalingError;

    fn try_from(runs: Vec<Run>) -> Result<Self, ScalingError> {
        Self::new(runs)
    }
}

impl From<Table> for Vec<Run> {
    fn from(table: Table) -> Self {
        table.runs
    }
}

impl Table {
    /// Of runs from elsewhere than a file.
    ///
    /// # Errors
    /// A number is out of its range, two runs are the same in everything, or one modality has runs of several tokenizers;
    /// places are counted from 1.
    pub fn new(runs: Vec<Run>) -> Result<Self, ScalingError> {
        let table = Self { runs };
        let places: Vec<u64> = (1..=table.runs.len() as u64).collect();
        read::check(&table, &places, "run")?;
        Ok(table)
    }

    /// The runs, in the order of the file.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The modalities and pairs, in alphabetical order.
    pub fn modalities(&self) -> BTreeSet<&str> {
        self.runs.iter().map(|run| run.modality.as_str()).collect()
    }

    /// The runs of one modality or pair.
    pub fn of(&self, modality: &str) -> Self {
        self.filtered(|run| run.modality == modality)
    }

    /// The runs for which `keep` says so.
    pub fn filtered(&self, keep: impl Fn(&Run) -> bool) -> Self {
        Self { runs: self.runs.iter().filter(|run| keep(run)).cloned().collect() }
    }

    /// What looks wrong without being an error.
    pub fn warnings(&self) -> Vec<TableWarning> {
        warnings::of(self)
    }

    /// The run of least loss of each cell (modality, N, D, U), and how many runs were left out.
    ///
    /// A law is of well-tuned runs; where a learning rate or batch size was tried several times, or seeds differ, fitting all of
    /// them moves the exponents.
    pub fn best_of_cells(&self) -> (Self, usize) {
        let mut best: BTreeMap<(&str, u64, u64, u64), usize> = BTreeMap::new();
        for (at, run) in self.runs.iter().enumerate() {
            let unique = run.unique_tokens.unwrap_or(run.tokens);
            let cell = (run.modality.as_str(), run.params.to_bits(), run.tokens.to_bits(), unique.to_bits());
            let kept = best.entry(cell).or_insert(at);
            if run.loss < self.runs[*kept].loss {
                *kept = at;
            }
        }
        let kept: BTreeSet<usize> = best.into_values().collect();
        let merged = self.runs.len() - kept.len();
        (Self { runs: kept.into_iter().map(|at| self.runs[at].clone()).collect() }, merged)
    }

    /// That a law with so many constants can be fitted to the runs: enough of them, of two sizes and two budgets at least.
    ///
    /// # Errors
    /// It cannot; the message says what is missing.
    pub fn check_fit(&self, constants: usize) -> Result<(), ScalingError> {
        if self.runs.len() < constants {
            return Err(ScalingError::too_few(format!("runs for {constants} constants"), constants, self.runs.len()));
        }
        let distinct =
            |value: fn(&Run) -> f64| self.runs.iter().map(|run| value(run).to_bits()).collect::<BTreeSet<_>>();
        for (what, found) in [("sizes", distinct(|run| run.params)), ("token budgets", distinct(|run| run.tokens))] {
            if found.len() < 2 {
                return Err(ScalingError::too_few(format!("different {what} in a table to be fitted"), 2, found.len()));
            }
        }
        Ok(())
    }

    /// The table as CSV, with the columns that some run has.
    ///
    /// # Errors
    /// The writer fails.
    pub fn write_csv(&self, writer: impl std::io::Write) -> Result<(), ScalingError> {
        read::write(self, writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_run_of_each_cell_is_kept() {
        let runs = vec![Run::new(1e6, 1e9, 3.0), Run::new(1e6, 1e9, 2.9), Run::new(2e6, 1e9, 2.8)];
        let (best, merged) = Table::new(runs).unwrap().best_of_cells();
        assert_eq!(merged, 1);
        assert_eq!(best.runs().iter().map(|run| run.loss).collect::<Vec<_>>(), [2.9, 2.8]);
    }

    #[test]
    fn a_table_of_a_file_is_checked_too() {
        let table = Table::new(vec![Run::new(1e6, 1e9, 3.0)]).unwrap();
        let text = serde_json::to_string(&table).unwrap();
        assert_eq!(serde_json::from_str::<Table>(&text).unwrap(), table);
        let error = serde_json::from_str::<Table>(&text.replace("3.0", "-3.0")).unwrap_err().to_string();
        assert!(error.contains("run 1: loss must be finite and above 0, found -3"), "{error}");
    }

    #[test]
    fn one_size_is_no_table_to_fit() {
        let runs = (1..8).map(|at| Run::new(1e6, 1e9 * f64::from(at), 3.0 - 0.1 * f64::from(at))).collect();
        let error = Table::new(runs).unwrap().check_fit(5).unwrap_err().to_string();
        assert_eq!(error, "different sizes in a table to be fitted: at least 2 needed, found 1");
        let few = Table::new(vec![Run::new(1e6, 1e9, 3.0)]).unwrap().check_fit(5).unwrap_err().to_string();
        assert_eq!(few, "runs for 5 constants: at least 5 needed, found 1");
    }
}

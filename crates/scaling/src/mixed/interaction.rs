//! The interaction as it was measured, without a law of it.

use serde::{Deserialize, Serialize};

use super::fit::MixedTables;
use super::law::MixedLaw;
use super::rows::split_tokens;
use crate::table::{Run, Table};

/// Δ of one mixed run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredInteraction {
    /// N.
    pub params: f64,
    /// D, the tokens of both modalities.
    pub tokens: f64,
    /// L of the mixed run.
    pub loss: f64,
    /// What the average of the two modalities is by their laws.
    pub average: f64,
    /// `loss − average`: negative is synergy.
    pub delta: f64,
    /// The same with the losses of runs of one modality that have the same N and D_i, where the tables have both; without a law,
    /// but with the scatter of three runs.
    pub delta_of_runs: Option<f64>,
}

/// Δ of every mixed run, against the laws of the two modalities.
pub fn measured_interactions(tables: MixedTables<'_>, law: &MixedLaw) -> Vec<MeasuredInteraction> {
    let of_run = |run: &Run| {
        let (first, second) = split_tokens(run);
        let average = law.average(run.params, first, second);
        let losses = loss_of(tables.first, run.params, first).zip(loss_of(tables.second, run.params, second));
        MeasuredInteraction {
            params: run.params,
            tokens: run.tokens,
            loss: run.loss,
            average,
            delta: run.loss - average,
            delta_of_runs: losses.map(|(first, second)| run.loss - 0.5 * (first + second)),
        }
    };
    tables.mixed.runs().iter().map(of_run).collect()
}

/// The mean loss of runs of a size and budget, both to a hundredth; nothing where there are none.
fn loss_of(table: &Table, params: f64, tokens: f64) -> Option<f64> {
    let near = |value: f64, target: f64| (value / target - 1.0).abs() < 0.01;
    let losses: Vec<f64> = table
        .runs()
        .iter()
        .filter(|run| near(run.params, params) && near(run.tokens, tokens))
        .map(|run| run.loss)
        .collect();
    (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64)
}

//! Predicting the largest runs from the smaller ones: the error that matters, since a law is for runs that were not made.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::ScalingError;
use crate::interval::Interval;
use crate::law::{FitSettings, LawFit, fit_law};
use crate::table::Table;

use super::bootstrap::{Bootstrap, BootstrapSettings, bootstrap_law};

/// A run that was held out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOutRun {
    /// N.
    pub params: f64,
    /// D.
    pub tokens: f64,
    /// What was reached.
    pub loss: f64,
    /// What the fit without it says.
    pub predicted: f64,
    /// The interval of what it says; of the law, without the scatter of single runs.
    pub interval: Interval,
    /// predicted / loss − 1.
    pub relative_error: f64,
}

/// The prediction error at the largest sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOut {
    /// The fit without them.
    pub fit: LawFit,
    /// The runs, in the order of the table.
    pub runs: Vec<HeldOutRun>,
    /// The mean of |relative error|.
    pub mean_error: f64,
    /// The largest |relative error|.
    pub worst_error: f64,
}

/// Fits without the `sizes` largest N and predicts them.
///
/// # Errors
/// `sizes` is 0, or what is left cannot be fitted.
pub fn leave_largest_out(
    table: &Table,
    sizes: usize,
    settings: &FitSettings,
    bootstrap: BootstrapSettings,
) -> Result<HeldOut, ScalingError> {
    // Bits of positive numbers are in the order of the numbers.
    let all: BTreeSet<u64> = table.runs().iter().map(|run| run.params.to_bits()).collect();
    let Some(threshold) =
        sizes.checked_sub(1).and_then(|place| all.iter().rev().nth(place)).map(|bits| f64::from_bits(*bits))
    else {
        let found = format!("{sizes} of {}", all.len());
        return Err(ScalingError::value("sizes to be held out", "at least 1, and fewer than there are", found));
    };
    let small = table.filtered(|run| run.params < threshold);
    let fit = fit_law(&small, settings)?;
    let resampled: Bootstrap<_> = bootstrap_law(&small, &fit, bootstrap)?;
    let runs: Vec<HeldOutRun> = table
        .runs()
        .iter()
        .filter(|run| run.params >= threshold)
        .map(|run| {
            let predicted = fit.law.loss(run.params, run.tokens);
            let interval = resampled.interval(|law| law.loss(run.params, run.tokens));
            let relative_error = predicted / run.loss - 1.0;
            HeldOutRun { params: run.params, tokens: run.tokens, loss: run.loss, predicted, interval, relative_error }
        })
        .collect();
    let errors = || runs.iter().map(|run| run.relative_error.abs());
    let (mean_error, worst_error) = (errors().sum::<f64>() / runs.len() as f64, errors().fold(0.0, f64::max));
    Ok(HeldOut { fit, runs, mean_error, worst_error })
}

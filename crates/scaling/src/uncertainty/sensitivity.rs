//! The same fit with other choices: another threshold of Huber's loss, without the smallest budgets, without outliers.
//!
//! None of the alternatives is wrong. A conclusion that holds in one of them only is not one.

use serde::{Deserialize, Serialize};

use crate::error::ScalingError;
use crate::interval::{median, quantile};
use crate::law::{Centered, ChinchillaRows, Law, LawFit, huber_sum, refit};
use crate::table::{Run, Table};

/// One other choice and what it gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alternative {
    /// δ of Huber's loss.
    pub delta: f64,
    /// The least FLOPs of a run in the fit.
    pub least_flops: f64,
    /// Runs in the fit.
    pub rows: usize,
    /// The constants.
    pub law: Law,
}

/// A fit beside its alternatives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sensitivity {
    /// With a tenth and ten times the threshold, and by least squares of log losses (δ = 1).
    pub by_delta: Vec<Alternative>,
    /// Without the lowest fifth and the lowest two fifths of budgets.
    pub by_flops: Vec<Alternative>,
    /// Places in the table, from 0, of runs whose residual is more than six robust standard deviations from the median.
    pub outliers: Vec<usize>,
    /// Their part of the objective, from 0 to 1.
    pub outlier_share: f64,
    /// The fit without them, where there are any.
    pub without_outliers: Option<Alternative>,
}

/// Robust standard deviations (1.4826 times the median deviation) beyond which a run is an outlier.
const OUTLIER: f64 = 6.0;

/// Fits the table again with other choices, each from the optimum of `fit` and its other minima.
///
/// # Errors
/// The table without its smallest budgets has too few runs, sizes or budgets; that alone is why a law of it cannot be trusted.
pub fn sensitivity(table: &Table, fit: &LawFit) -> Result<Sensitivity, ScalingError> {
    let starts: Vec<Law> = std::iter::once(fit.law).chain(fit.others.iter().copied()).collect();
    let alternative = |delta: f64, keep: &dyn Fn(usize, &Run) -> bool| {
        let runs: Vec<Run> =
            table.runs().iter().enumerate().filter(|(at, run)| keep(*at, run)).map(|(_, run)| run.clone()).collect();
        let least_flops = runs.iter().map(Run::training_flops).fold(f64::INFINITY, f64::min);
        let kept = Table::new(runs)?;
        kept.check_fit(Law::NAMES.len())?;
        let rows = ChinchillaRows::new(kept.runs(), Centered::at_means(kept.runs()));
        let law = refit(&rows, None, delta, &starts)
            .ok_or_else(|| ScalingError::value("objective", "finite at the fitted law", "infinity"))?;
        Ok::<_, ScalingError>(Alternative { delta, least_flops, rows: kept.runs().len(), law })
    };
    let deltas = [fit.delta * 0.1, fit.delta * 10.0, 1.0];
    let by_delta = deltas.iter().map(|&delta| alternative(delta, &|_, _| true)).collect::<Result<Vec<_>, _>>()?;
    let mut flops: Vec<f64> = table.runs().iter().map(Run::training_flops).collect();
    flops.sort_by(f64::total_cmp);
    let by_flops = [0.2, 0.4]
        .map(|fraction| quantile(&flops, fraction))
        .iter()
        .filter_map(|&least| alternative(fit.delta, &|_, run| run.training_flops() > least).ok())
        .collect();
    let residuals = fit.law.residuals(table.runs());
    let outliers = outliers(&residuals);
    let theirs: Vec<f64> = outliers.iter().map(|&at| residuals[at]).collect();
    let outlier_share = huber_sum(&theirs, fit.delta) / huber_sum(&residuals, fit.delta).max(f64::MIN_POSITIVE);
    let without_outliers = match outliers.is_empty() {
        true => None,
        false => alternative(fit.delta, &|at, _| !outliers.contains(&at)).ok(),
    };
    Ok(Sensitivity { by_delta, by_flops, outliers, outlier_share, without_outliers })
}

/// Places of residuals far from the median.
fn outliers(residuals: &[f64]) -> Vec<usize> {
    let middle = median(residuals);
    let deviations: Vec<f64> = residuals.iter().map(|residual| (residual - middle).abs()).collect();
    // An exact table has residuals of rounding only.
    let far = (OUTLIER * 1.4826 * median(&deviations)).max(1e-9);
    (0..residuals.len()).filter(|&at| deviations[at] > far).collect()
}

//! What speaks against a fit, in words.

use serde::{Deserialize, Serialize};

use super::bootstrap::Bootstrap;
use super::sensitivity::Sensitivity;
use crate::interval::Interval;
use crate::law::{Law, LawFit, huber_sum};
use crate::table::Table;

/// A reason to doubt a fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum FitWarning {
    /// The gradient did not vanish.
    NotConverged {
        /// What is left of it.
        gradient_norm: f64,
    },
    /// E went to 0: the table determines no irreducible loss. Which parameters N counts, with or without embeddings, can decide
    /// that.
    EAtBound {
        /// E.
        e: f64,
    },
    /// An exponent went to 0 or beyond 2: its term is a constant or a step over the table.
    ExponentAtBound {
        /// α or β.
        constant: String,
        /// Its value.
        value: f64,
    },
    /// There are fewer than three runs for each constant, so that they fit anything: judge by held-out error.
    FewRuns {
        /// Runs.
        rows: usize,
    },
    /// Runs have a lower loss than the law's irreducible one.
    LossBelowIrreducible {
        /// How many.
        runs: usize,
        /// E.
        e: f64,
    },
    /// Few runs carry much of the objective.
    OutliersCarryTheFit {
        /// Their places in the table, from 0.
        rows: Vec<usize>,
        /// Their part of the objective, from 0 to 1.
        share: f64,
        /// α and β without them, where the rest can be fitted.
        exponents_without: Option<(f64, f64)>,
    },
    /// The interval of a constant spans more than a factor of ten.
    NotIdentified {
        /// Which, as in [`Law::NAMES`].
        constant: String,
        /// Its interval.
        interval: Interval,
    },
    /// An exponent moves with the threshold of Huber's loss.
    ThresholdMoves {
        /// α or β.
        constant: String,
        /// Its value in the fit.
        value: f64,
        /// δ of the alternative.
        delta: f64,
        /// Its value there.
        other: f64,
    },
    /// An exponent moves when the smallest budgets are left out: report the fit for both.
    SmallRunsMove {
        /// α or β.
        constant: String,
        /// Its value in the fit.
        value: f64,
        /// The least FLOPs of the alternative.
        least_flops: f64,
        /// Its value there.
        other: f64,
    },
    /// Constants from elsewhere are not at the optimum of the same table: a fit that stopped early, as the mean of Huber's loss
    /// with usual tolerances does, or constants that were rounded.
    AboveOptimum {
        /// Σ ρ of those constants.
        objective: f64,
        /// Σ ρ at the optimum.
        optimum: f64,
    },
}

/// E below which it counts as 0, as a part of the least loss.
const VANISHED: f64 = 1e-3;
/// Exponents that are still a law.
const EXPONENTS: std::ops::RangeInclusive<f64> = 1e-3..=2.0;
/// Part of the objective that outliers may have.
const SHARE: f64 = 0.25;
/// Relative move of an exponent by another threshold.
const MOVED_BY_DELTA: f64 = 0.03;
/// Relative move of an exponent without the smallest budgets.
const MOVED_BY_FLOPS: f64 = 0.1;

/// The warnings of a fit, with those that need resampled fits or alternatives where there are any.
pub fn fit_warnings(
    table: &Table,
    fit: &LawFit,
    bootstrap: Option<&Bootstrap<Law>>,
    sensitivity: Option<&Sensitivity>,
) -> Vec<FitWarning> {
    let mut warnings = of_fit(table, fit);
    if let Some(bootstrap) = bootstrap {
        warnings.extend(of_bootstrap(bootstrap));
    }
    if let Some(sensitivity) = sensitivity {
        warnings.extend(of_sensitivity(fit, sensitivity));
    }
    warnings
}

fn of_fit(table: &Table, fit: &LawFit) -> Vec<FitWarning> {
    let Law { e, alpha, beta, .. } = fit.law;
    let mut warnings = vec![];
    if !fit.converged {
        warnings.push(FitWarning::NotConverged { gradient_norm: fit.gradient_norm });
    }
    let least = table.runs().iter().map(|run| run.loss).fold(f64::INFINITY, f64::min);
    if e < VANISHED * least {
        warnings.push(FitWarning::EAtBound { e });
    }
    for (constant, value) in [("alpha", alpha), ("beta", beta)] {
        if !EXPONENTS.contains(&value) {
            warnings.push(FitWarning::ExponentAtBound { constant: constant.to_owned(), value });
        }
    }
    if fit.rows < 3 * Law::NAMES.len() {
        warnings.push(FitWarning::FewRuns { rows: fit.rows });
    }
    let below = table.runs().iter().filter(|run| run.loss <= e).count();
    if below > 0 {
        warnings.push(FitWarning::LossBelowIrreducible { runs: below, e });
    }
    warnings
}

fn of_bootstrap(bootstrap: &Bootstrap<Law>) -> Vec<FitWarning> {
    let interval = |place: usize| bootstrap.interval(|law| law.constants()[place]);
    Law::NAMES
        .iter()
        .enumerate()
        .map(|(place, name)| (*name, interval(place)))
        .filter(|(_, interval)| !(interval.low > 0.0 && interval.high <= 10.0 * interval.low))
        .map(|(name, interval)| FitWarning::NotIdentified { constant: name.to_owned(), interval })
        .collect()
}

fn of_sensitivity(fit: &LawFit, sensitivity: &Sensitivity) -> Vec<FitWarning> {
    let mut warnings = vec![];
    if sensitivity.outlier_share > SHARE {
        let exponents = sensitivity.without_outliers.as_ref().map(|other| (other.law.alpha, other.law.beta));
        warnings.push(FitWarning::OutliersCarryTheFit {
            rows: sensitivity.outliers.clone(),
            share: sensitivity.outlier_share,
            exponents_without: exponents,
        });
    }
    for (name, place) in [("alpha", 3), ("beta", 4)] {
        let exponent = |law: &Law| law.constants()[place];
        let value = exponent(&fit.law);
        let constant = || name.to_owned();
        let moved = |other: &Law, most: f64| (exponent(other) / value - 1.0).abs() > most;
        warnings.extend(sensitivity.by_delta.iter().filter(|other| moved(&other.law, MOVED_BY_DELTA)).map(|other| {
            FitWarning::ThresholdMoves { constant: constant(), value, delta: other.delta, other: exponent(&other.law) }
        }));
        warnings.extend(sensitivity.by_flops.iter().filter(|other| moved(&other.law, MOVED_BY_FLOPS)).map(|other| {
            let (least_flops, other) = (other.least_flops, exponent(&other.law));
            FitWarning::SmallRunsMove { constant: constant(), value, least_flops, other }
        }));
    }
    warnings
}

/// Whether constants from elsewhere, such as published ones, are above the optimum of the same table by more than a thousandth.
pub fn published_above_optimum(table: &Table, fit: &LawFit, published: &Law) -> Option<FitWarning> {
    let objective = huber_sum(&published.residuals(table.runs()), fit.delta);
    let above = objective > 1.001 * fit.objective;
    above.then_some(FitWarning::AboveOptimum { objective, optimum: fit.objective })
}

impl std::fmt::Display for FitWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotConverged { gradient_norm } => {
                write!(f, "the fit did not converge: its gradient is still {gradient_norm:.1e}")
            }
            Self::EAtBound { e } => write!(
                f,
                "E went to {e:.2e}: the table determines no irreducible loss; say whether N counts embeddings, and try the other"
            ),
            Self::ExponentAtBound { constant, value } => {
                write!(f, "{constant} went to {value:.3e}, where its term is no power law over the table")
            }
            Self::FewRuns { rows } => {
                write!(f, "{rows} runs for five constants fit anything: judge the law by its held-out error")
            }
            Self::LossBelowIrreducible { runs, e } => {
                write!(f, "{runs} runs have a loss below the irreducible {e:.4}: the law cannot hold for them")
            }
            Self::OutliersCarryTheFit { rows, share, exponents_without } => {
                write!(f, "{} runs carry {:.0} % of the objective", rows.len(), 100.0 * share)?;
                match exponents_without {
                    Some((alpha, beta)) => write!(f, "; without them alpha is {alpha:.3} and beta {beta:.3}"),
                    None => Ok(()),
                }
            }
            Self::NotIdentified { constant, interval } => write!(
                f,
                "the table hardly determines {constant}: {:.3e} to {:.3e}; rely on predictions, not on it",
                interval.low, interval.high
            ),
            Self::ThresholdMoves { constant, value, delta, other } => {
                write!(f, "{constant} is {value:.3} here and {other:.3} with delta {delta}: state delta")
            }
            Self::SmallRunsMove { constant, value, least_flops, other } => write!(
                f,
                "{constant} is {value:.3} here and {other:.3} without the runs below {least_flops:.1e} FLOPs: report both"
            ),
            Self::AboveOptimum { objective, optimum } => write!(
                f,
                "those constants have an objective of {objective:.7}, {:.1} % above the optimum {optimum:.7}: that fit stopped \
                 early (a mean instead of a sum does that) or was rounded",
                100.0 * (objective / optimum - 1.0)
            ),
        }
    }
}

//! Hoffmann's third approach: Huber's loss of log losses, from a grid of starts, the best one kept.

use serde::{Deserialize, Serialize};

use super::chinchilla::{Centered, ChinchillaRows, Law};
use super::huber::{Huber, huber_sum};
use crate::error::ScalingError;
use crate::optimize::{self, Point};
use crate::table::Table;

/// Where a fit starts: every combination of the values, ends included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// ln A.
    pub a: Vec<f64>,
    /// ln B.
    pub b: Vec<f64>,
    /// ln E.
    pub e: Vec<f64>,
    /// α.
    pub alpha: Vec<f64>,
    /// β.
    pub beta: Vec<f64>,
}

impl Grid {
    /// The 4,500 starts of Hoffmann et al. 2022, section D.3.
    pub fn hoffmann() -> Self {
        let steps =
            |count: u32, first: f64, step: f64| (0..count).map(|i| first + step * f64::from(i)).collect::<Vec<_>>();
        let (size, exponent) = (steps(6, 0.0, 5.0), steps(5, 0.0, 0.5));
        Self { a: size.clone(), b: size, e: steps(5, -1.0, 0.5), alpha: exponent.clone(), beta: exponent }
    }

    fn starts(&self) -> Vec<[f64; 5]> {
        let mut starts = vec![];
        for &a in &self.a {
            for &b in &self.b {
                for &e in &self.e {
                    for &alpha in &self.alpha {
                        starts.extend(self.beta.iter().map(|&beta| [a, b, e, alpha, beta]));
                    }
                }
            }
        }
        starts
    }
}

/// How a law is fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitSettings {
    /// δ of Huber's loss, in log loss: 1e-3 is a tenth of a percent. It decides the answer, so it belongs in every report.
    pub delta: f64,
    /// The norm of the gradient at which a fit counts as converged: the largest component of `Σ clamp(r/δ, −1, 1) ∂r`, with
    /// ln N and ln D centered.
    pub gradient_norm: f64,
    /// The starts.
    pub grid: Grid,
}

impl Default for FitSettings {
    /// δ = 1e-3 and 4,500 starts, as Hoffmann et al.; a gradient of 1e-8.
    fn default() -> Self {
        Self { delta: 1e-3, gradient_norm: 1e-8, grid: Grid::hoffmann() }
    }
}

impl FitSettings {
    /// # Errors
    /// δ or the norm is not above 0, or the grid has no start.
    pub fn validate(&self) -> Result<(), ScalingError> {
        for (what, value) in [("delta", self.delta), ("gradient_norm", self.gradient_norm)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(ScalingError::value(what, "finite and above 0", value));
            }
        }
        let Grid { a, b, e, alpha, beta } = &self.grid;
        if [a, b, e, alpha, beta].iter().any(|values| values.is_empty()) {
            return Err(ScalingError::too_few("values of a constant in the grid of starts", 1, 0));
        }
        Ok(())
    }
}

/// A fitted law and how it was reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LawFit {
    /// The constants.
    pub law: Law,
    /// δ of Huber's loss.
    pub delta: f64,
    /// Σ ρ(r) over the rows: a sum, as published.
    pub objective: f64,
    /// The norm of the gradient that was reached.
    pub gradient_norm: f64,
    /// Whether that is as small as was asked for.
    pub converged: bool,
    /// Runs in the fit.
    pub rows: usize,
    /// Starts.
    pub starts: usize,
    /// Starts that came within one millionth of the optimum by themselves.
    pub reached: usize,
    /// Other places where starts ended, the best first; resampled tables are fitted from these too.
    pub others: Vec<Law>,
}

/// Places, beside the optimum, from which resampled tables are fitted.
const OTHERS: usize = 3;

/// Fits a law to all runs of a table; choose one modality first.
///
/// # Errors
/// A setting is out of its range, the table has too few runs, sizes or budgets, or no start has a finite objective.
pub fn fit_law(table: &Table, settings: &FitSettings) -> Result<LawFit, ScalingError> {
    settings.validate()?;
    table.check_fit(Law::NAMES.len())?;
    if let [first, second, ..] = table.modalities().into_iter().collect::<Vec<_>>()[..] {
        let reason = format!("a law is of one modality, but the runs are of `{first}`, `{second}` or more: choose one");
        return Err(ScalingError::Table { table: "the table to be fitted".to_owned(), reason });
    }
    let center = Centered::at_means(table.runs());
    let rows = ChinchillaRows::new(table.runs(), center);
    let starts: Vec<Vec<f64>> = settings.grid.starts().into_iter().map(|start| center.at_logs(start)).collect();
    let objective = Huber { residuals: &rows, weights: None, delta: settings.delta };
    let found = optimize::from_starts(&objective, &starts, settings.gradient_norm)
        .ok_or_else(|| ScalingError::value("objective", "finite at some start", "infinity at all"))?;
    let norm = found.best.gradient_norm();
    Ok(LawFit {
        law: center.to_law(&found.best.at),
        delta: settings.delta,
        objective: huber_sum(&rows.all(&found.best.at), settings.delta),
        gradient_norm: norm,
        converged: norm <= settings.gradient_norm,
        rows: table.runs().len(),
        starts: starts.len(),
        reached: found.reached,
        others: found.ends.iter().skip(1).take(OTHERS).map(|end| center.to_law(&end.at)).collect(),
    })
}

/// The best minimum of weighted rows from a few laws.
pub(crate) fn refit(rows: &ChinchillaRows, weights: Option<&[f64]>, delta: f64, starts: &[Law]) -> Option<Law> {
    let objective = Huber { residuals: rows, weights, delta };
    let starts = starts.iter().map(|law| rows.center.at_law(law));
    minimum_of(&objective, starts).map(|best| rows.center.to_law(&best.at))
}

/// The best minimum from a few starts near to it, each followed to the end.
pub(crate) fn minimum_of(
    objective: &impl optimize::Objective,
    starts: impl Iterator<Item = Vec<f64>>,
) -> Option<Point> {
    let ends = starts.map(|start| optimize::from_start(objective, start, 1e-8));
    ends.filter(|end| end.value.is_finite()).min_by(|a, b| a.value.total_cmp(&b.value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Run;

    /// Seven sizes and three budgets of a law.
    fn sweep(law: Law) -> Table {
        let sizes = [8e6, 3e7, 1.25e8, 3.5e8, 7.6e8, 1.3e9, 6.7e9];
        let run = |params: f64| [5e9, 1e10, 1e11].map(|tokens| Run::new(params, tokens, law.loss(params, tokens)));
        Table::new(sizes.into_iter().flat_map(run).collect()).unwrap()
    }

    #[test]
    fn a_sweep_without_noise_gives_its_constants_back() {
        let fit = fit_law(&sweep(Law::HOFFMANN), &small()).unwrap();
        assert!(fit.converged, "{fit:?}");
        for (found, expected) in fit.law.constants().iter().zip(Law::HOFFMANN.constants()) {
            assert!((found / expected - 1.0).abs() < 1e-5, "{:?}", fit.law);
        }
    }

    /// A grid that is quick enough for a test.
    fn small() -> FitSettings {
        let grid =
            Grid { a: vec![5.0, 10.0], b: vec![5.0, 10.0], e: vec![0.0, 0.5], alpha: vec![0.5], beta: vec![0.25, 0.5] };
        FitSettings { grid, ..FitSettings::default() }
    }

    #[test]
    fn the_grid_has_its_ends() {
        assert_eq!(Grid::hoffmann().starts().len(), 4500);
        assert_eq!(Grid::hoffmann().starts().last(), Some(&[25.0, 25.0, 1.0, 2.0, 2.0]));
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let mut runs = sweep(Law::HOFFMANN).runs().to_vec();
        runs[3].modality = "speech".to_owned();
        let error = fit_law(&Table::new(runs).unwrap(), &small()).unwrap_err().to_string();
        assert!(error.contains("`all`, `speech` or more"), "{error}");
        let delta = FitSettings { delta: 0.0, ..small() };
        let error = fit_law(&sweep(Law::HOFFMANN), &delta).unwrap_err().to_string();
        assert_eq!(error, "delta must be finite and above 0, found 0");
        let mut empty = small();
        empty.grid.e.clear();
        assert!(fit_law(&sweep(Law::HOFFMANN), &empty).is_err());
    }

    #[test]
    fn a_fit_survives_its_file() {
        let fit = fit_law(&sweep(Law::HOFFMANN), &small()).unwrap();
        let text = serde_json::to_string(&fit).unwrap();
        let back: LawFit = serde_json::from_str(&text).unwrap();
        assert!((back.law.a / fit.law.a - 1.0).abs() < 1e-12 && back.rows == fit.rows, "{text}");
    }
}

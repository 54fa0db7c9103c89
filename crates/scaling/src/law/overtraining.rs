//! The law of over-training (Gadre et al. 2024, arXiv 2403.08540, section 3): runs far beyond compute-optimal.
//!
//! ```text
//! L = E + a N^c + b 6^(c/2) (M N)^c
//! ```
//!
//! M N are the tokens D, M the tokens a parameter; one exponent c < 0 serves both terms, so that M moves the loss of every size
//! by the same factor. It is fitted by least squares of plain losses, to as few as five small runs. Four constants fit any five
//! points: such a fit is judged by the error at runs that were held out, never by its own.

use serde::{Deserialize, Serialize};

use super::chinchilla::Centered;
use super::fit::FitSettings;
use super::huber::{Huber, Residuals};
use crate::error::ScalingError;
use crate::optimize;
use crate::table::{Run, Table};

/// The four constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OvertrainingLaw {
    /// E, the irreducible loss; it may come out below 0.
    #[serde(rename = "E")]
    pub e: f64,
    /// a, above 0.
    pub a: f64,
    /// b, above 0.
    pub b: f64,
    /// c, below 0.
    pub exponent: f64,
}

impl OvertrainingLaw {
    /// L at `params` and `tokens`.
    pub fn loss(&self, params: f64, tokens: f64) -> f64 {
        let c = self.exponent;
        self.e + self.a * params.powf(c) + self.b * 6f64.powf(c / 2.0) * tokens.powf(c)
    }
}

/// A fitted law.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OvertrainingFit {
    /// The constants.
    pub law: OvertrainingLaw,
    /// Σ (L̂ − L)² / 2.
    pub objective: f64,
    /// The largest component of its gradient.
    pub gradient_norm: f64,
    /// Runs in the fit.
    pub rows: usize,
}

/// Fits the law to all runs of a table.
///
/// # Errors
/// There are fewer than four runs, two sizes or two budgets.
pub fn fit_overtraining(table: &Table) -> Result<OvertrainingFit, ScalingError> {
    table.check_fit(4)?;
    let rows = Rows::new(table.runs());
    let mut starts = vec![];
    // The starts of the published fit.
    for a in [1e2, 3e2, 1e3, 3e3] {
        for b in [1e2, 3e2, 1e3, 3e3] {
            for exponent in [-0.1, -0.3] {
                starts.extend([0.0, 1.0, 2.0, 10.0].map(|e| rows.constants(&OvertrainingLaw { e, a, b, exponent })));
            }
        }
    }
    let objective = Huber { residuals: &rows, weights: None, delta: f64::INFINITY };
    let best = optimize::from_starts(&objective, &starts, FitSettings::default().gradient_norm * 1e-3)
        .ok_or_else(|| ScalingError::value("objective", "finite at some start", "infinity at all"))?
        .best;
    let gradient_norm = best.gradient_norm();
    Ok(OvertrainingFit { law: rows.law(&best.at), objective: best.value, gradient_norm, rows: table.runs().len() })
}

/// Runs as (ln N − mean, ln D − mean, L); constants are `[E, a', b', c]` with a' = ln a + c mean(ln N) and
/// b' = ln b + c (ln 6 / 2 + mean(ln D)).
struct Rows {
    center: Centered,
    rows: Vec<[f64; 3]>,
}

impl Rows {
    fn new(runs: &[Run]) -> Self {
        let center = Centered::at_means(runs);
        let row = |run: &Run| [run.params.ln() - center.ln_params, run.tokens.ln() - center.ln_tokens, run.loss];
        Self { center, rows: runs.iter().map(row).collect() }
    }

    /// What a term's logarithm gains for each unit of c.
    fn shifts(&self) -> (f64, f64) {
        (self.center.ln_params, 6f64.ln() / 2.0 + self.center.ln_tokens)
    }

    fn constants(&self, law: &OvertrainingLaw) -> Vec<f64> {
        let (a, b) = self.shifts();
        vec![law.e, law.a.ln() + law.exponent * a, law.b.ln() + law.exponent * b, law.exponent]
    }

    fn law(&self, at: &[f64]) -> OvertrainingLaw {
        let (a, b) = self.shifts();
        OvertrainingLaw { e: at[0], a: (at[1] - at[3] * a).exp(), b: (at[2] - at[3] * b).exp(), exponent: at[3] }
    }
}

impl Residuals for Rows {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn residual(&self, row: usize, at: &[f64], gradient: &mut [f64]) -> f64 {
        let [x, y, loss] = self.rows[row];
        let (of_params, of_tokens) = ((at[1] + at[3] * x).exp(), (at[2] + at[3] * y).exp());
        gradient.copy_from_slice(&[1.0, of_params, of_tokens, x * of_params + y * of_tokens]);
        at[0] + of_params + of_tokens - loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimize::tests::gradient_error;

    #[test]
    fn five_runs_of_a_law_give_it_back() {
        let law = OvertrainingLaw { e: 1.8, a: 166.0, b: 367.0, exponent: -0.27 };
        let runs = [(1e7, 20.0), (8e7, 20.0), (1.5e8, 20.0), (4e8, 20.0), (1e7, 320.0)]
            .map(|(params, ratio)| Run::new(params, params * ratio, law.loss(params, params * ratio)));
        let fit = fit_overtraining(&Table::new(runs.to_vec()).unwrap()).unwrap();
        let predicted = fit.law.loss(1.4e9, 640.0 * 1.4e9);
        assert!((predicted / law.loss(1.4e9, 640.0 * 1.4e9) - 1.0).abs() < 1e-6, "{fit:?}");
        assert!((fit.law.exponent - law.exponent).abs() < 1e-4, "{fit:?}");
        let rows = Rows::new(&runs);
        let huber = Huber { residuals: &rows, weights: None, delta: f64::INFINITY };
        assert!(gradient_error(&huber, &[1.5, 0.2, 0.4, -0.3]) < 1e-8);
    }
}

//! The law of repeated tokens (Muennighoff et al. 2023, arXiv 2305.16264, section 5): a token seen again is worth less each time.
//!
//! ```text
//! L = E + A / N'^α + B / D'^β
//! D' = U + U R_D* (1 − exp(−R_D / R_D*)),        R_D = D / U − 1
//! N' = U_N + U_N R_N* (1 − exp(−R_N / R_N*)),    R_N = N / U_N − 1,    U_N = min(N, N_opt(U))
//! ```
//!
//! U are the unique tokens, and N_opt(U) is the size for which U tokens are compute-optimal: α A / N^α = β B / U^β. The law has
//! two steps: E, A, B, α and β from runs whose tokens are all different, R_D* and R_N* from the others with the five fixed.

use serde::{Deserialize, Serialize};

use super::chinchilla::Law;
use super::fit::{FitSettings, LawFit, fit_law};
use super::huber::{Huber, Residuals, huber_sum};
use crate::error::ScalingError;
use crate::optimize;
use crate::table::{Run, Table};

/// A law with the two constants of repetition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatedLaw {
    /// Of tokens that are all different.
    pub base: Law,
    /// R_D*: repetitions after which a token's worth has fallen to 1/e.
    pub tokens_decay: f64,
    /// R_N*: the same of parameters beyond those that the unique tokens call for.
    pub params_decay: f64,
}

impl RepeatedLaw {
    /// L at `params` and `tokens`, of which `unique` are different ones.
    pub fn loss(&self, params: f64, tokens: f64, unique: f64) -> f64 {
        let terms = Repetition::new(&self.base, params, tokens, unique);
        let effective = |used: f64, repeats: f64, decay: f64| used * (1.0 - decay * (-repeats / decay).exp_m1());
        self.base.loss(
            effective(terms.params, terms.params_repeats, self.params_decay),
            effective(terms.unique, terms.repeats, self.tokens_decay),
        )
    }
}

/// U and U_N of a run, and how often each is repeated.
struct Repetition {
    unique: f64,
    repeats: f64,
    params: f64,
    params_repeats: f64,
}

impl Repetition {
    fn new(law: &Law, params: f64, tokens: f64, unique: f64) -> Self {
        // N with α A / N^α = β B / U^β.
        let ratio = law.alpha * law.a / (law.beta * law.b);
        let called_for = (ratio * unique.powf(law.beta)).powf(1.0 / law.alpha);
        let used = params.min(called_for);
        Self {
            unique,
            repeats: (tokens / unique - 1.0).max(0.0),
            params: used,
            params_repeats: (params / used - 1.0).max(0.0),
        }
    }
}

/// A fitted law of repetition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatedFit {
    /// The constants.
    pub law: RepeatedLaw,
    /// The fit of runs whose tokens are all different.
    pub base: LawFit,
    /// Runs with repeated tokens.
    pub rows: usize,
    /// Σ ρ(r) over them.
    pub objective: f64,
    /// The largest component of the gradient for ln R_D* and ln R_N*.
    pub gradient_norm: f64,
    /// The mean of |ln L̂ − ln L| over them, and what it would be if repeated tokens were as good as new ones.
    pub mean_error: (f64, f64),
}

/// Fits both steps; a run without `unique_tokens` saw every token once.
///
/// # Errors
/// The runs of one epoch do not determine a law ([`fit_law`]), or there are fewer than two runs with repeated tokens.
pub fn fit_repeated(table: &Table, settings: &FitSettings) -> Result<RepeatedFit, ScalingError> {
    // Counts are often rounded, so an epoch and a hundredth is still one.
    let repeats = |run: &Run| run.unique_tokens.is_some_and(|unique| run.tokens > 1.01 * unique);
    let base = fit_law(&table.filtered(|run| !repeats(run)), settings)?;
    let repeated = table.filtered(repeats);
    if repeated.runs().len() < 2 {
        return Err(ScalingError::too_few("runs with repeated tokens", 2, repeated.runs().len()));
    }
    let rows = Rows::new(base.law, repeated.runs());
    let objective = Huber { residuals: &rows, weights: None, delta: settings.delta };
    let decays = [0.0, 1.0, 2.0, 3.0, 5.0];
    let starts: Vec<Vec<f64>> = decays.iter().flat_map(|&d| decays.map(|n| vec![d, n])).collect();
    let best = optimize::from_starts(&objective, &starts, settings.gradient_norm)
        .ok_or_else(|| ScalingError::value("objective", "finite at some start", "infinity at all"))?
        .best;
    let law = RepeatedLaw { base: base.law, tokens_decay: best.at[0].exp(), params_decay: best.at[1].exp() };
    let residuals: Vec<f64> = (0..rows.rows.len()).map(|row| rows.residual(row, &best.at, &mut [0.0; 2])).collect();
    let mean = |values: &[f64]| values.iter().map(|value| value.abs()).sum::<f64>() / values.len() as f64;
    let mean_error = (mean(&residuals), mean(&base.law.residuals(repeated.runs())));
    let sum = huber_sum(&residuals, settings.delta);
    Ok(RepeatedFit {
        law,
        base,
        rows: residuals.len(),
        objective: sum,
        gradient_norm: best.gradient_norm(),
        mean_error,
    })
}

/// Runs with repeated tokens under a fixed law; constants are `[ln R_D*, ln R_N*]`.
struct Rows {
    law: Law,
    rows: Vec<(Repetition, f64)>,
}

impl Rows {
    fn new(law: Law, runs: &[Run]) -> Self {
        let row = |run: &Run| {
            let unique = run.unique_tokens.unwrap_or(run.tokens);
            (Repetition::new(&law, run.params, run.tokens, unique), run.loss.ln())
        };
        Self { law, rows: runs.iter().map(row).collect() }
    }
}

impl Residuals for Rows {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn residual(&self, row: usize, at: &[f64], gradient: &mut [f64]) -> f64 {
        let (run, ln_loss) = &self.rows[row];
        // The factor 1 + R* (1 − exp(−R/R*)) and its derivative for ln R*.
        let factor = |ln_decay: f64, repeats: f64| {
            let decay = ln_decay.exp();
            let gone = (-repeats / decay).exp_m1();
            (1.0 - decay * gone, -decay * gone - repeats * (1.0 + gone))
        };
        let (tokens, tokens_slope) = factor(at[0], run.repeats);
        let (params, params_slope) = factor(at[1], run.params_repeats);
        let law = &self.law;
        let of_params = law.a * (run.params * params).powf(-law.alpha);
        let of_tokens = law.b * (run.unique * tokens).powf(-law.beta);
        let loss = law.e + of_params + of_tokens;
        gradient[0] = -law.beta * of_tokens * tokens_slope / tokens / loss;
        gradient[1] = -law.alpha * of_params * params_slope / params / loss;
        loss.ln() - ln_loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::law::Grid;
    use crate::optimize::tests::gradient_error;

    /// The published constants.
    const PUBLISHED: RepeatedLaw = RepeatedLaw {
        base: Law { e: 1.869144, a: 520.83, b: 1487.71, alpha: 0.3526596, beta: 0.3526596 },
        tokens_decay: 15.387756,
        params_decay: 5.309743,
    };

    #[test]
    fn the_published_check_values() {
        // Printed by the authors' notebook for its unrounded constants; those above have six digits.
        for (params, tokens, expected) in
            [(6.34e9, 242e9, 2.225_644_088_998_447_7), (8.67e9, 178e9, 2.226_963_407_508_786_7)]
        {
            let loss = PUBLISHED.loss(params, tokens, 25e9);
            assert!((loss / expected - 1.0).abs() < 1e-5, "{loss}");
        }
    }

    #[test]
    fn one_epoch_is_the_law_itself() {
        let loss = PUBLISHED.loss(1e8, 1e10, 1e10);
        assert!((loss - PUBLISHED.base.loss(1e8, 1e10)).abs() < 1e-12);
    }

    #[test]
    fn repeated_runs_give_the_decays_back() {
        let mut runs = vec![];
        for params in [1e7, 5e7, 2e8, 8e8] {
            for tokens in [1e9, 5e9, 2e10] {
                runs.push(Run::new(params, tokens, PUBLISHED.base.loss(params, tokens)));
                for epochs in [4.0, 20.0, 60.0] {
                    let unique = tokens / epochs;
                    let loss = PUBLISHED.loss(params, tokens, unique);
                    runs.push(Run { unique_tokens: Some(unique), ..Run::new(params, tokens, loss) });
                }
            }
        }
        let grid = Grid { a: vec![6.0], b: vec![7.0], e: vec![0.5], alpha: vec![0.3, 0.5], beta: vec![0.3, 0.5] };
        let table = Table::new(runs.clone()).unwrap();
        let fit = fit_repeated(&table, &FitSettings { grid, ..FitSettings::default() }).unwrap();
        assert!((fit.law.tokens_decay / PUBLISHED.tokens_decay - 1.0).abs() < 1e-3, "{:?}", fit.law);
        assert!((fit.law.params_decay / PUBLISHED.params_decay - 1.0).abs() < 1e-3, "{:?}", fit.law);
        assert!(fit.mean_error.0 < 1e-6 && fit.mean_error.1 > 0.01, "{:?}", fit.mean_error);
        let rows = Rows::new(PUBLISHED.base, &runs[1..]);
        assert!(gradient_error(&Huber { residuals: &rows, weights: None, delta: 1.0 }, &[2.0, 1.5]) < 1e-7);
    }
}

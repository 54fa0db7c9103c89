//! `L(N, D) = E + A / N^α + B / D^β` (Hoffmann et al. 2022, equation 2), and its residuals in logarithms.
//!
//! In the fit, a = ln A, b = ln B, e = ln E, and `ln L = LSE(a − α ln N, b − β ln D, e)` (their equation 3). ln N and ln D are
//! centered at the means of the table, which leaves the law as it is and makes the fit far better conditioned:
//! a' = a − α mean(ln N), b' = b − β mean(ln D).

use serde::{Deserialize, Serialize};

use super::huber::Residuals;
use crate::table::Run;

/// The five constants, for N and D in ones and losses in nats a token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Law {
    /// E, the irreducible loss, from 0 up.
    #[serde(rename = "E")]
    pub e: f64,
    /// A, above 0.
    #[serde(rename = "A")]
    pub a: f64,
    /// B, above 0.
    #[serde(rename = "B")]
    pub b: f64,
    /// α, the exponent of parameters.
    pub alpha: f64,
    /// β, the exponent of tokens.
    pub beta: f64,
}

impl Law {
    /// Names of the constants, in the order of [`constants`](Self::constants).
    pub const NAMES: [&'static str; 5] = ["E", "A", "B", "alpha", "beta"];

    /// What Hoffmann et al. print: rounded constants, whose objective on their own data is more than three times that of the
    /// unrounded ones.
    pub const HOFFMANN: Self = Self { e: 1.69, a: 406.4, b: 410.7, alpha: 0.34, beta: 0.28 };

    /// E, A, B, α, β.
    pub fn constants(&self) -> [f64; 5] {
        [self.e, self.a, self.b, self.alpha, self.beta]
    }

    /// L(N, D), nats a token.
    pub fn loss(&self, params: f64, tokens: f64) -> f64 {
        // Equation 2.
        self.e + self.a * params.powf(-self.alpha) + self.b * tokens.powf(-self.beta)
    }

    /// `ln L(N, D) − ln loss` of each run: negative where the law promises less than was reached.
    pub fn residuals(&self, runs: &[Run]) -> Vec<f64> {
        runs.iter().map(|run| (self.loss(run.params, run.tokens) / run.loss).ln()).collect()
    }
}

/// Where ln N and ln D are centered.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Centered {
    /// mean(ln N)
    pub(crate) ln_params: f64,
    /// mean(ln D)
    pub(crate) ln_tokens: f64,
}

impl Centered {
    /// At the means of runs.
    pub(crate) fn at_means(runs: &[Run]) -> Self {
        let mean = |value: fn(&Run) -> f64| runs.iter().map(|run| value(run).ln()).sum::<f64>() / runs.len() as f64;
        Self { ln_params: mean(|run| run.params), ln_tokens: mean(|run| run.tokens) }
    }

    /// `[a', b', e, α, β]`.
    pub(crate) fn at_law(self, law: &Law) -> Vec<f64> {
        // E = 0 has no logarithm; e^-30 of a nat is 0 to every use.
        let [a, b, e] = [law.a, law.b, law.e].map(|constant| constant.ln().max(-30.0));
        self.at_logs([a, b, e, law.alpha, law.beta])
    }

    /// The same from a, b, e, α, β.
    pub(crate) fn at_logs(self, [a, b, e, alpha, beta]: [f64; 5]) -> Vec<f64> {
        vec![a - alpha * self.ln_params, b - beta * self.ln_tokens, e, alpha, beta]
    }

    /// The law at `[a', b', e, α, β]`.
    pub(crate) fn to_law(self, at: &[f64]) -> Law {
        let (alpha, beta) = (at[3], at[4]);
        let a = (at[0] + alpha * self.ln_params).exp();
        let b = (at[1] + beta * self.ln_tokens).exp();
        Law { e: at[2].exp(), a, b, alpha, beta }
    }
}

/// Runs as (ln N − mean, ln D − mean, ln L).
pub(crate) struct ChinchillaRows {
    pub(crate) center: Centered,
    rows: Vec<[f64; 3]>,
}

impl ChinchillaRows {
    pub(crate) fn new(runs: &[Run], center: Centered) -> Self {
        let row = |run: &Run| [run.params.ln() - center.ln_params, run.tokens.ln() - center.ln_tokens, run.loss.ln()];
        Self { center, rows: runs.iter().map(row).collect() }
    }

    /// The residuals at `[a', b', e, α, β]`.
    pub(crate) fn all(&self, at: &[f64]) -> Vec<f64> {
        let mut gradient = [0.0; 5];
        (0..self.rows.len()).map(|row| self.residual(row, at, &mut gradient)).collect()
    }
}

impl Residuals for ChinchillaRows {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn residual(&self, row: usize, at: &[f64], gradient: &mut [f64]) -> f64 {
        let [x, y, ln_loss] = self.rows[row];
        log_loss(x, y, at, gradient) - ln_loss
    }
}

/// `LSE(a' − α x, b' − β y, e)` with its gradient for `[a', b', e, α, β]`.
pub(crate) fn log_loss(x: f64, y: f64, at: &[f64], gradient: &mut [f64]) -> f64 {
    let terms = [at[0] - at[3] * x, at[1] - at[4] * y, at[2]];
    let largest = terms[0].max(terms[1]).max(terms[2]);
    let parts = terms.map(|term| (term - largest).exp());
    let sum = parts[0] + parts[1] + parts[2];
    // ∂LSE/∂term is the softmax.
    let shares = parts.map(|part| part / sum);
    gradient[..3].copy_from_slice(&shares);
    gradient[3] = -x * shares[0];
    gradient[4] = -y * shares[1];
    largest + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::law::Huber;
    use crate::optimize::tests::gradient_error;

    #[test]
    fn chinchilla_itself() {
        // 70e9 parameters, 1.4e12 tokens.
        assert!((Law::HOFFMANN.loss(70e9, 1.4e12) - 1.936_645).abs() < 5e-7, "{}", Law::HOFFMANN.loss(70e9, 1.4e12));
    }

    #[test]
    fn logarithms_and_centers_leave_the_law_as_it_is() {
        let runs = [Run::new(1e7, 1e9, 3.5), Run::new(1e9, 3e10, 2.6), Run::new(3e8, 1e9, 3.0)];
        let law = Law::HOFFMANN;
        let center = Centered::at_means(&runs);
        let back = center.to_law(&center.at_law(&law));
        for (constant, expected) in back.constants().iter().zip(law.constants()) {
            assert!((constant / expected - 1.0).abs() < 1e-12);
        }
        let rows = ChinchillaRows::new(&runs, center);
        for (residual, expected) in rows.all(&center.at_law(&law)).iter().zip(law.residuals(&runs)) {
            assert!((residual - expected).abs() < 1e-13);
        }
        let huber = Huber { residuals: &rows, weights: Some(&[1.0, 2.0, 0.5]), delta: 1.0 };
        assert!(gradient_error(&huber, &[0.3, 0.2, 0.4, 0.35, 0.3]) < 1e-8);
    }
}

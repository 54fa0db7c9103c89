//! The residuals of mixed runs, with the laws of the modalities fixed or moving.
//!
//! Constants of the interaction are `[C, a', b', α, β]`, a' = ln A − α mean(ln N) and b' = ln B − β mean(ln D) over the mixed
//! runs; C has a sign. A joint fit has those of the first modality, of the second, and of the interaction, one after another.

use super::fit::MixedTables;
use super::law::{Interaction, MixedLaw};
use crate::law::{Centered, ChinchillaRows, Huber, Law, Residuals, log_loss};
use crate::optimize::Objective;
use crate::table::{Run, Table};

/// The tokens of the first and the second modality of a mixed run.
pub(super) fn split_tokens(run: &Run) -> (f64, f64) {
    let share = run.first_share.unwrap_or(0.5);
    (share * run.tokens, (1.0 - share) * run.tokens)
}

/// Mixed runs with the laws of their modalities fixed: (ln N − mean, ln D − mean, average, ln L).
pub(super) struct InteractionRows {
    center: Centered,
    rows: Vec<[f64; 4]>,
}

impl InteractionRows {
    pub(super) fn new(runs: &[Run], first: &Law, second: &Law) -> Self {
        let center = Centered::at_means(runs);
        let row = |run: &Run| {
            let (of_first, of_second) = split_tokens(run);
            let average = 0.5 * (first.loss(run.params, of_first) + second.loss(run.params, of_second));
            [run.params.ln() - center.ln_params, run.tokens.ln() - center.ln_tokens, average, run.loss.ln()]
        };
        Self { center, rows: runs.iter().map(row).collect() }
    }

    pub(super) fn constants(&self, law: &Interaction) -> Vec<f64> {
        constants(self.center, law)
    }

    pub(super) fn interaction(&self, at: &[f64]) -> Interaction {
        interaction(self.center, at)
    }
}

/// `[C, a', b', α, β]` of an interaction.
fn constants(center: Centered, law: &Interaction) -> Vec<f64> {
    let log = |coefficient: f64| coefficient.ln().max(-700.0);
    let (a, b) = (log(law.a) - law.alpha * center.ln_params, log(law.b) - law.beta * center.ln_tokens);
    vec![law.c, a, b, law.alpha, law.beta]
}

/// The interaction of `[C, a', b', α, β]`.
fn interaction(center: Centered, at: &[f64]) -> Interaction {
    let (alpha, beta) = (at[3], at[4]);
    let a = (at[1] + alpha * center.ln_params).exp();
    let b = (at[2] + beta * center.ln_tokens).exp();
    Interaction { c: at[0], a, b, alpha, beta }
}

/// Δ and its gradient for `[C, a', b', α, β]`.
fn delta(x: f64, y: f64, at: &[f64], gradient: &mut [f64]) -> f64 {
    let (of_params, of_tokens) = ((at[1] - at[3] * x).exp(), (at[2] - at[4] * y).exp());
    gradient.copy_from_slice(&[-1.0, of_params, of_tokens, -x * of_params, -y * of_tokens]);
    -at[0] + of_params + of_tokens
}

impl Residuals for InteractionRows {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn residual(&self, row: usize, at: &[f64], gradient: &mut [f64]) -> f64 {
        let [x, y, average, ln_loss] = self.rows[row];
        let loss = average + delta(x, y, at, gradient);
        gradient.iter_mut().for_each(|slope| *slope /= loss);
        // A loss at or below 0 has no logarithm: the objective is then infinite.
        loss.ln() - ln_loss
    }
}

/// All three tables under all fifteen constants: the sum of their objectives.
pub(super) struct Joint<'a> {
    first: ChinchillaRows,
    second: ChinchillaRows,
    pair: PairRows,
    weights: Option<&'a [Vec<f64>]>,
    delta: f64,
}

impl<'a> Joint<'a> {
    pub(super) fn new(tables: MixedTables<'_>, weights: Option<&'a [Vec<f64>]>, delta: f64) -> Self {
        let modality = |table: &Table| ChinchillaRows::new(table.runs(), Centered::at_means(table.runs()));
        let (first, second) = (modality(tables.first), modality(tables.second));
        let pair = PairRows::new(tables.mixed.runs(), first.center, second.center);
        Self { first, second, pair, weights, delta }
    }

    pub(super) fn constants(&self, law: &MixedLaw) -> Vec<f64> {
        let first = self.first.center.at_law(&law.first);
        let second = self.second.center.at_law(&law.second);
        [first, second, constants(self.pair.center, &law.interaction)].concat()
    }

    pub(super) fn law(&self, at: &[f64]) -> MixedLaw {
        MixedLaw {
            first: self.first.center.to_law(&at[..5]),
            second: self.second.center.to_law(&at[5..10]),
            interaction: interaction(self.pair.center, &at[10..]),
        }
    }

    fn huber<'b, R>(&'b self, residuals: &'b R, table: usize) -> Huber<'b, R> {
        Huber { residuals, weights: self.weights.map(|weights| weights[table].as_slice()), delta: self.delta }
    }
}

impl Objective for Joint<'_> {
    fn evaluate(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
        let mut own = [0.0; 10];
        let first = self.huber(&self.first, 0).evaluate(&at[..5], &mut own[..5]);
        let second = self.huber(&self.second, 1).evaluate(&at[5..10], &mut own[5..]);
        let pair = self.huber(&self.pair, 2).evaluate(at, gradient);
        gradient.iter_mut().zip(own).for_each(|(gradient, own)| *gradient += own);
        first + second + pair
    }
}

/// A mixed run: its (ln N, ln D) less the means of the first modality, of the second and of the mixed runs, and ln L.
#[derive(Clone, Copy)]
struct PairRow {
    first: [f64; 2],
    second: [f64; 2],
    both: [f64; 2],
    ln_loss: f64,
}

/// Mixed runs under all constants.
struct PairRows {
    center: Centered,
    rows: Vec<PairRow>,
}

impl PairRows {
    fn new(runs: &[Run], first: Centered, second: Centered) -> Self {
        let center = Centered::at_means(runs);
        let place = |center: Centered, params: f64, tokens: f64| {
            [params.ln() - center.ln_params, tokens.ln() - center.ln_tokens]
        };
        let row = |run: &Run| {
            let (of_first, of_second) = split_tokens(run);
            PairRow {
                first: place(first, run.params, of_first),
                second: place(second, run.params, of_second),
                both: place(center, run.params, run.tokens),
                ln_loss: run.loss.ln(),
            }
        };
        Self { center, rows: runs.iter().map(row).collect() }
    }
}

impl Residuals for PairRows {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn residual(&self, row: usize, at: &[f64], gradient: &mut [f64]) -> f64 {
        let PairRow { first, second, both, ln_loss } = self.rows[row];
        let mut loss = 0.0;
        for ([x, y], place) in [(first, 0..5), (second, 5..10)] {
            let half = 0.5 * log_loss(x, y, &at[place.clone()], &mut gradient[place.clone()]).exp();
            gradient[place].iter_mut().for_each(|slope| *slope *= half);
            loss += half;
        }
        loss += delta(both[0], both[1], &at[10..], &mut gradient[10..]);
        gradient.iter_mut().for_each(|slope| *slope /= loss);
        loss.ln() - ln_loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimize::tests::gradient_error;

    #[test]
    fn gradients_are_exact() {
        let runs = |shift: f64| {
            let run =
                |at: i32| Run::new(1e7 * 3f64.powi(at), 1e9 * 2f64.powi(at % 4), 3.0 - shift - 0.1 * f64::from(at));
            Table::new((0..6).map(run).collect()).unwrap()
        };
        let (first, second, mixed) = (runs(0.0), runs(0.3), runs(0.2));
        let tables = MixedTables { first: &first, second: &second, mixed: &mixed };
        let joint = Joint::new(tables, None, 1.0);
        let at = [0.1, 0.2, 0.5, 0.3, 0.2, -0.1, 0.1, 0.4, 0.2, 0.3, 0.2, -2.0, -1.5, 0.3, 0.4];
        assert!(gradient_error(&joint, &at) < 1e-8);
        let rows = InteractionRows::new(mixed.runs(), &Law::HOFFMANN, &Law::HOFFMANN);
        let huber = Huber { residuals: &rows, weights: None, delta: 1.0 };
        assert!(gradient_error(&huber, &[0.2, -2.0, -1.5, 0.3, 0.4]) < 1e-8);
        let law = joint.law(&joint.constants(&joint.law(&at)));
        assert!((law.interaction.a / joint.law(&at).interaction.a - 1.0).abs() < 1e-12);
    }
}

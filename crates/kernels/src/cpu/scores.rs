//! Cross-entropy and z-loss over the rows that have a weight, without a second array of logits forward.
//!
//! ```text
//! ∂logit_j = w · ( ∂next_token · (p_j − [j = target]) + ∂z · 2 log Z · p_j )
//! ```

use rayon::prelude::*;

use super::vector::{exp, max, sum_with, vectorised};

/// Scored rows of the logits.
pub(crate) struct Rows<'a> {
    pub(crate) logits: &'a [f32],
    pub(crate) targets: &'a [usize],
    pub(crate) weights: &'a [f32],
}

/// What [`forward`] finds.
pub(crate) struct Sums {
    /// `Σ w · (log Z − logit of the target)`
    pub(crate) next_token: f32,
    /// `Σ w · log² Z`
    pub(crate) z: f32,
    /// `log Z` of every row; 0 for a row without weight.
    pub(crate) log_z: Vec<f32>,
}

impl Rows<'_> {
    fn width(&self) -> usize {
        self.logits.len() / self.targets.len().max(1)
    }
}

/// The two sums, added up in the order of the rows.
pub(crate) fn forward(rows: &Rows<'_>) -> Sums {
    let width = rows.width();
    let log_z: Vec<f32> = rows
        .logits
        .par_chunks(width.max(1))
        .zip(rows.weights)
        .map(|(logits, &weight)| if weight == 0.0 { 0.0 } else { log_sum_exp(logits) })
        .collect();
    let (mut next_token, mut z) = (0.0f64, 0.0f64);
    for (row, (&log_z, &weight)) in log_z.iter().zip(rows.weights).enumerate() {
        if weight != 0.0 {
            let target = rows.logits[row * width + rows.targets[row]];
            next_token += f64::from(weight) * f64::from(log_z - target);
            z += f64::from(weight) * f64::from(log_z) * f64::from(log_z);
        }
    }
    Sums { next_token: next_token as f32, z: z as f32, log_z }
}

/// The gradient of the logits; zero for rows without weight.
pub(crate) fn backward(rows: &Rows<'_>, log_z: &[f32], d_next_token: f32, d_z: f32) -> Vec<f32> {
    let width = rows.width().max(1);
    let mut gradient = vec![0.0; rows.logits.len()];
    let numbers = rows.targets.par_iter().zip(rows.weights).zip(log_z);
    let chunks = gradient.par_chunks_mut(width).zip(rows.logits.par_chunks(width)).zip(numbers);
    chunks.for_each(|((gradient, logits), ((&target, &weight), &log_z))| {
        if weight == 0.0 {
            return;
        }
        let of_probability = weight * (d_next_token + 2.0 * d_z * log_z);
        vectorised(
            #[inline(always)]
            || {
                for (gradient, &logit) in gradient.iter_mut().zip(logits) {
                    *gradient = of_probability * exp(logit - log_z);
                }
            },
        );
        gradient[target] -= weight * d_next_token;
    });
    gradient
}

fn log_sum_exp(logits: &[f32]) -> f32 {
    vectorised(
        #[inline(always)]
        || {
            let peak = max(logits);
            peak + sum_with(logits, logits, |x, _| exp(x - peak)).ln()
        },
    )
}

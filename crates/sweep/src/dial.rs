//! The size dial: a model's shape, learning rate and batch from one number, the parameters N of its backbone.
//!
//! N counts the matrices that a row meets between embedding and head, L (4 d² + 3 d f) of a Llama-style layer, as Kaplan et al.
//! 2020 (2001.08361) count it: without embeddings, norms and biases.
//!
//! | what | rule | source |
//! |---|---|---|
//! | d / L | 32 (N / 0.786 M)^0.154 | the table of OPT's trainer, by which 2301.03728 sized its models: 32 at 8M, 64 at 125M, 149 at 30B; the loss hardly depends on it (2001.08361, figure 5) |
//! | L | (N / (12 (d / L)²))^⅓, rounded | N ≈ 12 L d² (2001.08361, table 1) |
//! | d | L times d / L before rounding, to a multiple of the head's width | |
//! | heads | 8 wide below d = 64, then 16, 32 from 256, 64 from 512, 128 from 2048; from d = 4096 eight at a time | widths of 64 to 128 in the same table |
//! | f | what is left of N, to a multiple of 8, of 64 from d = 512 | SwiGLU has 8/3 d at N = 12 L d² (2002.05202); the loss is flat in f / d (2001.08361, figure 5) |
//! | learning rate | the same table, between its sizes on a line in ln N and ln rate, level outside | GPT-3 (2005.14165, table 2.1) has the same rates from 125M to 13B |
//! | batch | 2^19 tokens (N / 85 M)^⅓, to a power of two | 0.5, 1, 2 and 4 M tokens at 125M, 1.3B, 6.7B and 30B of that table; 2301.03728 takes 1 M everywhere |
//!
//! Below 0.8 M, the smallest model of the sources, the rules are extrapolated.

use serde::{Deserialize, Serialize};

use crate::error::{Result, SweepError};

/// The smallest and the largest N of the dial.
pub const RANGE: (f64, f64) = (8e3, 3e10);
/// How far the parameters of a shape may be from what was asked for, as a fraction: below a million, and from there on.
pub const TOLERANCE: (f64, f64) = (0.05, 0.02);

/// N = 12 L d² and learning rate of OPT's sizes 8m, 25m, 50m, 125m, 350m, 760m, 1.3b, 2.7b, 6.7b, 13b and 30b.
const LEARNING_RATES: [(f64, f64); 11] = [
    (7.864e5, 2.0e-3),
    (4.719e6, 1.0e-3),
    (2.517e7, 9.0e-4),
    (8.493e7, 6.0e-4),
    (3.020e8, 3.0e-4),
    (6.795e8, 2.5e-4),
    (1.208e9, 2.0e-4),
    (2.517e9, 1.6e-4),
    (6.442e9, 1.2e-4),
    (1.258e10, 1.0e-4),
    (2.960e10, 1.0e-4),
];

/// What a model of one size looks like and how it is trained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Width of the residual stream.
    pub d_model: usize,
    /// Layers.
    pub n_layers: usize,
    /// Heads, a divisor of `d_model`.
    pub n_heads: usize,
    /// Width of the feed-forward.
    pub d_ff: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Tokens of an optimizer step.
    pub batch_tokens: f64,
}

impl Shape {
    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.d_model / self.n_heads
    }

    /// N: the parameters of the backbone's matrices.
    pub fn params(&self) -> f64 {
        let (d, f, layers) = (self.d_model as f64, self.d_ff as f64, self.n_layers as f64);
        layers * (4.0 * d * d + 3.0 * d * f)
    }
}

/// The shape of a model with about `params` parameters in its backbone.
///
/// Width, depth and batch never fall and the learning rate never rises with `params`; the parameters are those asked for within
/// [`TOLERANCE`].
///
/// # Errors
/// `params` is outside [`RANGE`].
pub fn dial(params: f64) -> Result<Shape> {
    if !(RANGE.0..=RANGE.1).contains(&params) {
        return Err(SweepError::value("size", "a number of parameters from 8K to 30B", params));
    }
    let aspect = 32.0 * (params / 7.864e5).powf(0.154);
    let depth = (params / (12.0 * aspect * aspect)).cbrt();
    let n_layers = depth.round().max(1.0) as usize;
    let (d_model, head_dim) = width(depth * aspect);
    let d_ff = feed_forward(params / n_layers as f64, d_model);
    let batch_tokens = (2f64.powi(19) * (params / 8.493e7).cbrt()).log2().round().exp2();
    let learning_rate = learning_rate(params);
    Ok(Shape { d_model, n_layers, n_heads: d_model / head_dim, d_ff, learning_rate, batch_tokens })
}

/// The width nearest to `wanted` that heads of its range divide, and the width of a head.
fn width(wanted: f64) -> (usize, usize) {
    let head_dim = match wanted {
        ..64.0 => 8,
        ..256.0 => 16,
        ..512.0 => 32,
        ..2048.0 => 64,
        _ => 128,
    };
    // Models of this size are trained by GPUs that share heads.
    let together = if wanted < 4096.0 { 1 } else { 8 };
    let step = head_dim * together;
    let width = step * (wanted / step as f64).round().max(1.0) as usize;
    (width, head_dim)
}

/// What is left of a layer's parameters for the feed-forward.
fn feed_forward(of_layer: f64, d_model: usize) -> usize {
    let d = d_model as f64;
    let step = if d_model < 512 { 8.0 } else { 64.0 };
    let wanted = (of_layer - 4.0 * d * d) / (3.0 * d);
    (step * (wanted / step).round().max(1.0)) as usize
}

fn learning_rate(params: f64) -> f64 {
    let after = LEARNING_RATES.partition_point(|(size, _)| *size < params);
    let (Some(high), Some(low)) = (LEARNING_RATES.get(after), LEARNING_RATES.get(after.wrapping_sub(1))) else {
        return LEARNING_RATES[after.min(LEARNING_RATES.len() - 1)].1;
    };
    let part = (params / low.0).ln() / (high.0 / low.0).ln();
    low.1 * (high.1 / low.1).powf(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(params: f64) -> f64 {
        (dial(params).unwrap().params() / params - 1.0).abs()
    }

    fn sizes() -> impl Iterator<Item = f64> {
        let steps = 4000;
        (0..=steps)
            .map(move |at| RANGE.0 * (RANGE.1 / RANGE.0).powf(f64::from(at) / f64::from(steps)))
            .map(|params| params.clamp(RANGE.0, RANGE.1))
    }

    #[test]
    fn every_size_is_what_was_asked_for() {
        for params in sizes() {
            let tolerance = if params < 1e6 { TOLERANCE.0 } else { TOLERANCE.1 };
            let shape = dial(params).unwrap();
            assert!(error(params) <= tolerance, "{params}: {shape:?} has {}", shape.params());
        }
    }

    #[test]
    fn shapes_are_fit_for_a_transformer() {
        for params in sizes() {
            let shape = dial(params).unwrap();
            let ratio = shape.d_ff as f64 / shape.d_model as f64;
            let step = if shape.d_model < 512 { 8 } else { 64 };
            assert_eq!(shape.d_model % shape.n_heads, 0);
            assert!(shape.head_dim().is_multiple_of(8), "{shape:?}");
            assert!(shape.d_model.is_multiple_of(step) && shape.d_ff.is_multiple_of(step), "{shape:?}");
            assert!((1.0..=6.0).contains(&ratio), "{params}: {shape:?}");
        }
    }

    #[test]
    fn everything_moves_one_way() {
        let shapes: Vec<Shape> = sizes().map(|params| dial(params).unwrap()).collect();
        for pair in shapes.windows(2) {
            let [small, large] = pair else { unreachable!() };
            assert!(small.d_model <= large.d_model && small.n_layers <= large.n_layers, "{small:?} {large:?}");
            assert!(small.batch_tokens <= large.batch_tokens && small.learning_rate >= large.learning_rate);
        }
    }

    #[test]
    fn the_sources_are_met() {
        let near = |params: f64, layers: usize, width: usize| {
            let shape = dial(params).unwrap();
            let depth = shape.n_layers as f64 / layers as f64;
            let breadth = shape.d_model as f64 / width as f64;
            assert!((0.74..=1.35).contains(&depth) && (0.85..=1.18).contains(&breadth), "{params}: {shape:?}");
        };
        for (params, layers, width) in
            [(7.864e5, 4, 128), (8.493e7, 12, 768), (1.208e9, 24, 2048), (6.442e9, 32, 4096), (2.96e10, 48, 7168)]
        {
            near(params, layers, width);
        }
        let rates = [8e3, 8.493e7, 1.208e9, 3e10].map(|params| dial(params).unwrap().learning_rate);
        assert!(rates.iter().zip([2e-3, 6e-4, 2e-4, 1e-4]).all(|(a, b)| (a / b - 1.0).abs() < 1e-9), "{rates:?}");
        let batches = [8.493e7, 1.208e9, 6.442e9, 2.96e10].map(|params| dial(params).unwrap().batch_tokens);
        assert_eq!(batches, [524_288.0, 1_048_576.0, 2_097_152.0, 4_194_304.0]);
    }

    #[test]
    fn other_sizes_are_refused() {
        for params in [0.0, -1.0, 7_999.0, 3.1e10, f64::NAN, f64::INFINITY] {
            let message = dial(params).unwrap_err().to_string();
            assert!(message.contains("from 8K to 30B"), "{message}");
        }
    }

    proptest! {
        #[test]
        fn a_tenth_more_asked_for_is_more(params in 8e3f64..2.7e10) {
            prop_assert!(dial(1.11 * params).unwrap().params() > dial(params).unwrap().params());
        }
    }
}

//! SwiGLU in one pass forward and one backward.
//!
//! ```text
//! σ = 1 / (1 + e^-g)        y = g · σ · u
//! ∂g = ∂y · u · σ · (1 + g · (1 − σ))        ∂u = ∂y · g · σ
//! ```

use rayon::prelude::*;

use super::array::CHUNK;
use super::vector::{exp, vectorised};

/// `silu(gate) · up`
pub(crate) fn forward(gate: &[f32], up: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; gate.len()];
    let chunks = y.par_chunks_mut(CHUNK).zip(gate.par_chunks(CHUNK)).zip(up.par_chunks(CHUNK));
    chunks.for_each(|((y, gate), up)| {
        vectorised(
            #[inline(always)]
            || {
                for ((y, &g), &u) in y.iter_mut().zip(gate).zip(up) {
                    *y = g / (1.0 + exp(-g)) * u;
                }
            },
        );
    });
    y
}

/// Gradients of the gate and of `up`.
pub(crate) fn backward(gate: &[f32], up: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (mut d_gate, mut d_up) = (vec![0.0; gate.len()], vec![0.0; up.len()]);
    let outputs = d_gate.par_chunks_mut(CHUNK).zip(d_up.par_chunks_mut(CHUNK));
    let inputs = gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK)).zip(dy.par_chunks(CHUNK));
    outputs.zip(inputs).for_each(|((d_gate, d_up), ((gate, up), dy))| {
        vectorised(
            #[inline(always)]
            || {
                let outputs = d_gate.iter_mut().zip(d_up);
                for ((d_gate, d_up), ((&g, &u), &dy)) in outputs.zip(gate.iter().zip(up).zip(dy)) {
                    let sigmoid = 1.0 / (1.0 + exp(-g));
                    *d_up = dy * g * sigmoid;
                    *d_gate = dy * u * sigmoid * (1.0 + g * (1.0 - sigmoid));
                }
            },
        );
    });
    (d_gate, d_up)
}

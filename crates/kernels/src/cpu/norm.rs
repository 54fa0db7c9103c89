//! RMSNorm in one pass forward and one backward.
//!
//! ```text
//! r = 1 / √(mean(x²) + ε)        y = x · r · w
//! ∂x = r · (w · ∂y − x · r² · mean(x · w · ∂y))        ∂w = Σ_rows ∂y · x · r
//! ```

use rayon::prelude::*;

use super::array::rows_of_a_chunk;
use super::vector::{dot, sum_with, vectorised};

/// The normed rows of `x`, and each row's `r`.
pub(crate) fn forward(x: &[f32], weight: &[f32], epsilon: f32) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let rows = rows_of_a_chunk(width);
    let mut y = vec![0.0; x.len()];
    let mut scales = vec![0.0; x.len() / width];
    let chunks = y.par_chunks_mut(rows * width).zip(x.par_chunks(rows * width)).zip(scales.par_chunks_mut(rows));
    chunks.for_each(|((y, x), scales)| {
        vectorised(
            #[inline(always)]
            || {
                for ((y, x), scale) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(scales) {
                    *scale = 1.0 / (dot(x, x) / width as f32 + epsilon).sqrt();
                    for ((y, &x), &w) in y.iter_mut().zip(x).zip(weight) {
                        *y = x * *scale * w;
                    }
                }
            },
        );
    });
    (y, scales)
}

/// Gradients of `x` and of the weight.
pub(crate) fn backward(x: &[f32], weight: &[f32], scales: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let rows = rows_of_a_chunk(width);
    let mut dx = vec![0.0; x.len()];
    let chunks = dx.par_chunks_mut(rows * width).zip(x.par_chunks(rows * width));
    let chunks = chunks.zip(dy.par_chunks(rows * width)).zip(scales.par_chunks(rows));
    // Collected in order and added in order: the sum does not depend on who was first.
    let parts: Vec<Vec<f32>> = chunks
        .map(|(((dx, x), dy), scales)| {
            let mut dw = vec![0.0; width];
            vectorised(
                #[inline(always)]
                || {
                    let rows = dx.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(dy.chunks_exact(width));
                    for (((dx, x), dy), &r) in rows.zip(scales) {
                        // dx holds w · ∂y until the row's mean is known.
                        for (((dx, dw), (&x, &dy)), &w) in dx.iter_mut().zip(&mut dw).zip(x.iter().zip(dy)).zip(weight)
                        {
                            *dx = dy * w;
                            *dw += dy * x * r;
                        }
                        let mean = sum_with(dx, x, |a, b| a * b) / width as f32 * r * r;
                        for (dx, &x) in dx.iter_mut().zip(x) {
                            *dx = r * (*dx - x * mean);
                        }
                    }
                },
            );
            dw
        })
        .collect();
    let mut dw = vec![0.0; width];
    for part in parts {
        for (dw, part) in dw.iter_mut().zip(part) {
            *dw += part;
        }
    }
    (dx, dw)
}

//! RMSNorm in one pass forward and one backward.
//!
//! ```text
//! r = 1 / √(mean(x²) + ε)        y = x · r · w
//! ∂x = r · (w · ∂y − x · r² · mean(x · w · ∂y))        ∂w = Σ_rows ∂y · x · r
//! ```

use rayon::prelude::*;

use super::array::{rows_of_a_chunk, sum_in_order};
use super::vector::{dot, vectorised};

/// `r` of one row.
#[inline(always)]
pub(crate) fn row_scale(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + epsilon).sqrt()
}

/// `y = x · r · w` of one row.
#[inline(always)]
pub(crate) fn row_forward(y: &mut [f32], x: &[f32], weight: &[f32], r: f32) {
    for ((y, &x), &w) in y.iter_mut().zip(x).zip(weight) {
        *y = x * r * w;
    }
}

/// The gradient of one row of `x`, and its part of the weight's, which is added to `d_weight`.
#[inline(always)]
pub(crate) fn row_backward(dx: &mut [f32], x: &[f32], dy: &[f32], (weight, r): (&[f32], f32), d_weight: &mut [f32]) {
    // dx holds w · ∂y until the row's mean is known.
    for (((dx, d_weight), (&x, &dy)), &w) in dx.iter_mut().zip(d_weight).zip(x.iter().zip(dy)).zip(weight) {
        *dx = dy * w;
        *d_weight += dy * x * r;
    }
    let mean = dot(dx, x) / x.len() as f32 * r * r;
    for (dx, &x) in dx.iter_mut().zip(x) {
        *dx = r * (*dx - x * mean);
    }
}

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
                    *scale = row_scale(x, epsilon);
                    row_forward(y, x, weight, *scale);
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
    let parts: Vec<Vec<f32>> = chunks
        .map(|(((dx, x), dy), scales)| {
            let mut dw = vec![0.0; width];
            vectorised(
                #[inline(always)]
                || {
                    let rows = dx.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(dy.chunks_exact(width));
                    for (((dx, x), dy), &r) in rows.zip(scales) {
                        row_backward(dx, x, dy, (weight, r), &mut dw);
                    }
                },
            );
            dw
        })
        .collect();
    (dx, sum_in_order(parts, width))
}

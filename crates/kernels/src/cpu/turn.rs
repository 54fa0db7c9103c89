//! Rotary embedding in one pass, alone or of heads that are normed first; backward turns by the negative angles.
//!
//! ```text
//! y = turn(n)        n = x · r · w        r = 1 / √(mean(x²) + ε)        ∂n = turn⁻¹(∂y)
//! ```
//!
//! The norm's gradient is that of `norm.rs`, over the width of a head.

use rayon::prelude::*;

use super::array::{rows_of_a_chunk, sum_in_order};
use super::norm::{row_backward, row_forward, row_scale};
use super::vector::vectorised;

/// Cosines and sines of every row, `[rows, half]` each, for rows of `heads` heads of `2 · half` channels.
#[derive(Clone, Copy)]
pub(crate) struct Angles<'a> {
    pub(crate) cos: &'a [f32],
    pub(crate) sin: &'a [f32],
    pub(crate) heads: usize,
    pub(crate) half: usize,
}

impl Angles<'_> {
    fn width(&self) -> usize {
        self.heads * 2 * self.half
    }

    /// Rows of a chunk.
    fn rows(&self) -> usize {
        rows_of_a_chunk(self.width())
    }

    /// The angles of chunk `index`, row by row.
    #[inline(always)]
    fn of_chunk(&self, index: usize) -> impl Iterator<Item = (&[f32], &[f32])> {
        let start = (index * self.rows() * self.half).min(self.cos.len());
        self.cos[start..].chunks_exact(self.half).zip(self.sin[start..].chunks_exact(self.half))
    }
}

/// The norm of a head: its weight `[2 · half]` and ε.
#[derive(Clone, Copy)]
pub(crate) struct HeadNorm<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) epsilon: f32,
}

/// Turns every head of every row by the row's angles times `direction`, 1 or −1.
///
/// # Shapes
/// - `x`: `[rows, heads, 2 · half]`
pub(crate) fn turn(x: &[f32], angles: Angles<'_>, direction: f32) -> Vec<f32> {
    map_heads(
        x,
        angles,
        #[inline(always)]
        |y, x, (cos, sin), _| turn_head(y, x, cos, sin, direction),
    )
}

/// Norms every head and turns it.
pub(crate) fn turn_normed(x: &[f32], norm: HeadNorm<'_>, angles: Angles<'_>) -> Vec<f32> {
    map_heads(
        x,
        angles,
        #[inline(always)]
        |y, x, (cos, sin), normed| {
            row_forward(normed, x, norm.weight, row_scale(x, norm.epsilon));
            turn_head(y, normed, cos, sin, 1.0);
        },
    )
}

/// Applies `f(y, x, angles, scratch)` to every head; all but the angles have a head's width.
fn map_heads(
    x: &[f32],
    angles: Angles<'_>,
    f: impl Fn(&mut [f32], &[f32], (&[f32], &[f32]), &mut [f32]) + Sync,
) -> Vec<f32> {
    let (width, head) = (angles.width(), 2 * angles.half);
    let mut y = vec![0.0; x.len()];
    let chunks = y.par_chunks_mut(angles.rows() * width).zip(x.par_chunks(angles.rows() * width));
    chunks.enumerate().for_each(|(index, (y, x))| {
        let mut scratch = vec![0.0; head];
        vectorised(
            #[inline(always)]
            || {
                let rows = y.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(angles.of_chunk(index));
                for ((y, x), angles) in rows {
                    for (y, x) in y.chunks_exact_mut(head).zip(x.chunks_exact(head)) {
                        f(y, x, angles, &mut scratch);
                    }
                }
            },
        );
    });
    y
}

/// Gradients of `x` and of the norm's weight.
pub(crate) fn turn_normed_backward(
    x: &[f32],
    norm: HeadNorm<'_>,
    angles: Angles<'_>,
    dy: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let (width, head) = (angles.width(), 2 * angles.half);
    let mut dx = vec![0.0; x.len()];
    let size = angles.rows() * width;
    let chunks = dx.par_chunks_mut(size).zip(x.par_chunks(size)).zip(dy.par_chunks(size)).enumerate();
    let parts: Vec<Vec<f32>> = chunks
        .map(|(index, ((dx, x), dy))| {
            let (mut d_weight, mut d_normed) = (vec![0.0; head], vec![0.0; head]);
            vectorised(
                #[inline(always)]
                || {
                    let rows = dx.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(dy.chunks_exact(width));
                    for (((dx, x), dy), (cos, sin)) in rows.zip(angles.of_chunk(index)) {
                        let heads = dx.chunks_exact_mut(head).zip(x.chunks_exact(head)).zip(dy.chunks_exact(head));
                        for ((dx, x), dy) in heads {
                            turn_head(&mut d_normed, dy, cos, sin, -1.0);
                            let r = row_scale(x, norm.epsilon);
                            row_backward(dx, x, &d_normed, (norm.weight, r), &mut d_weight);
                        }
                    }
                },
            );
            d_weight
        })
        .collect();
    (dx, sum_in_order(parts, head))
}

#[inline(always)]
fn turn_head(y: &mut [f32], x: &[f32], cos: &[f32], sin: &[f32], direction: f32) {
    let half = cos.len();
    let ((y_first, y_second), (x_first, x_second)) = (y.split_at_mut(half), x.split_at(half));
    let points = y_first.iter_mut().zip(y_second).zip(x_first.iter().zip(x_second));
    for (((y_first, y_second), (&a, &b)), (&cos, &sin)) in points.zip(cos.iter().zip(sin)) {
        let sin = sin * direction;
        *y_first = a * cos - b * sin;
        *y_second = b * cos + a * sin;
    }
}

//! Rotary embedding in one pass; backward is the turn by the negative angles.

use rayon::prelude::*;

use super::array::rows_of_a_chunk;
use super::vector::vectorised;

/// Turns every head of every row by the row's angles times `direction`, 1 or −1.
///
/// # Shapes
/// - `x`: `[rows, heads, 2 · half]`; `cos`, `sin`: `[rows, half]`
pub(crate) fn turn(x: &[f32], cos: &[f32], sin: &[f32], heads: usize, half: usize, direction: f32) -> Vec<f32> {
    let width = heads * 2 * half;
    let rows = rows_of_a_chunk(width);
    let mut y = vec![0.0; x.len()];
    let angles = cos.par_chunks(rows * half).zip(sin.par_chunks(rows * half));
    y.par_chunks_mut(rows * width).zip(x.par_chunks(rows * width)).zip(angles).for_each(|((y, x), (cos, sin))| {
        vectorised(
            #[inline(always)]
            || {
                let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
                for ((y, x), (cos, sin)) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(angles) {
                    for (y, x) in y.chunks_exact_mut(2 * half).zip(x.chunks_exact(2 * half)) {
                        turn_head(y, x, cos, sin, direction);
                    }
                }
            },
        );
    });
    y
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

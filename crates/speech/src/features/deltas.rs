//! Differences over time, as `torchaudio.functional.compute_deltas` has them with a window of five frames:
//!
//! ```text
//! d_t = Σ_{n=1}^{2} n (c_{t+n} − c_{t−n}) / (2 Σ n²),   with the first and last frame repeated beyond the ends
//! ```

use ndarray::{Array2, ArrayView2};

/// `N`: frames to either side.
const REACH: usize = 2;

/// `[frames, features]` to `[frames, features]`.
pub fn deltas(features: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut deltas = Array2::zeros(features.raw_dim());
    let Some(last) = features.nrows().checked_sub(1) else { return deltas };
    let divisor = 2.0 * (1..=REACH).map(|n| n * n).sum::<usize>() as f32;
    for (t, mut row) in deltas.outer_iter_mut().enumerate() {
        for n in 1..=REACH {
            let (before, after) = (features.row(t.saturating_sub(n)), features.row((t + n).min(last)));
            for ((delta, before), after) in row.iter_mut().zip(before).zip(after) {
                *delta += n as f32 * (after - before) / divisor;
            }
        }
    }
    deltas
}

//! Where centroids begin: k-means++ (Arthur and Vassilvitskii 2007), greedy as in scikit-learn: each new centroid is the best
//! of `2 + ⌊ln K⌋` frames that were drawn by the squares of their distances.

use ndarray::{Array2, ArrayView2, Axis};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::assignment::squared_distance;
use crate::error::SpeechError;

/// `count` of the frames, each at most once; all of them where there are no more.
pub(super) fn sample(frames: ArrayView2<'_, f32>, count: usize, rng: &mut ChaCha8Rng) -> Array2<f32> {
    let mut rows: Vec<usize> = (0..frames.nrows()).collect();
    let count = count.min(rows.len());
    // The first steps of a Fisher-Yates shuffle.
    for place in 0..count {
        let other = place + (rng.next_u64() % (rows.len() - place) as u64) as usize;
        rows.swap(place, other);
    }
    frames.select(Axis(0), &rows[..count])
}

/// `clusters` of the frames, far from one another. `[K, D]`
///
/// # Errors
/// When there are fewer distinct frames than clusters.
pub(super) fn plus_plus(
    frames: ArrayView2<'_, f32>,
    clusters: usize,
    rng: &mut ChaCha8Rng,
) -> Result<Array2<f32>, SpeechError> {
    let too_few = |found| SpeechError::too_few("distinct frames for k-means", clusters, found);
    let count = frames.nrows();
    if count < clusters {
        return Err(too_few(count));
    }
    let mut chosen = vec![(rng.next_u64() % count as u64) as usize];
    let mut nearest = distances(frames, chosen[0], &vec![f64::INFINITY; count]);
    let trials = 2 + (clusters as f64).ln() as usize;
    while chosen.len() < clusters {
        let inertia: f64 = nearest.iter().sum();
        if inertia <= 0.0 {
            return Err(too_few(chosen.len()));
        }
        let drawn: Vec<usize> = (0..trials).map(|_| draw(&nearest, inertia * unit(rng))).collect();
        let tried: Vec<(f64, usize, Vec<f64>)> = drawn
            .into_par_iter()
            .map(|row| {
                let distances = distances(frames, row, &nearest);
                (distances.iter().sum(), row, distances)
            })
            .collect();
        // The first of equals, so that the choice does not depend on threads.
        let best = tried.into_iter().reduce(|best, next| if next.0 < best.0 { next } else { best });
        let Some((_, row, distances)) = best else { return Err(too_few(chosen.len())) };
        chosen.push(row);
        nearest = distances;
    }
    Ok(frames.select(Axis(0), &chosen))
}

/// The squared distance of each frame to one of them, where that is less than `limits`. `[N]`
fn distances(frames: ArrayView2<'_, f32>, row: usize, limits: &[f64]) -> Vec<f64> {
    let center = frames.row(row);
    frames
        .outer_iter()
        .zip(limits)
        .map(|(frame, &limit)| f64::from(squared_distance(frame, center)).min(limit))
        .collect()
}

/// The row at which the running sum of weights passes `target`; never one of weight zero.
fn draw(weights: &[f64], target: f64) -> usize {
    let mut sum = 0.0;
    let passed = weights.iter().position(|weight| {
        sum += weight;
        sum > target
    });
    // Rounding may leave the target just above the whole sum.
    passed.or_else(|| weights.iter().rposition(|&weight| weight > 0.0)).unwrap_or(0)
}

/// A number in [0, 1).
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

//! k-means: `K` centroids that lie as near as may be to `N` frames of `D` numbers.
//!
//! ```text
//! inertia = Σ_n min_k |x_n − c_k|²,   |x − c|² = |x|² − 2 x·c + |c|²
//! ```
//!
//! Centroids start by greedy k-means++ (Arthur and Vassilvitskii 2007, with the trials of scikit-learn) several times, and the
//! start that a few of Lloyd's steps take farthest goes on: it takes mini-batch steps (Sculley 2010, algorithm 1) and settles
//! by Lloyd's steps. Frames are counted in chunks of fixed size whose sums are added in order, so the result is a function of
//! frames and seed, whatever the number of threads; processors that multiply matrices differently may differ in last digits.

mod assignment;
mod reservoir;
mod seeding;

use ndarray::{Array2, ArrayView2, Axis};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

pub use assignment::Centroids;
pub use reservoir::Reservoir;

use crate::error::SpeechError;

/// Lloyd's steps by which starts are compared.
const START_STEPS: usize = 10;

/// How centroids are looked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KmeansConfig {
    /// Frames of a mini-batch; starts are compared on three times as many.
    pub batch: usize,
    /// Mini-batch steps.
    pub mini_batches: usize,
    /// Lloyd's steps at most.
    pub iterations: usize,
    /// Lloyd's steps end when one lowers the inertia by less than this part of it.
    pub tolerance: f64,
    /// Starts of which the best goes on.
    pub starts: usize,
    /// What all choices are a function of.
    pub seed: u64,
}

impl Default for KmeansConfig {
    fn default() -> Self {
        Self { batch: 10_000, mini_batches: 100, iterations: 100, tolerance: 1e-4, starts: 10, seed: 0 }
    }
}

impl KmeansConfig {
    /// # Errors
    /// When a value is out of its range.
    pub fn validate(&self) -> Result<(), SpeechError> {
        let at_least_one = [("kmeans.batch", self.batch), ("kmeans.starts", self.starts)];
        if let Some((key, value)) = at_least_one.into_iter().find(|&(_, value)| value == 0) {
            return Err(SpeechError::setting(key, "a number from 1 up", value));
        }
        if !(0.0..1.0).contains(&self.tolerance) {
            return Err(SpeechError::setting("kmeans.tolerance", "a number from 0 to below 1", self.tolerance));
        }
        Ok(())
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Clustering {
    /// `[K, D]`
    pub centroids: Centroids,
    /// Sum of the squared distances of all frames to their centroids.
    pub inertia: f64,
    /// Lloyd's steps that were taken.
    pub iterations: usize,
}

/// Clusters frames.
///
/// # Shapes
/// - `frames`: `[N, D]`
///
/// # Errors
/// When a setting is out of its range, a number is not finite, or there are fewer distinct frames than clusters.
pub fn cluster(frames: ArrayView2<'_, f32>, clusters: usize, config: &KmeansConfig) -> Result<Clustering, SpeechError> {
    config.validate()?;
    if clusters == 0 {
        return Err(SpeechError::setting("units", "a number from 1 up", clusters));
    }
    if frames.iter().any(|value| !value.is_finite()) {
        return Err(SpeechError::malformed("k-means", "frames of finite numbers", "some that are NaN or infinite"));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let mut centroids = best_start(frames, clusters, config, &mut rng)?;
    mini_batches(&mut centroids, frames, config, &mut rng);
    Ok(lloyd(centroids, frames, config.iterations, config.tolerance))
}

/// The best of several starts on the same part of the frames. `[K, D]`
fn best_start(
    frames: ArrayView2<'_, f32>,
    clusters: usize,
    config: &KmeansConfig,
    rng: &mut ChaCha8Rng,
) -> Result<Array2<f32>, SpeechError> {
    let part = seeding::sample(frames, config.batch.saturating_mul(3).max(clusters), rng);
    let mut best = lloyd(seeding::plus_plus(part.view(), clusters, rng)?, part.view(), START_STEPS, config.tolerance);
    for _ in 1..config.starts {
        let next = lloyd(seeding::plus_plus(part.view(), clusters, rng)?, part.view(), START_STEPS, config.tolerance);
        if next.inertia < best.inertia {
            best = next;
        }
    }
    Ok(best.centroids.into_vectors())
}

/// Sculley's steps: every centroid moves toward its frames of a batch, by a rate of one over all it has seen.
fn mini_batches(centroids: &mut Array2<f32>, frames: ArrayView2<'_, f32>, config: &KmeansConfig, rng: &mut ChaCha8Rng) {
    let mut seen = vec![0.0f64; centroids.nrows()];
    let batch = config.batch.min(frames.nrows());
    for _ in 0..config.mini_batches {
        let rows: Vec<usize> = (0..batch).map(|_| (rng.next_u64() % frames.nrows() as u64) as usize).collect();
        let batch = frames.select(Axis(0), &rows);
        let sums = Centroids::new(centroids.clone()).sums(batch.view());
        for (cluster, mut centroid) in centroids.outer_iter_mut().enumerate() {
            let count = sums.counts[cluster] as f64;
            seen[cluster] += count;
            if count > 0.0 {
                for (center, sum) in centroid.iter_mut().zip(sums.vectors.row(cluster)) {
                    *center += ((sum - count * f64::from(*center)) / seen[cluster]) as f32;
                }
            }
        }
    }
}

/// Lloyd's steps: every centroid moves into the mean of its frames; one without any to the frame that is farthest from its own.
fn lloyd(mut vectors: Array2<f32>, frames: ArrayView2<'_, f32>, most: usize, tolerance: f64) -> Clustering {
    let mut iterations = 0;
    let mut previous = f64::INFINITY;
    loop {
        let centroids = Centroids::new(vectors);
        let sums = centroids.sums(frames);
        let settled = previous - sums.inertia <= tolerance * previous && !sums.counts.contains(&0);
        if iterations == most || (previous.is_finite() && settled) {
            return Clustering { centroids, inertia: sums.inertia, iterations };
        }
        previous = sums.inertia;
        iterations += 1;
        vectors = centroids.vectors().clone();
        let mut farthest = sums.farthest.iter();
        for (cluster, mut centroid) in vectors.outer_iter_mut().enumerate() {
            match sums.counts[cluster] {
                0 => {
                    if let Some(&(row, _)) = farthest.next() {
                        centroid.assign(&frames.row(row));
                    }
                }
                count => centroid.zip_mut_with(&sums.vectors.row(cluster), |center, sum| {
                    *center = (sum / count as f64) as f32;
                }),
            }
        }
    }
}

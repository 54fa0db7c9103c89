//! Which centroid is nearest, and sums over the frames of each.

use std::cmp::Ordering;

use ndarray::{Array2, ArrayView1, ArrayView2, s};
use rayon::prelude::*;

/// Frames of one matrix product. A constant, because sums are added chunk by chunk and must not depend on threads.
const CHUNK: usize = 2048;
/// How many of the frames that are farthest from their centroids a chunk remembers.
const FARTHEST: usize = 16;

/// Numbers that are added side by side.
const LANES: usize = 8;

/// Centroids with what distances to them need.
#[derive(Clone, Debug, PartialEq)]
pub struct Centroids {
    /// `[K, D]`
    vectors: Array2<f32>,
    /// `|c|²/2`, `[K]`
    half_norms: Vec<f32>,
}

/// Sums over frames by their nearest centroid.
pub(super) struct Sums {
    /// Frames of each cluster. `[K]`
    pub(super) counts: Vec<u64>,
    /// Sums of the frames of each cluster. `[K, D]`
    pub(super) vectors: Array2<f64>,
    /// Sum of squared distances.
    pub(super) inertia: f64,
    /// Rows of the frames that are farthest from their centroids and their squared distances, the farthest first.
    pub(super) farthest: Vec<(usize, f64)>,
}

impl Centroids {
    /// # Shapes
    /// - `vectors`: `[K, D]`, finite, `K` from 1 up
    pub(crate) fn new(vectors: Array2<f32>) -> Self {
        let half_norms = vectors.outer_iter().map(|vector| vector.dot(&vector) / 2.0).collect();
        Self { vectors, half_norms }
    }

    /// `[K, D]`
    pub fn vectors(&self) -> &Array2<f32> {
        &self.vectors
    }

    pub(super) fn into_vectors(self) -> Array2<f32> {
        self.vectors
    }

    /// The nearest centroid of each frame, the first where several are.
    ///
    /// # Shapes
    /// - `frames`: `[N, D]`; returns `[N]`
    pub fn nearest(&self, frames: ArrayView2<'_, f32>) -> Vec<u32> {
        // |x|² is the same for all centroids of a frame, so what is least is |c|²/2 − x·c.
        let products = frames.dot(&self.vectors.t());
        let nearest = |products: ArrayView1<'_, f32>| {
            let mut best = (f32::INFINITY, 0);
            for (cluster, (product, half_norm)) in products.iter().zip(&self.half_norms).enumerate() {
                let distance = half_norm - product;
                if distance < best.0 {
                    best = (distance, cluster as u32);
                }
            }
            best.1
        };
        products.outer_iter().map(nearest).collect()
    }

    /// Sums over all frames, `[N, D]`.
    pub(super) fn sums(&self, frames: ArrayView2<'_, f32>) -> Sums {
        let chunks = frames.nrows().div_ceil(CHUNK);
        let chunk = |index: usize| {
            let first = index * CHUNK;
            self.sums_of_chunk(frames.slice(s![first..frames.nrows().min(first + CHUNK), ..]), first)
        };
        let parts: Vec<Sums> = (0..chunks).into_par_iter().map(chunk).collect();
        let mut total = self.no_sums();
        for part in parts {
            total.counts.iter_mut().zip(&part.counts).for_each(|(total, count)| *total += count);
            total.vectors += &part.vectors;
            total.inertia += part.inertia;
            total.farthest.extend(part.farthest);
        }
        total.farthest.sort_by(farther);
        total
    }

    fn sums_of_chunk(&self, frames: ArrayView2<'_, f32>, first: usize) -> Sums {
        let mut sums = self.no_sums();
        for (row, (frame, cluster)) in frames.outer_iter().zip(self.nearest(frames)).enumerate() {
            let cluster = cluster as usize;
            sums.counts[cluster] += 1;
            sums.vectors.row_mut(cluster).zip_mut_with(&frame, |sum, &value| *sum += f64::from(value));
            let distance = f64::from(squared_distance(frame, self.vectors.row(cluster)));
            sums.inertia += distance;
            sums.farthest.push((first + row, distance));
        }
        sums.farthest.sort_by(farther);
        sums.farthest.truncate(FARTHEST);
        sums
    }

    fn no_sums(&self) -> Sums {
        let clusters = self.vectors.nrows();
        let vectors = Array2::zeros(self.vectors.raw_dim());
        Sums { counts: vec![0; clusters], vectors, inertia: 0.0, farthest: vec![] }
    }
}

/// `|x − c|²`, exactly 0 where the two are the same; unlike `|x|² − 2 x·c + |c|²`, which would tell equal frames apart.
pub(super) fn squared_distance(x: ArrayView1<'_, f32>, c: ArrayView1<'_, f32>) -> f32 {
    let (Some(x), Some(c)) = (x.as_slice(), c.as_slice()) else {
        return x.iter().zip(c).map(|(x, c)| (x - c) * (x - c)).sum();
    };
    // Sums side by side, because a single one would wait for each addition.
    let (x_chunks, x_rest) = x.as_chunks::<LANES>();
    let (c_chunks, c_rest) = c.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for (x, c) in x_chunks.iter().zip(c_chunks) {
        for lane in 0..LANES {
            lanes[lane] += (x[lane] - c[lane]) * (x[lane] - c[lane]);
        }
    }
    let rest = x_rest.iter().zip(c_rest).map(|(x, c)| (x - c) * (x - c));
    lanes.iter().sum::<f32>() + rest.sum::<f32>()
}

/// The farther frame first, and of equals the earlier one.
fn farther(a: &(usize, f64), b: &(usize, f64)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_the_same_however_frames_lie() {
        let frames = Array2::from_shape_fn((3, 39), |(row, column)| (row * 31 + column * 7) as f32 % 11.0);
        let columns = frames.t().as_standard_layout().into_owned();
        let exact: f32 = frames.row(0).iter().zip(frames.row(2)).map(|(a, b)| (a - b) * (a - b)).sum();
        // Whole numbers are added without rounding in any order.
        assert_eq!(squared_distance(frames.row(0), frames.row(2)), exact);
        assert_eq!(squared_distance(columns.t().row(0), frames.row(2)), exact);
        assert_eq!(squared_distance(frames.row(1), columns.t().row(1)), 0.0);
    }
}

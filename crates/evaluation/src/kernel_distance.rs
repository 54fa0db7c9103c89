//! Distances by kernels, which say something already for some hundreds of images.
//!
//! - KID (Binkowski et al., 1801.01401): the unbiased squared maximum mean discrepancy under `(x·y / d + 1)³`, over random
//!   subsets; torch-fidelity's defaults.
//! - CMMD (Jayasumana et al., 2401.09603): the biased one under a Gaussian of σ = 10, times 1000, on CLIP features of unit
//!   length; Google's code.

use ndarray::{Array2, ArrayView2, Axis};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use crate::error::EvaluationError;

/// KID over random subsets.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct KernelDistance {
    /// Over the subsets.
    pub mean: f64,
    /// Over the subsets, divided by their number as in numpy.
    pub std: f64,
    /// Subsets that were sampled.
    pub subsets: usize,
    /// Images of a subset: 1000, or as many as the smaller set has.
    pub subset_size: usize,
}

impl std::fmt::Display for KernelDistance {
    /// `0.067835 ± 0.001749`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.6} ± {:.6}", self.mean, self.std)
    }
}

/// Subsets of KID.
pub const SUBSETS: usize = 100;
/// Images of a subset.
pub const SUBSET_SIZE: usize = 1000;
/// σ of CMMD's kernel.
const SIGMA: f64 = 10.0;
/// What CMMD is multiplied by.
const SCALE: f64 = 1000.0;

/// KID of two sets of features `[count, dim]`; subsets are sampled from `seed`.
///
/// # Errors
/// When the features differ in length or a set has fewer than two.
pub fn kid(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>, seed: u64) -> Result<KernelDistance, EvaluationError> {
    check(&a, &b)?;
    let subset_size = SUBSET_SIZE.min(a.nrows()).min(b.nrows());
    let subsets = if subset_size == a.nrows() && subset_size == b.nrows() { 1 } else { SUBSETS };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |x: &ArrayView2<'_, f32>| -> Vec<usize> {
        let mut order: Vec<usize> = (0..x.nrows()).collect();
        order.partial_shuffle(&mut rng, subset_size).0.to_vec()
    };
    let sampled: Vec<[Vec<usize>; 2]> = (0..subsets).map(|_| [draw(&a), draw(&b)]).collect();
    let rows = |x: &ArrayView2<'_, f32>, rows: &[usize]| x.select(Axis(0), rows).mapv(f64::from);
    let distances: Vec<f64> =
        sampled.par_iter().map(|[of_a, of_b]| unbiased_discrepancy(&rows(&a, of_a), &rows(&b, of_b))).collect();
    let mean = distances.iter().sum::<f64>() / subsets as f64;
    let variance = distances.iter().map(|distance| (distance - mean).powi(2)).sum::<f64>() / subsets as f64;
    Ok(KernelDistance { mean, std: variance.sqrt(), subsets, subset_size })
}

/// `Σ_{i≠j} k(x_i, x_j) / m(m−1) + Σ_{i≠j} k(y_i, y_j) / m(m−1) − 2 Σ k(x_i, y_j) / m²`
fn unbiased_discrepancy(x: &Array2<f64>, y: &Array2<f64>) -> f64 {
    let (m, dim) = (x.nrows() as f64, x.ncols() as f64);
    let kernel = |a: &Array2<f64>, b: &Array2<f64>| a.dot(&b.t()).mapv_into(|dot| (dot / dim + 1.0).powi(3));
    let without_diagonal = |matrix: Array2<f64>| matrix.sum() - matrix.diag().sum();
    let within = without_diagonal(kernel(x, x)) + without_diagonal(kernel(y, y));
    within / (m * (m - 1.0)) - 2.0 * kernel(x, y).sum() / (m * m)
}

/// CMMD of two sets of features `[count, dim]`, which are brought to unit length first.
///
/// # Errors
/// When the features differ in length or a set has fewer than two.
pub fn cmmd(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Result<f64, EvaluationError> {
    check(&a, &b)?;
    let (a, b) = (unit(a), unit(b));
    let gamma = 1.0 / (2.0 * SIGMA * SIGMA);
    // At unit length, |x − y|² is 2 − 2 x·y.
    let mean = |a: &Array2<f64>, b: &Array2<f64>| {
        let kernel = a.dot(&b.t()).mapv_into(|dot| (-gamma * (2.0 - 2.0 * dot)).exp());
        kernel.mean().unwrap_or(f64::NAN)
    };
    Ok(SCALE * (mean(&a, &a) + mean(&b, &b) - 2.0 * mean(&a, &b)))
}

fn unit(x: ArrayView2<'_, f32>) -> Array2<f64> {
    let mut x = x.mapv(f64::from);
    for mut row in x.rows_mut() {
        let length = row.dot(&row).sqrt();
        row.mapv_inplace(|value| value / length);
    }
    x
}

pub(crate) fn check(a: &ArrayView2<'_, f32>, b: &ArrayView2<'_, f32>) -> Result<(), EvaluationError> {
    if a.ncols() != b.ncols() {
        return Err(EvaluationError::mismatch("features a vector", a.ncols(), b.ncols()));
    }
    let found = a.nrows().min(b.nrows());
    if found < 2 {
        return Err(EvaluationError::TooFew { what: "feature vectors", least: 2, found });
    }
    match a.iter().chain(b).all(|value| value.is_finite()) {
        true => Ok(()),
        false => Err(EvaluationError::NotFinite("the features")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution_fixture::{expected, features};

    #[test]
    fn the_numbers_are_those_of_the_reference_implementations() {
        let expected = expected();
        let (a, b) = (features(60, 8, 0, 1.0), features(60, 8, 1, 1.3));
        let found = kid(a.view(), b.view(), 0).unwrap();
        assert_eq!((found.subsets, found.subset_size, found.std), (1, 60, 0.0));
        assert!((found.mean - expected["kid"]).abs() < 1e-6, "{found:?}");
        let found = cmmd(a.view(), b.view()).unwrap();
        assert!((found - expected["cmmd"]).abs() < 1e-6, "{found}");
    }

    #[test]
    fn subsets_are_generated_where_a_set_is_larger() {
        let (a, b) = (features(60, 8, 0, 1.0), features(40, 8, 1, 1.3));
        let found = kid(a.view(), b.view(), 3).unwrap();
        assert_eq!((found.subsets, found.subset_size), (SUBSETS, 40));
        assert!(found.std > 0.0);
        assert_eq!(kid(a.view(), b.view(), 3).unwrap(), found, "a seed gives the same number");
        let of_itself = kid(a.view(), a.view(), 3).unwrap();
        assert!(of_itself.mean < found.mean);
        assert!(kid(a.view(), features(40, 7, 1, 1.0).view(), 0).is_err());
        assert!(cmmd(a.view(), features(1, 8, 1, 1.0).view()).unwrap_err().to_string().contains("at least 2"));
    }
}

//! The Fréchet distance between two sets of feature vectors, each taken as a Gaussian (Heusel et al. 2017, equation 6):
//!
//! ```text
//! d² = |μ₁ − μ₂|² + Tr S₁ + Tr S₂ − 2 Tr (S₁ S₂)^½
//! ```
//!
//! With the features of the 2015 Inception network it is the FID. With other features it is a number to compare within a
//! project only, and must carry another name. It falls as the number of images grows, so N belongs beside it.
//!
//! `S₁ S₂` is not symmetric, and its root by the general algorithm may turn complex. `S₁^½ S₂ S₁^½` has the same eigenvalues
//! and is symmetric, so two symmetric eigendecompositions in `f64` give the trace, for covariances of any rank.

use faer::{Mat, Side};
use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::EvaluationError;

/// The mean and spread of feature vectors that need never be in memory together.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    count: usize,
    mean: Array1<f64>,
    /// Σ (x − mean)(x − mean)ᵀ
    scatter: Array2<f64>,
}

impl Statistics {
    /// Of no vectors yet, of `dim` features each.
    pub fn new(dim: usize) -> Self {
        Self { count: 0, mean: Array1::zeros(dim), scatter: Array2::zeros((dim, dim)) }
    }

    /// Of all of `features` at once.
    ///
    /// # Shapes
    /// - `features`: `[count, dim]`
    ///
    /// # Errors
    /// A feature is NaN or infinite.
    pub fn of(features: ArrayView2<'_, f32>) -> Result<Self, EvaluationError> {
        let mut statistics = Self::new(features.ncols());
        statistics.add(features)?;
        Ok(statistics)
    }

    /// Takes more vectors in.
    ///
    /// # Shapes
    /// - `features`: `[count, dim]`
    ///
    /// # Errors
    /// The vectors are of another length than those before, or a feature is NaN or infinite; nothing is then taken in.
    pub fn add(&mut self, features: ArrayView2<'_, f32>) -> Result<(), EvaluationError> {
        if features.ncols() != self.mean.len() {
            return Err(EvaluationError::mismatch("features a vector", self.mean.len(), features.ncols()));
        }
        if features.iter().any(|value| !value.is_finite()) {
            return Err(EvaluationError::NotFinite("the features"));
        }
        let features = features.mapv(f64::from);
        let Some(mean) = features.mean_axis(Axis(0)) else { return Ok(()) };
        let centred = &features - &mean;
        let scatter = centred.t().dot(&centred);
        self.absorb(features.nrows(), &mean, &scatter);
        Ok(())
    }

    /// Takes in all that `other` has seen: as if its vectors had been added here.
    ///
    /// # Errors
    /// The vectors are of another length.
    pub fn merge(&mut self, other: &Self) -> Result<(), EvaluationError> {
        if other.mean.len() != self.mean.len() {
            return Err(EvaluationError::mismatch("features a vector", self.mean.len(), other.mean.len()));
        }
        self.absorb(other.count, &other.mean, &other.scatter);
        Ok(())
    }

    /// How many vectors were seen.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The mean vector, `[dim]`; zeros where there are none.
    pub fn mean(&self) -> &Array1<f64> {
        &self.mean
    }

    /// The unbiased covariance (over count − 1), `[dim, dim]`.
    ///
    /// # Errors
    /// Fewer than two vectors were seen.
    pub fn covariance(&self) -> Result<Array2<f64>, EvaluationError> {
        if self.count < 2 {
            return Err(EvaluationError::TooFew { what: "feature vectors", least: 2, found: self.count });
        }
        Ok(&self.scatter / (self.count - 1) as f64)
    }

    /// The mean and the covariance.
    ///
    /// # Errors
    /// Fewer than two vectors were seen.
    pub fn gaussian(&self) -> Result<Gaussian, EvaluationError> {
        Ok(Gaussian { mean: self.mean.clone(), covariance: self.covariance()? })
    }

    /// Chan, Golub & LeVeque 1979, equation 1.5: exact, and without the cancellation of Σ x xᵀ − n μ μᵀ.
    fn absorb(&mut self, count: usize, mean: &Array1<f64>, scatter: &Array2<f64>) {
        if count == 0 {
            return;
        }
        let total = (self.count + count) as f64;
        let shift = mean - &self.mean;
        let weight = self.count as f64 * count as f64 / total;
        let column = shift.view().insert_axis(Axis(1));
        self.scatter += scatter;
        self.scatter.scaled_add(weight, &column.dot(&column.t()));
        self.mean.scaled_add(count as f64 / total, &shift);
        self.count += count;
    }
}

/// A mean and a covariance: all that the distance needs, and what pytorch-fid keeps in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Gaussian {
    /// `[dim]`
    pub mean: Array1<f64>,
    /// Unbiased (over count − 1), `[dim, dim]`.
    pub covariance: Array2<f64>,
}

/// The squared Fréchet distance of two sets, from 0 up, in squared units of the features.
///
/// # Errors
/// The features differ in length, a set has fewer than two vectors, or no eigenvalues were found.
pub fn frechet_distance(a: &Statistics, b: &Statistics) -> Result<f64, EvaluationError> {
    distance_of_gaussians(&a.gaussian()?, &b.gaussian()?)
}

/// The squared Fréchet distance of two Gaussians.
///
/// # Errors
/// They differ in length, or no eigenvalues were found.
pub fn distance_of_gaussians(a: &Gaussian, b: &Gaussian) -> Result<f64, EvaluationError> {
    if a.mean.len() != b.mean.len() {
        return Err(EvaluationError::mismatch("features a vector", a.mean.len(), b.mean.len()));
    }
    let shift = &a.mean - &b.mean;
    let traces = a.covariance.diag().sum() + b.covariance.diag().sum();
    let distance = shift.dot(&shift) + traces - 2.0 * trace_of_root(&a.covariance, &b.covariance)?;
    // It is never negative, but for rounding.
    Ok(distance.max(0.0))
}

/// The squared Fréchet distance of two sets of features `[count, dim]`, of whatever numbers.
///
/// With fewer vectors than features on both sides no covariance is made: where `S₁ = AᵀA` and `S₂ = BᵀB`,
/// `Tr (S₁ S₂)^½` is the sum of the singular values of `A Bᵀ`, which is as small as the sets are.
///
/// # Errors
/// The features differ in length or are not finite, a set has fewer than two vectors, or no decomposition was found.
pub fn distance_of_features(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Result<f64, EvaluationError> {
    if a.nrows().max(b.nrows()) >= a.ncols() {
        return frechet_distance(&Statistics::of(a)?, &Statistics::of(b)?);
    }
    crate::kernel_distance::check(&a, &b)?;
    let centred = |x: ArrayView2<'_, f32>| {
        let x = x.mapv(f64::from);
        let mean = x.mean_axis(Axis(0)).unwrap_or_default();
        ((&x - &mean) / ((x.nrows() - 1) as f64).sqrt(), mean)
    };
    let ((a, mean_a), (b, mean_b)) = (centred(a), centred(b));
    let shift = &mean_a - &mean_b;
    let traces = a.iter().chain(&b).map(|x| x * x).sum::<f64>();
    let product = a.dot(&b.t());
    let product = Mat::from_fn(product.nrows(), product.ncols(), |row, column| product[[row, column]]);
    let singular = product.singular_values().map_err(|_| EvaluationError::NoEigenvalues)?;
    Ok((shift.dot(&shift) + traces - 2.0 * singular.iter().sum::<f64>()).max(0.0))
}

/// Tr (S₁ S₂)^½, by the eigenvalues of `Aᵀ S₂ A`, where `S₁ = A Aᵀ`.
fn trace_of_root(s1: &Array2<f64>, s2: &Array2<f64>) -> Result<f64, EvaluationError> {
    let dim = s1.nrows();
    let [s1, s2] = [s1, s2].map(|matrix| Mat::from_fn(dim, dim, |row, column| matrix[[row, column]]));
    let eigen = s1.self_adjoint_eigen(Side::Lower).map_err(|_| EvaluationError::NoEigenvalues)?;
    let roots = roots(&eigen.S().column_vector().iter().copied().collect::<Vec<f64>>());
    let vectors = eigen.U();
    let a = Mat::from_fn(dim, dim, |row, column| vectors[(row, column)] * roots[column]);
    let product = a.transpose() * &s2 * &a;
    let eigenvalues = product.self_adjoint_eigenvalues(Side::Lower).map_err(|_| EvaluationError::NoEigenvalues)?;
    Ok(self::roots(&eigenvalues).iter().sum())
}

/// The square roots of a covariance's eigenvalues.
///
/// Where the rank is short, rounding leaves ±1e-16 of the largest eigenvalue, whose root of 1e-8 would show in the sum; so
/// what cannot be told from zero is zero.
fn roots(eigenvalues: &[f64]) -> Vec<f64> {
    let largest = eigenvalues.iter().copied().fold(0.0, f64::max);
    let least = largest * f64::EPSILON * eigenvalues.len() as f64;
    eigenvalues.iter().map(|&value| if value > least { value.sqrt() } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, s};
    use serde::Deserialize;

    use super::*;

    /// A case of `frechet_fixture/generate.py`.
    #[derive(Deserialize)]
    struct Case {
        name: String,
        a: Vec<Vec<f32>>,
        b: Vec<Vec<f32>>,
        distance: f64,
    }

    fn cases() -> Vec<Case> {
        serde_json::from_str(include_str!("frechet_fixture/cases.json")).unwrap()
    }

    fn matrix(rows: &[Vec<f32>]) -> Array2<f32> {
        Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, column)| rows[row][column])
    }

    fn statistics(rows: &[Vec<f32>]) -> Statistics {
        Statistics::of(matrix(rows).view()).unwrap()
    }

    #[test]
    fn it_agrees_with_scipy() {
        for Case { name, a, b, distance } in cases() {
            let found = frechet_distance(&statistics(&a), &statistics(&b)).unwrap();
            assert!((found - distance).abs() < 1e-9 * distance.max(1.0), "{name}: {found} for {distance}");
        }
    }

    /// Statistics as they stand in a file.
    #[derive(Deserialize)]
    struct Pair {
        name: String,
        a: Moments,
        b: Moments,
        distance: f64,
    }

    #[derive(Deserialize)]
    struct Moments {
        mean: Vec<f64>,
        covariance: Vec<Vec<f64>>,
    }

    #[test]
    fn covariances_of_a_bad_condition_keep_their_digits() {
        let pairs: Vec<Pair> = serde_json::from_str(include_str!("frechet_fixture/gaussians.json")).unwrap();
        for Pair { name, a, b, distance } in pairs {
            let [a, b] = [a, b].map(|Moments { mean, covariance }| Gaussian {
                covariance: Array2::from_shape_fn((mean.len(), mean.len()), |(row, column)| covariance[row][column]),
                mean: mean.into(),
            });
            for (a, b) in [(&a, &b), (&b, &a)] {
                let found = distance_of_gaussians(a, b).unwrap();
                assert!((found / distance - 1.0).abs() < 1e-6, "{name}: {found} for {distance}");
            }
            assert!(distance_of_gaussians(&a, &a).unwrap() < 1e-7 * a.covariance.diag().sum(), "{name}");
        }
    }

    #[test]
    fn a_set_is_at_no_distance_from_itself() {
        for Case { name, a, .. } in cases() {
            let a = statistics(&a);
            let found = frechet_distance(&a, &a).unwrap();
            assert!(found < 1e-9, "{name}: {found}");
        }
    }

    #[test]
    fn sets_smaller_than_their_features_need_no_covariance() {
        let expected = crate::distribution_fixture::expected()["frechet_of_few"];
        let features = crate::distribution_fixture::features;
        let (a, b) = (features(12, 40, 0, 1.0), features(15, 40, 1, 1.3));
        let found = distance_of_features(a.view(), b.view()).unwrap();
        assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
        let by_covariances =
            frechet_distance(&Statistics::of(a.view()).unwrap(), &Statistics::of(b.view()).unwrap()).unwrap();
        assert!((found / by_covariances - 1.0).abs() < 1e-6, "{found} {by_covariances}");
        let swapped = distance_of_features(b.view(), a.view()).unwrap();
        assert!((found / swapped - 1.0).abs() < 1e-9 && distance_of_features(a.view(), a.view()).unwrap() < 1e-9);
        for (rows, dim) in [(60, 8), (12, 40)] {
            let whole = features(rows, dim, 0, 1.0);
            let other = features(rows, dim, 1, 1.3);
            let found = distance_of_features(whole.view(), other.view()).unwrap();
            let expected =
                frechet_distance(&Statistics::of(whole.view()).unwrap(), &Statistics::of(other.view()).unwrap());
            assert!((found / expected.unwrap() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn a_shift_adds_its_square() {
        let a = matrix(&cases()[0].a);
        let shifted = a.mapv(|value| value + 0.5);
        let [a, shifted] = [a, shifted].map(|set| Statistics::of(set.view()).unwrap());
        let found = frechet_distance(&a, &shifted).unwrap();
        assert!((found - 6.0 * 0.25).abs() < 1e-9, "{found}");
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        // The second case has a mean of a hundred times its spread, which Σ x xᵀ − n μ μᵀ would not survive in f32.
        let all = matrix(&cases()[1].a);
        let whole = Statistics::of(all.view()).unwrap();
        let mut parts = Statistics::new(6);
        parts.add(all.slice(s![..1, ..])).unwrap();
        parts.add(all.slice(s![1..1, ..])).unwrap();
        parts.merge(&Statistics::of(all.slice(s![1..13, ..])).unwrap()).unwrap();
        parts.add(all.slice(s![13.., ..])).unwrap();
        assert_eq!(parts.count(), whole.count());
        let difference = (&parts.covariance().unwrap() - &whole.covariance().unwrap()).mapv(f64::abs).sum();
        assert!(difference < 1e-9, "{difference}");
        assert!((parts.mean() - whole.mean()).mapv(f64::abs).sum() < 1e-9);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut statistics = Statistics::new(2);
        assert!(matches!(statistics.covariance(), Err(EvaluationError::TooFew { .. })));
        let wrong = statistics.add(Array2::zeros((1, 3)).view());
        assert_eq!(wrong.unwrap_err().to_string(), "features a vector: expected 2, found 3");
        let nan = statistics.add(Array2::from_elem((1, 2), f32::NAN).view());
        assert!(matches!(nan, Err(EvaluationError::NotFinite(_))));
        assert_eq!(statistics, Statistics::new(2));
    }
}

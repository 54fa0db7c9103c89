//! Fidelity and variety apart from each other, by balls around the images of a set that reach to their k-th neighbours.
//!
//! - precision and recall (Kynkäänniemi et al., 1904.06991)
//! - density and coverage (Naeem et al., 2002.09797), which single outliers do not upset

use ndarray::{Array2, ArrayView2};

use crate::error::EvaluationError;
use crate::kernel_distance::check;

/// The four fractions.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Manifold {
    /// Fraction of generated images within a ball around a real one.
    pub precision: f64,
    /// Fraction of real images within a ball around a generated one.
    pub recall: f64,
    /// Balls around real images that a generated one lies in, divided by k; may be above 1.
    pub density: f64,
    /// Fraction of real images whose ball holds a generated one.
    pub coverage: f64,
    /// Neighbours that a ball reaches to.
    pub neighbours: usize,
}

impl std::fmt::Display for Manifold {
    /// `precision 0.9003  recall 0.9553  density 0.3168  coverage 0.8969`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { precision, recall, density, coverage, .. } = self;
        write!(f, "precision {precision:.4}  recall {recall:.4}  density {density:.4}  coverage {coverage:.4}")
    }
}

/// Neighbours that a ball reaches to, as in the paper on density and coverage.
pub const NEIGHBOURS: usize = 5;

/// The fractions of generated features among real ones, each `[count, dim]`.
///
/// # Errors
/// When the features differ in length or a set has no more than `neighbours`.
pub fn manifold(
    real: ArrayView2<'_, f32>,
    generated: ArrayView2<'_, f32>,
    neighbours: usize,
) -> Result<Manifold, EvaluationError> {
    check(&real, &generated)?;
    let found = real.nrows().min(generated.nrows());
    if neighbours == 0 || found <= neighbours {
        return Err(EvaluationError::TooFew { what: "feature vectors", least: neighbours + 1, found });
    }
    let (real, generated) = (real.mapv(f64::from), generated.mapv(f64::from));
    let (real_radii, generated_radii) = (radii(&real, neighbours), radii(&generated, neighbours));
    // [real, generated]
    let between = distances(&real, &generated);
    let (rows, columns) = between.dim();
    let in_real_ball = |row: usize, column: usize| between[[row, column]] < real_radii[row];
    let fraction = |count: usize, of: usize| count as f64 / of as f64;
    let precise = (0..columns).filter(|&column| (0..rows).any(|row| in_real_ball(row, column))).count();
    let recalled =
        (0..rows).filter(|&row| (0..columns).any(|column| between[[row, column]] < generated_radii[column])).count();
    let covered = (0..rows).filter(|&row| (0..columns).any(|column| in_real_ball(row, column))).count();
    let hits: usize = (0..rows).map(|row| (0..columns).filter(|&column| in_real_ball(row, column)).count()).sum();
    Ok(Manifold {
        precision: fraction(precise, columns),
        recall: fraction(recalled, rows),
        density: fraction(hits, neighbours * columns),
        coverage: fraction(covered, rows),
        neighbours,
    })
}

/// The squared distance of every vector to its k-th neighbour.
fn radii(x: &Array2<f64>, neighbours: usize) -> Vec<f64> {
    let distances = distances(x, x);
    let radius = |row: usize| {
        let mut others: Vec<f64> =
            distances.row(row).iter().enumerate().filter(|&(column, _)| column != row).map(|(_, d)| *d).collect();
        *others.select_nth_unstable_by(neighbours - 1, f64::total_cmp).1
    };
    (0..x.nrows()).map(radius).collect()
}

/// Squared distances, `[a, b]`.
fn distances(a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
    let lengths = |x: &Array2<f64>| -> Vec<f64> { x.rows().into_iter().map(|row| row.dot(&row)).collect() };
    let (of_a, of_b) = (lengths(a), lengths(b));
    let mut products = a.dot(&b.t());
    for ((row, column), product) in products.indexed_iter_mut() {
        *product = (of_a[row] + of_b[column] - 2.0 * *product).max(0.0);
    }
    products
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution_fixture::{expected, features};

    #[test]
    fn the_shares_are_those_of_the_package_prdc() {
        let expected = expected();
        let (real, generated) = (features(60, 8, 0, 1.0), features(50, 8, 1, 1.3));
        let found = manifold(real.view(), generated.view(), NEIGHBOURS).unwrap();
        for (name, value) in [
            ("precision", found.precision),
            ("recall", found.recall),
            ("density", found.density),
            ("coverage", found.coverage),
        ] {
            assert!((value - expected[name]).abs() < 1e-6, "{name}: {value} {}", expected[name]);
        }
        let few = manifold(features(5, 8, 0, 1.0).view(), generated.view(), NEIGHBOURS);
        assert!(few.unwrap_err().to_string().contains("at least 6"));
    }
}

//! Damped Newton steps to the very bottom.
//!
//! The Hessian comes from central differences of the exact gradient. Where the second derivative jumps this is the semismooth
//! Newton method (Qi & Sun 1993), which needs a few steps once the rows within the threshold no longer change.

use super::{Objective, Point, dot};

/// Steps after which polishing gives up.
const MOST_STEPS: usize = 60;

/// Goes on from `point` until the norm of the gradient is at most `gradient_norm`, or no step lowers the value or the gradient.
pub(crate) fn polish(objective: &impl Objective, point: Point, gradient_norm: f64) -> Point {
    let mut point = point;
    for _ in 0..MOST_STEPS {
        if point.gradient_norm() <= gradient_norm || !point.value.is_finite() {
            break;
        }
        match step(objective, &point) {
            Some(next) => point = next,
            None => break,
        }
    }
    point
}

/// A better point by `(H + λ I) p = −g`, with the least λ that gives one (Levenberg 1944).
fn step(objective: &impl Objective, point: &Point) -> Option<Point> {
    let hessian = hessian(objective, point);
    let scale = (0..point.at.len()).map(|i| hessian[i][i].abs()).fold(point.gradient_norm(), f64::max);
    let downhill: Vec<f64> = point.gradient.iter().map(|slope| -slope).collect();
    let dampings =
        std::iter::once(0.0).chain((0..30).map(|exponent| scale * 1e-14 * 10f64.powf(f64::from(exponent) * 0.7)));
    for damping in dampings {
        let Some(direction) = solve(&hessian, damping, &downhill) else { continue };
        let next = point.moved(objective, &direction, 1.0);
        if is_better(&next, point, dot(&point.gradient, &direction)) {
            return Some(next);
        }
    }
    None
}

/// Lower by a tenth of what the gradient promises for a quadratic or, where that is beyond rounding, with a smaller gradient.
fn is_better(next: &Point, point: &Point, slope: f64) -> bool {
    let rounding = 1e-13 * (1.0 + point.value.abs());
    if slope.abs() > rounding {
        return next.value < point.value + 0.05 * slope;
    }
    next.value < point.value + rounding && next.gradient_norm() < point.gradient_norm()
}

/// Symmetric, by central differences of the gradient.
fn hessian(objective: &impl Objective, point: &Point) -> Vec<Vec<f64>> {
    let dimension = point.at.len();
    let rows: Vec<Vec<f64>> = (0..dimension)
        .map(|i| {
            let step = 1e-6 * (1.0 + point.at[i].abs());
            let gradient_at = |by: f64| {
                let mut at = point.at.clone();
                at[i] += by;
                Point::of(objective, at).gradient
            };
            let (up, down) = (gradient_at(step), gradient_at(-step));
            up.iter().zip(&down).map(|(up, down)| (up - down) / (2.0 * step)).collect()
        })
        .collect();
    (0..dimension).map(|i| (0..dimension).map(|j| 0.5 * (rows[i][j] + rows[j][i])).collect()).collect()
}

/// Solves `(H + λ I) p = right` by Cholesky's decomposition; nothing where the matrix is not positive definite.
fn solve(hessian: &[Vec<f64>], damping: f64, right: &[f64]) -> Option<Vec<f64>> {
    let dimension = right.len();
    let mut lower = vec![vec![0.0; dimension]; dimension];
    for i in 0..dimension {
        for j in 0..=i {
            let rest = hessian[i][j] - dot(&lower[i][..j], &lower[j][..j]);
            if i == j {
                let pivot = rest + damping;
                // Below rounding of the entry it came from, a pivot is noise.
                if pivot.is_nan() || pivot <= 1e-13 * hessian[i][i].abs() {
                    return None;
                }
                lower[i][i] = pivot.sqrt();
            } else {
                lower[i][j] = rest / lower[j][j];
            }
        }
    }
    let mut solution = right.to_vec();
    for i in 0..dimension {
        solution[i] = (solution[i] - dot(&lower[i][..i], &solution[..i])) / lower[i][i];
    }
    for i in (0..dimension).rev() {
        let above: f64 = (i + 1..dimension).map(|j| lower[j][i] * solution[j]).sum();
        solution[i] = (solution[i] - above) / lower[i][i];
    }
    Some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimize::tests::Rosenbrock;

    #[test]
    fn the_gradient_vanishes_at_the_bottom() {
        let end = polish(&Rosenbrock, Point::of(&Rosenbrock, vec![-1.2, 1.0, 0.5]), 1e-12);
        assert!(end.gradient_norm() <= 1e-12, "{end:?}");
        assert!(end.at.iter().all(|at| (at - 1.0).abs() < 1e-9), "{end:?}");
    }

    #[test]
    fn a_system_is_solved_and_an_indefinite_one_refused() {
        let matrix = vec![vec![4.0, 2.0], vec![2.0, 3.0]];
        let solution = solve(&matrix, 0.0, &[2.0, 5.0]).unwrap();
        assert!((solution[0] + 0.5).abs() < 1e-14 && (solution[1] - 2.0).abs() < 1e-14, "{solution:?}");
        let saddle = vec![vec![1.0, 2.0], vec![2.0, 1.0]];
        assert!(solve(&saddle, 0.0, &[1.0, 1.0]).is_none());
        assert!(solve(&saddle, 2.0, &[1.0, 1.0]).is_some());
    }

    #[test]
    fn a_kink_in_the_gradient_is_no_obstacle() {
        /// Huber's loss of three numbers with threshold 1e-3, whose second derivative jumps.
        struct Kinked;
        impl Objective for Kinked {
            fn evaluate(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
                gradient.fill(0.0);
                let mut value = 0.0;
                for (target, weight) in [(0.1, 1.0), (0.1012, 1.5), (0.3, 1.0)] {
                    let residual: f64 = weight * (at[0] - target);
                    let inside = residual.abs() <= 1e-3;
                    value += if inside { residual * residual / 2e-3 } else { residual.abs() - 5e-4 };
                    gradient[0] += weight * (residual / 1e-3).clamp(-1.0, 1.0);
                }
                value
            }
        }
        let end = polish(&Kinked, Point::of(&Kinked, vec![0.5]), 1e-12);
        assert!(end.gradient_norm() <= 1e-12, "{end:?}");
    }
}

//! Huber's loss of the residuals of a law (Huber 1964).
//!
//! ```text
//! ρ(r) = r²/2 for |r| ≤ δ, δ (|r| − δ/2) beyond
//! ```
//!
//! The sum over rows is minimized, never the mean, and it is divided by δ: the gradient is then `Σ w clamp(r/δ, −1, 1) ∂r`, a
//! signed count of rows, whose vanishing means the same for every δ and every table. Fits that minimize the mean by an optimizer
//! with fixed tolerances stop after a few iterations, because values of 1e-6 look converged.

use crate::optimize::Objective;

/// The residuals of a law at the rows of a table.
pub(crate) trait Residuals: Sync {
    /// Rows.
    fn rows(&self) -> usize;

    /// The residual of a row at the constants `at`, not finite outside the domain; writes its gradient.
    fn residual(&self, row: usize, at: &[f64], gradient: &mut [f64]) -> f64;
}

/// `Σ w ρ(r) / δ`.
pub(crate) struct Huber<'a, R> {
    pub(crate) residuals: &'a R,
    /// How often each row counts; once where there are none.
    pub(crate) weights: Option<&'a [f64]>,
    /// δ, above 0; infinity is least squares, without the division.
    pub(crate) delta: f64,
}

impl<R: Residuals> Objective for Huber<'_, R> {
    fn evaluate(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        let scale = if self.delta.is_finite() { self.delta } else { 1.0 };
        let mut slopes = vec![0.0; at.len()];
        let mut value = 0.0;
        for row in 0..self.residuals.rows() {
            let weight = self.weights.map_or(1.0, |weights| weights[row]);
            if weight == 0.0 {
                continue;
            }
            let residual = self.residuals.residual(row, at, &mut slopes);
            if !residual.is_finite() {
                return f64::INFINITY;
            }
            value += weight * huber(residual, self.delta) / scale;
            let pull = weight * residual.clamp(-self.delta, self.delta) / scale;
            gradient.iter_mut().zip(&slopes).for_each(|(gradient, slope)| *gradient += pull * slope);
        }
        value
    }
}

/// ρ(r).
fn huber(residual: f64, delta: f64) -> f64 {
    let size = residual.abs();
    if size <= delta { 0.5 * size * size } else { delta * (size - 0.5 * delta) }
}

/// `Σ ρ(r)` of residuals.
pub(crate) fn huber_sum(residuals: &[f64], delta: f64) -> f64 {
    residuals.iter().map(|residual| huber(*residual, delta)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_it_is_a_square_and_outside_a_line() {
        assert_eq!(huber(-5e-4, 1e-3), 0.5 * 5e-4 * 5e-4);
        assert!((huber(2.0, 0.5) - 0.5 * 1.75).abs() < 1e-15);
        assert_eq!(huber(3.0, f64::INFINITY), 4.5);
        assert!((huber_sum(&[1.0, -2.0], 1.0) - 2.0).abs() < 1e-15);
    }
}

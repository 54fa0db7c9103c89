//! Minimizing a smooth function of a few constants from many starts, until its gradient vanishes.
//!
//! Scaling laws are fitted by a robust loss that is nearly a least-absolute-deviation one, whose second derivative jumps wherever
//! a residual passes the threshold. Published fits have stopped early there. So there are two stages:
//! 1. L-BFGS with a strong-Wolfe line search from every start, loosely ([`lbfgs`](lbfgs::minimize));
//! 2. from the best of them, damped Newton steps until the norm of the gradient is below a stated tolerance ([`newton`]), which
//!    is part of every result.
//!
//! The optimizers are our own because the second stage decides the answer, and because ten thousand fits of five numbers are run
//! for one table with intervals.

mod lbfgs;
mod line_search;
mod newton;
mod starts;

pub(crate) use starts::{from_start, from_starts};

/// A function to be minimized, with its exact gradient.
pub(crate) trait Objective: Sync {
    /// The value at `at`, or infinity outside the domain; writes the gradient, one number a constant.
    fn evaluate(&self, at: &[f64], gradient: &mut [f64]) -> f64;
}

/// A place with its value and gradient.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    pub(crate) at: Vec<f64>,
    pub(crate) value: f64,
    pub(crate) gradient: Vec<f64>,
}

impl Point {
    pub(crate) fn of(objective: &impl Objective, at: Vec<f64>) -> Self {
        let mut gradient = vec![0.0; at.len()];
        let value = objective.evaluate(&at, &mut gradient);
        Self { at, value, gradient }
    }

    /// The largest component of the gradient; infinity where it is not finite.
    pub(crate) fn gradient_norm(&self) -> f64 {
        let finite = self.value.is_finite() && self.gradient.iter().all(|slope| slope.is_finite());
        if finite { self.gradient.iter().fold(0.0, |norm, slope| slope.abs().max(norm)) } else { f64::INFINITY }
    }

    /// The place `step` times `direction` away.
    fn moved(&self, objective: &impl Objective, direction: &[f64], step: f64) -> Self {
        Self::of(objective, self.at.iter().zip(direction).map(|(at, along)| at + step * along).collect())
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Rosenbrock's valley in any number of dimensions; its minimum is 0 at ones.
    pub(crate) struct Rosenbrock;

    impl Objective for Rosenbrock {
        fn evaluate(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
            gradient.fill(0.0);
            let mut value = 0.0;
            for i in 0..at.len() - 1 {
                let (valley, slope) = (at[i + 1] - at[i] * at[i], 1.0 - at[i]);
                value += 100.0 * valley * valley + slope * slope;
                gradient[i] += -400.0 * at[i] * valley - 2.0 * slope;
                gradient[i + 1] += 200.0 * valley;
            }
            value
        }
    }

    /// The largest deviation of the gradient from central differences, relative to its size.
    pub(crate) fn gradient_error(objective: &impl Objective, at: &[f64]) -> f64 {
        let point = Point::of(objective, at.to_vec());
        let scale = 1.0 + point.gradient_norm();
        let difference = |i: usize| {
            let step = 1e-6 * (1.0 + at[i].abs());
            let shifted = |by: f64| {
                let mut at = at.to_vec();
                at[i] += by;
                Point::of(objective, at).value
            };
            (shifted(step) - shifted(-step)) / (2.0 * step)
        };
        (0..at.len()).map(|i| (difference(i) - point.gradient[i]).abs() / scale).fold(0.0, f64::max)
    }

    #[test]
    fn the_gradient_of_the_valley_is_exact() {
        assert!(gradient_error(&Rosenbrock, &[-1.2, 1.0, 0.3]) < 1e-7);
    }
}

//! A line search that ends at a step of the strong Wolfe conditions (Nocedal & Wright 2006, algorithms 3.5 and 3.6):
//!
//! ```text
//! φ(t) ≤ φ(0) + c₁ t φ'(0)    (3.7a)        |φ'(t)| ≤ c₂ |φ'(0)|    (3.7b)
//! ```
//!
//! φ(t) is the objective at `start + t direction`. A value that is not finite counts as too high.

use super::{Objective, Point, dot};

/// c₁: the decrease that is asked for.
const DECREASE: f64 = 1e-4;
/// c₂: how much flatter it must become.
const CURVATURE: f64 = 0.9;
/// Evaluations after which a search gives up.
const MOST_EVALUATIONS: usize = 40;

/// A step that was tried.
struct Trial {
    step: f64,
    slope: f64,
    point: Point,
}

/// One search from a point along a direction of descent.
struct Search<'a, O> {
    objective: &'a O,
    start: &'a Point,
    direction: &'a [f64],
    /// φ'(0), below 0.
    slope: f64,
    evaluations: usize,
}

/// A point of the strong Wolfe conditions along `direction`, tried first at `first` times it; nothing when there is none to be
/// found, as at a minimum to rounding.
pub(super) fn search<O: Objective>(objective: &O, start: &Point, direction: &[f64], first: f64) -> Option<Point> {
    let slope = dot(&start.gradient, direction);
    if !(slope < 0.0 && slope.is_finite()) {
        return None;
    }
    Search { objective, start, direction, slope, evaluations: 0 }.bracket(first)
}

impl<O: Objective> Search<'_, O> {
    /// Algorithm 3.5: goes outwards until a good step lies between two that were tried.
    fn bracket(&mut self, first: f64) -> Option<Point> {
        let mut before = Trial { step: 0.0, slope: self.slope, point: self.start.clone() };
        let mut step = first;
        while self.evaluations < MOST_EVALUATIONS {
            let trial = self.at(step);
            if self.too_high(&trial) || (before.step > 0.0 && trial.point.value >= before.point.value) {
                return self.zoom(before, trial);
            }
            if self.flat_enough(&trial) {
                return Some(trial.point);
            }
            if trial.slope >= 0.0 {
                return self.zoom(trial, before);
            }
            before = trial;
            step *= 2.5;
        }
        None
    }

    /// Algorithm 3.6: narrows down between `low`, the better end, and `high`.
    fn zoom(&mut self, mut low: Trial, mut high: Trial) -> Option<Point> {
        while self.evaluations < MOST_EVALUATIONS && (high.step - low.step).abs() > 1e-16 * low.step.abs() {
            let trial = self.at(between(&low, &high));
            if self.too_high(&trial) || trial.point.value >= low.point.value {
                high = trial;
                continue;
            }
            if self.flat_enough(&trial) {
                return Some(trial.point);
            }
            if trial.slope * (high.step - low.step) >= 0.0 {
                high = low;
            }
            low = trial;
        }
        // A step that lowers the value is of use even where it is not flat enough.
        (low.step > 0.0 && low.point.value < self.start.value).then_some(low.point)
    }

    fn at(&mut self, step: f64) -> Trial {
        self.evaluations += 1;
        let point = self.start.moved(self.objective, self.direction, step);
        Trial { step, slope: dot(&point.gradient, self.direction), point }
    }

    /// Not equation 3.7a.
    fn too_high(&self, trial: &Trial) -> bool {
        let highest = self.start.value + DECREASE * trial.step * self.slope;
        !(trial.point.value <= highest && trial.slope.is_finite())
    }

    /// Equation 3.7b.
    fn flat_enough(&self, trial: &Trial) -> bool {
        trial.slope.abs() <= CURVATURE * self.slope.abs()
    }
}

/// The minimum of the cubic through both ends (equation 3.59), or the middle where that is not well inside.
fn between(low: &Trial, high: &Trial) -> f64 {
    let width = high.step - low.step;
    let d1 = low.slope + high.slope - 3.0 * (low.point.value - high.point.value) / (low.step - high.step);
    let d2 = width.signum() * (d1 * d1 - low.slope * high.slope).sqrt();
    let cubic = high.step - width * (high.slope + d2 - d1) / (high.slope - low.slope + 2.0 * d2);
    let place = (cubic - low.step) / width;
    // NaN is outside as well.
    if (0.1..=0.9).contains(&place) { cubic } else { low.step + 0.5 * width }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimize::tests::Rosenbrock;

    #[test]
    fn a_step_meets_both_conditions() {
        let start = Point::of(&Rosenbrock, vec![-1.2, 1.0]);
        let direction: Vec<f64> = start.gradient.iter().map(|slope| -slope).collect();
        for first in [1e-8, 1e-3, 1.0, 1e4] {
            let slope = dot(&start.gradient, &direction);
            let found = search(&Rosenbrock, &start, &direction, first).unwrap();
            let step = (found.at[0] - start.at[0]) / direction[0];
            assert!(found.value <= start.value + DECREASE * step * slope, "first {first}");
            assert!(dot(&found.gradient, &direction).abs() <= CURVATURE * slope.abs(), "first {first}");
        }
        assert!(search(&Rosenbrock, &start, &start.gradient, 1.0).is_none(), "uphill");
    }
}

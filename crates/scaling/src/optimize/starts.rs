//! One minimum from many starts.

use rayon::prelude::*;

use super::lbfgs::{self, Stop};
use super::newton::polish;
use super::{Objective, Point};

/// Every start is followed loosely, the best are followed to the end.
const LOOSE: Stop = Stop { gradient_norm: 1e-5, iterations: 250, progress: 1e-6 };
/// Of the second stage, before Newton's steps.
const TIGHT: Stop = Stop { gradient_norm: 1e-7, iterations: 1000, progress: 1e-12 };
/// Starts that are followed to the end.
const FINALISTS: usize = 16;
/// Values this near to the least, relative to it, count as the same minimum.
const SAME: f64 = 1e-6;

/// The best of many starts.
#[derive(Debug, Clone)]
pub(crate) struct MultiStart {
    /// The minimum.
    pub(crate) best: Point,
    /// How many of the starts came within one millionth of its value in the first, loose stage.
    pub(crate) reached: usize,
    /// Different ends of the starts, the best first: other minima, and places on the way.
    pub(crate) ends: Vec<Point>,
}

/// Minimizes from each of `starts`, at least one; the order of the starts decides between equals, the count of threads nothing.
/// Nothing where no start has a finite value.
pub(crate) fn from_starts(objective: &impl Objective, starts: &[Vec<f64>], gradient_norm: f64) -> Option<MultiStart> {
    let mut ends: Vec<Point> = starts
        .par_iter()
        .map(|start| lbfgs::minimize(objective, Point::of(objective, start.clone()), LOOSE))
        .filter(|end| end.value.is_finite())
        .collect();
    ends.sort_by(|a, b| a.value.total_cmp(&b.value));
    let loose: Vec<f64> = ends.iter().map(|end| end.value).collect();
    // Ends of one minimum need not be followed twice.
    ends.dedup_by(|next, kept| next.value - kept.value <= 1e-9 * kept.value.abs());
    ends.truncate(FINALISTS);
    let mut finals: Vec<Point> = ends.into_par_iter().map(|end| from_start(objective, end.at, gradient_norm)).collect();
    finals.sort_by(|a, b| a.value.total_cmp(&b.value));
    let best = finals.first()?.clone();
    let highest = best.value + SAME * best.value.abs();
    let reached = loose.iter().filter(|value| **value <= highest).count();
    finals.dedup_by(|next, kept| next.value - kept.value <= SAME * kept.value.abs());
    Some(MultiStart { best, reached, ends: finals })
}

/// The minimum from one start near to it.
pub(crate) fn from_start(objective: &impl Objective, start: Vec<f64>, gradient_norm: f64) -> Point {
    polish(objective, lbfgs::minimize(objective, Point::of(objective, start), TIGHT), gradient_norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two wells, the deeper one at 2 with value −1.
    struct Wells;

    impl Objective for Wells {
        fn evaluate(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
            let well = |center: f64, depth: f64| {
                let away = at[0] - center;
                let value = -depth * (-away * away).exp();
                (value, -2.0 * away * value)
            };
            let (a, b) = (well(-2.0, 0.5), well(2.0, 1.0));
            gradient[0] = a.1 + b.1;
            a.0 + b.0
        }
    }

    #[test]
    fn the_deeper_well_is_found_and_counted() {
        let starts: Vec<Vec<f64>> = (0..9).map(|i| vec![-3.0 + 0.75 * f64::from(i)]).collect();
        let found = from_starts(&Wells, &starts, 1e-10).unwrap();
        assert!((found.best.at[0] - 2.0).abs() < 1e-6, "{:?}", found.best);
        assert!(found.best.gradient_norm() <= 1e-10);
        assert!((3..9).contains(&found.reached), "{}", found.reached);
        assert!(found.ends.len() >= 2);
    }
}

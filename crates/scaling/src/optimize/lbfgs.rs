//! L-BFGS (Liu & Nocedal 1989; Nocedal & Wright 2006, algorithms 7.4 and 7.5).

use std::collections::VecDeque;

use super::line_search;
use super::{Objective, Point, dot};

/// Pairs of steps and changes of the gradient that are kept; more than the constants of a law, so that nothing is forgotten.
const MEMORY: usize = 12;

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    /// At this norm of the gradient.
    pub(super) gradient_norm: f64,
    /// After this many iterations.
    pub(super) iterations: usize,
    /// When ten iterations together lowered the value by less than this fraction of it.
    pub(super) progress: f64,
}

/// Minimizes from `start`; what it returns is never higher.
pub(super) fn minimize(objective: &impl Objective, start: Point, stop: Stop) -> Point {
    let mut point = start;
    let mut memory: VecDeque<Pair> = VecDeque::with_capacity(MEMORY + 1);
    let mut checked = point.value;
    for iteration in 0..stop.iterations {
        if point.gradient_norm() <= stop.gradient_norm || !point.value.is_finite() {
            break;
        }
        if iteration % 10 == 9 {
            if checked - point.value < stop.progress * point.value.abs() {
                break;
            }
            checked = point.value;
        }
        let direction = direction(&point.gradient, &memory);
        // Without a memory the length of the direction says nothing of the scale.
        let first = if memory.is_empty() { 1.0 / dot(&point.gradient, &point.gradient).sqrt().max(1.0) } else { 1.0 };
        match line_search::search(objective, &point, &direction, first) {
            Some(next) => {
                memory.extend(Pair::of(&point, &next));
                if memory.len() > MEMORY {
                    memory.pop_front();
                }
                point = next;
            }
            // The memory misleads: once more along the gradient before giving up.
            None if !memory.is_empty() => memory.clear(),
            None => break,
        }
    }
    point
}

/// s = x' − x, y = g' − g and ρ = 1 / (s · y).
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    rho: f64,
}

impl Pair {
    /// Nothing where the curvature is not positive, which the line search rules out but for rounding.
    fn of(from: &Point, to: &Point) -> Option<Self> {
        let difference = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
        let (step, change) = (difference(&to.at, &from.at), difference(&to.gradient, &from.gradient));
        let curvature = dot(&step, &change);
        (curvature > 1e-14 * dot(&change, &change)).then(|| Self { step, change, rho: 1.0 / curvature })
    }
}

/// −H g by the two-loop recursion (algorithm 7.4), with H⁰ = (s·y / y·y) I of the last pair (equation 7.20).
fn direction(gradient: &[f64], memory: &VecDeque<Pair>) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|slope| -slope).collect();
    let mut alphas = Vec::with_capacity(memory.len());
    for pair in memory.iter().rev() {
        let alpha = pair.rho * dot(&pair.step, &q);
        q.iter_mut().zip(&pair.change).for_each(|(q, y)| *q -= alpha * y);
        alphas.push(alpha);
    }
    if let Some(last) = memory.back() {
        let scale = 1.0 / (last.rho * dot(&last.change, &last.change));
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for (pair, alpha) in memory.iter().zip(alphas.into_iter().rev()) {
        let beta = pair.rho * dot(&pair.change, &q);
        q.iter_mut().zip(&pair.step).for_each(|(q, s)| *q += (alpha - beta) * s);
    }
    q
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimize::tests::Rosenbrock;

    #[test]
    fn the_valley_is_followed_to_its_end() {
        let stop = Stop { gradient_norm: 1e-10, iterations: 500, progress: 0.0 };
        for dimension in [2, 5, 10] {
            let start = (0..dimension).map(|i| if i % 2 == 0 { -1.2 } else { 1.0 }).collect();
            let end = minimize(&Rosenbrock, Point::of(&Rosenbrock, start), stop);
            assert!(end.gradient_norm() <= 1e-10, "{dimension}: {}", end.gradient_norm());
            // In ten dimensions there is a second minimum with the first number −1; both are fit to end at.
            assert!(end.at[1..].iter().all(|at| (at - 1.0).abs() < 0.2), "{:?}", end.at);
        }
    }

    #[test]
    fn a_quadratic_of_five_takes_few_iterations() {
        struct Bowl;
        impl Objective for Bowl {
            fn evaluate(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
                let weights = [1.0, 10.0, 100.0, 1e3, 1e4];
                for i in 0..5 {
                    gradient[i] = weights[i] * (at[i] - 3.0);
                }
                (0..5).map(|i| 0.5 * weights[i] * (at[i] - 3.0).powi(2)).sum()
            }
        }
        let stop = Stop { gradient_norm: 1e-9, iterations: 60, progress: 0.0 };
        let end = minimize(&Bowl, Point::of(&Bowl, vec![0.0; 5]), stop);
        assert!(end.gradient_norm() <= 1e-9 && end.at.iter().all(|at| (at - 3.0).abs() < 1e-8), "{end:?}");
    }
}

//! The slope of matched steps.
//!
//! t is an x of the reference, s(t) the x at which the other curve reaches the loss of the reference at t.

use serde::{Deserialize, Serialize};

use super::curve::{Curve, Smoothing};
use crate::error::ScalingError;

/// How curves are matched.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchSettings {
    /// Of both curves, before they are made falling.
    pub smoothing: Smoothing,
    /// Records of the reference before this x are left out, such as its warm-up; 0 keeps all.
    pub from: f64,
}

impl MatchSettings {
    /// All records, without a moving mean.
    pub const PLAIN: Self = Self { smoothing: Smoothing { window: 1 }, from: 0.0 };
}

/// One record of the reference and its partner.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchedPoint {
    /// t, the x of the reference.
    pub reference: f64,
    /// s(t), the x of the other curve.
    pub other: f64,
    /// The loss that both have there.
    pub loss: f64,
}

/// Two curves, matched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matching {
    /// Σ t s(t) / Σ t²: the fraction of the reference's steps with which the other model reaches its losses; above 1 it is the
    /// slower one.
    pub slope: f64,
    /// √(Σ (s − slope t)² / Σ s²), from 0 up: how far the matched steps are from one fraction.
    pub relative_deviation: f64,
    /// s / t at the last matched record.
    pub last_ratio: f64,
    /// The matched records, in the order of the reference.
    pub points: Vec<MatchedPoint>,
    /// Records of the reference with a lower loss than the other model ever reaches. They are left out, which favors the other
    /// model where there are many.
    pub beyond: usize,
    /// Records of the reference with a higher loss than the other model's first.
    pub before: usize,
}

/// Matches `other` to `reference` (see the module for the method).
///
/// # Errors
/// The smoothing window is even, or no record of the reference from `settings.from` on has a partner.
pub fn match_curves(reference: &Curve, other: &Curve, settings: MatchSettings) -> Result<Matching, ScalingError> {
    settings.smoothing.validate()?;
    let falling = [reference, other].map(|curve| curve.smoothed(settings.smoothing).falling());
    let (first, last) = falling[1].losses();
    let (mut points, mut beyond, mut before) = (vec![], 0, 0);
    for &t in reference.x().iter().filter(|&&t| t >= settings.from) {
        let Some(loss) = falling[0].loss_at(t) else { continue };
        match falling[1].x_at(loss) {
            Some(s) => points.push(MatchedPoint { reference: t, other: s, loss }),
            None if loss < last => beyond += 1,
            None if loss > first => before += 1,
            None => {}
        }
    }
    let Some(end) = points.iter().rev().find(|point| point.reference > 0.0) else {
        return Err(ScalingError::NothingMatches { reference: falling[0].losses(), other: (first, last) });
    };
    let last_ratio = end.other / end.reference;
    let slope = slope(&points);
    Ok(Matching { slope, relative_deviation: relative_deviation(&points, slope), last_ratio, points, beyond, before })
}

/// Least squares through the origin: Σ t s / Σ t².
fn slope<'a>(points: impl IntoIterator<Item = &'a MatchedPoint>) -> f64 {
    let (mut products, mut squares) = (0.0, 0.0);
    for point in points {
        products += point.reference * point.other;
        squares += point.reference * point.reference;
    }
    products / squares
}

/// √(Σ (s − slope t)² / Σ s²); 0 where every s is 0.
fn relative_deviation(points: &[MatchedPoint], slope: f64) -> f64 {
    let squares: f64 = points.iter().map(|point| point.other.powi(2)).sum();
    let off: f64 = points.iter().map(|point| (point.other - slope * point.reference).powi(2)).sum();
    if squares > 0.0 { (off / squares).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn curve(steps: u32, loss: impl Fn(f64) -> f64) -> Curve {
        let x: Vec<f64> = (1..=steps).map(f64::from).collect();
        let loss = x.iter().map(|&t| loss(t)).collect();
        Curve::new(x, loss).unwrap()
    }

    fn dense(t: f64) -> f64 {
        2.0 + 10.0 / t.sqrt()
    }

    #[test]
    fn the_slope_of_a_model_that_needs_558_of_1000_steps() {
        let (reference, other) = (curve(20_000, dense), curve(20_000, |t| dense(t / 0.558)));
        let matching = match_curves(&reference, &other, MatchSettings::PLAIN).unwrap();
        assert!((matching.slope - 0.558).abs() < 5e-7, "{}", matching.slope);
        assert!((matching.last_ratio - 0.558).abs() < 5e-7, "{}", matching.last_ratio);
        assert!(matching.relative_deviation < 1e-5, "{}", matching.relative_deviation);
        // Only the first record is above all that the other has: dense(1) is its loss at step .558.
        assert_eq!((matching.points.len(), matching.before, matching.beyond), (19_999, 1, 0));
    }

    #[test]
    fn what_a_slower_model_never_reaches_is_counted() {
        let (reference, other) = (curve(1000, dense), curve(1000, |t| dense(t / 1.25)));
        let matching = match_curves(&reference, &other, MatchSettings::PLAIN).unwrap();
        assert!((matching.slope - 1.25).abs() < 1e-5, "{}", matching.slope);
        assert_eq!((matching.beyond, matching.before), (200, 0));
    }

    #[test]
    fn seconds_multiply_the_slope_by_the_slow_down_of_a_step() {
        // The paper's wall-clock ratio .472 is its step ratio .348 times a step that costs 1.356 times as much.
        let (reference, other) = (curve(4000, dense), curve(4000, |t| dense(t / 0.348)));
        let seconds = other.rescaled(0.5 * 1.3563).unwrap();
        let matching = match_curves(&reference.rescaled(0.5).unwrap(), &seconds, MatchSettings::PLAIN).unwrap();
        assert!((matching.slope - 0.472).abs() < 1e-4, "{}", matching.slope);
    }

    #[test]
    fn curves_apart_are_refused_with_their_losses() {
        let (reference, other) = (curve(10, |t| 10.0 - t / 10.0), curve(10, |t| 5.0 - t / 10.0));
        let error = match_curves(&reference, &other, MatchSettings::PLAIN).unwrap_err().to_string();
        assert_eq!(
            error,
            "the curves have no loss in common: the reference goes from 9.9 to 9, the other from 4.9 to 4"
        );
        let even = MatchSettings { smoothing: Smoothing { window: 2 }, ..MatchSettings::PLAIN };
        assert!(match_curves(&reference, &reference, even).is_err());
    }

    #[test]
    fn the_warm_up_can_be_left_out() {
        // The first 100 steps of the other lag behind, the rest has ratio one half.
        let other = curve(2000, |t| if t < 100.0 { dense(t) } else { dense(100.0 + 2.0 * (t - 100.0)) });
        let settings = MatchSettings { from: 500.0, ..MatchSettings::PLAIN };
        let matching = match_curves(&curve(2000, dense), &other, settings).unwrap();
        assert_eq!(matching.points[0].reference, 500.0);
        assert!((matching.points[0].other - 300.0).abs() < 0.01);
    }

    proptest! {
        /// A curve matches itself with slope 1, whatever its noise.
        #[test]
        fn a_curve_matches_itself(losses in prop::collection::vec(0.1..10.0f64, 2..60), half in 0usize..4) {
            let x = (1..=losses.len()).map(|step| step as f64).collect();
            let curve = Curve::new(x, losses).unwrap();
            let settings = MatchSettings { smoothing: Smoothing { window: 2 * half + 1 }, from: 0.0 };
            // A curve that only rises is one block, which may lie between two records.
            if let Ok(matching) = match_curves(&curve, &curve, settings) {
                prop_assert!((matching.slope - 1.0).abs() < 1e-9);
                prop_assert_eq!((matching.beyond, matching.before), (0, 0));
            }
        }
    }
}

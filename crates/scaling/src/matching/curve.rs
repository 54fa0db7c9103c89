//! Loss against step, or against any other cost, and the strictly falling curve through it.

use serde::{Deserialize, Serialize};

use crate::error::ScalingError;

/// Losses in the order of training.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    x: Vec<f64>,
    loss: Vec<f64>,
}

impl Curve {
    /// Of records: `x` is the step, FLOPs or seconds of each, from 0 up and strictly rising; `loss` is lower-is-better.
    ///
    /// # Errors
    /// The lists differ in length or have fewer than two records, a value is not finite, or x is negative or does not rise.
    pub fn new(x: Vec<f64>, loss: Vec<f64>) -> Result<Self, ScalingError> {
        if x.len() != loss.len() {
            return Err(ScalingError::Lengths { what: "losses of a curve", expected: x.len(), found: loss.len() });
        }
        if x.len() < 2 {
            return Err(ScalingError::too_few("records of a curve", 2, x.len()));
        }
        if let Some(at) = loss.iter().position(|value| !value.is_finite()) {
            return Err(ScalingError::value(format!("loss of record {at}"), "finite", loss[at]));
        }
        if let Some(at) = x.iter().position(|value| !value.is_finite() || *value < 0.0) {
            return Err(ScalingError::value(format!("x of record {at}"), "finite and not negative", x[at]));
        }
        if let Some(at) = (1..x.len()).find(|&at| x[at] <= x[at - 1]) {
            return Err(ScalingError::value(format!("x of record {at}"), "above the x of the record before", x[at]));
        }
        Ok(Self { x, loss })
    }

    /// The same losses against another cost: every x times `factor`, such as FLOPs or seconds a step.
    ///
    /// # Errors
    /// `factor` is not finite and positive.
    pub fn rescaled(&self, factor: f64) -> Result<Self, ScalingError> {
        if !(factor.is_finite() && factor > 0.0) {
            return Err(ScalingError::value("factor", "finite and positive", factor));
        }
        Self::new(self.x.iter().map(|x| x * factor).collect(), self.loss.clone())
    }

    /// Step, FLOPs or seconds of each record, strictly rising.
    pub fn x(&self) -> &[f64] {
        &self.x
    }

    /// The loss of each record.
    pub fn loss(&self) -> &[f64] {
        &self.loss
    }

    /// The curve with its losses smoothed.
    pub fn smoothed(&self, smoothing: Smoothing) -> Self {
        Self { x: self.x.clone(), loss: smoothing.apply(&self.loss) }
    }

    /// The strictly falling curve nearest to this one: blocks of isotonic regression, each a knot (see the module).
    pub fn falling(&self) -> Falling {
        // Pool adjacent violators: a block that is not below the one before is merged into it. Equal ones are merged too, so
        // that the knots fall strictly.
        let mut blocks: Vec<Block> = Vec::with_capacity(self.x.len());
        for (&x, &loss) in self.x.iter().zip(&self.loss) {
            let mut block = Block { x, loss, count: 1.0 };
            while let Some(before) = blocks.pop_if(|before| before.loss <= block.loss) {
                block = before.merged(block);
            }
            blocks.push(block);
        }
        Falling { knots: blocks.into_iter().map(|block| (block.x, block.loss)).collect() }
    }
}

/// Records that isotonic regression gives one loss.
struct Block {
    /// Mean x.
    x: f64,
    /// Mean loss.
    loss: f64,
    count: f64,
}

impl Block {
    fn merged(self, next: Self) -> Self {
        let count = self.count + next.count;
        let mean = |a: f64, b: f64| a + (b - a) * (next.count / count);
        Self { x: mean(self.x, next.x), loss: mean(self.loss, next.loss), count }
    }
}

/// A centered moving mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smoothing {
    /// Records in the window, an odd number; 1 leaves a curve as it is.
    pub window: usize,
}

impl Smoothing {
    /// That the window is an odd number.
    ///
    /// # Errors
    /// It is even, so that it has no record in its middle.
    pub fn validate(self) -> Result<(), ScalingError> {
        if self.window % 2 == 1 {
            return Ok(());
        }
        Err(ScalingError::value("smoothing window", "an odd number of records", self.window))
    }

    /// The mean of each value with its neighbors: `half = min(⌊window/2⌋, records before, records after)` to either side.
    pub fn apply(self, values: &[f64]) -> Vec<f64> {
        let half = self.window / 2;
        (0..values.len())
            .map(|at| {
                let reach = half.min(at).min(values.len() - 1 - at);
                let window = &values[at - reach..=at + reach];
                window.iter().sum::<f64>() / window.len() as f64
            })
            .collect()
    }
}

/// A strictly falling curve, linear between its knots.
#[derive(Debug, Clone, PartialEq)]
pub struct Falling {
    /// (x, loss): x rises strictly, the loss falls strictly; at least one.
    knots: Vec<(f64, f64)>,
}

impl Falling {
    /// (x, loss) of each knot.
    pub fn knots(&self) -> &[(f64, f64)] {
        &self.knots
    }

    /// First and last loss.
    pub fn losses(&self) -> (f64, f64) {
        let ends = [self.knots.first(), self.knots.last()].map(|knot| knot.map_or(f64::NAN, |knot| knot.1));
        (ends[0], ends[1])
    }

    /// The loss at `x`; nothing outside the knots.
    pub fn loss_at(&self, x: f64) -> Option<f64> {
        let after = self.knots.partition_point(|knot| knot.0 < x);
        let (x1, loss1) = *self.knots.get(after)?;
        if x1 == x {
            return Some(loss1);
        }
        let (x0, loss0) = *self.knots.get(after.checked_sub(1)?)?;
        Some(loss0 + (loss1 - loss0) * ((x - x0) / (x1 - x0)))
    }

    /// The x at which the loss is reached; nothing outside the knots.
    pub fn x_at(&self, loss: f64) -> Option<f64> {
        let after = self.knots.partition_point(|knot| knot.1 > loss);
        let (x1, loss1) = *self.knots.get(after)?;
        if loss1 == loss {
            return Some(x1);
        }
        let (x0, loss0) = *self.knots.get(after.checked_sub(1)?)?;
        Some(x0 + (x1 - x0) * ((loss0 - loss) / (loss0 - loss1)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn smoothing_keeps_a_straight_line_and_shrinks_at_the_ends() {
        let line: Vec<f64> = (0..9).map(|at| 3.0 - 0.25 * f64::from(at)).collect();
        assert_eq!(Smoothing { window: 5 }.apply(&line), line);
        let peak = [0.0, 0.0, 9.0, 0.0, 0.0];
        assert_eq!(Smoothing { window: 3 }.apply(&peak), [0.0, 3.0, 3.0, 3.0, 0.0]);
        assert_eq!(Smoothing { window: 1 }.apply(&peak), peak);
        assert!(Smoothing { window: 4 }.validate().is_err());
    }

    #[test]
    fn a_rise_becomes_one_knot_at_its_mean() {
        // sklearn.isotonic.IsotonicRegression(increasing=False) of the losses: 5, 3.5, 3.5, 2, 1.
        let curve = Curve::new(vec![1.0, 2.0, 3.0, 4.0, 6.0], vec![5.0, 3.0, 4.0, 2.0, 1.0]).unwrap();
        let falling = curve.falling();
        assert_eq!(falling.knots(), [(1.0, 5.0), (2.5, 3.5), (4.0, 2.0), (6.0, 1.0)]);
        assert_eq!(falling.x_at(1.5), Some(5.0));
        assert_eq!(falling.x_at(0.9), None);
        assert_eq!(falling.x_at(5.1), None);
        assert_eq!(falling.loss_at(5.0), Some(1.5));
        assert_eq!(falling.loss_at(0.5), None);
        assert_eq!(falling.loss_at(6.5), None);
    }

    #[test]
    fn bad_records_are_named() {
        let message = |x: &[f64], loss: &[f64]| Curve::new(x.to_vec(), loss.to_vec()).unwrap_err().to_string();
        assert_eq!(message(&[1.0], &[2.0]), "records of a curve: at least 2 needed, found 1");
        assert_eq!(message(&[1.0, 2.0], &[2.0]), "losses of a curve: expected 2 values, found 1");
        assert_eq!(message(&[1.0, 2.0], &[2.0, f64::NAN]), "loss of record 1 must be finite, found NaN");
        assert_eq!(message(&[-1.0, 2.0], &[2.0, 1.0]), "x of record 0 must be finite and not negative, found -1");
        assert_eq!(
            message(&[2.0, 2.0], &[2.0, 1.0]),
            "x of record 1 must be above the x of the record before, found 2"
        );
    }

    proptest! {
        /// Knots fall strictly, keep the mean loss, and x and loss are inverse to one another.
        #[test]
        fn a_falling_curve_is_its_own_inverse(losses in prop::collection::vec(0.1..10.0f64, 2..60), place in 0.0..1.0f64) {
            let steps = (1..=losses.len()).map(|step| step as f64).collect();
            let falling = Curve::new(steps, losses).unwrap().falling();
            let knots = falling.knots();
            prop_assert!(knots.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 > pair[1].1));
            let x = knots[0].0 + place * (knots[knots.len() - 1].0 - knots[0].0);
            let loss = falling.loss_at(x).unwrap();
            // The slope bounds what rounding of the loss may move x.
            let steepest = knots.windows(2).map(|pair| (pair[1].0 - pair[0].0) / (pair[0].1 - pair[1].1)).fold(1.0, f64::max);
            if let Some(back) = falling.x_at(loss) {
                prop_assert!((back - x).abs() <= 1e-12 * (1.0 + x + 10.0 * steepest), "{} {}", back, x);
            }
        }
    }
}

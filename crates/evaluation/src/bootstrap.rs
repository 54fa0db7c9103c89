//! How far a mean could have moved by the chance of which pictures were drawn.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Sets that are drawn.
const RESAMPLES: usize = 1000;

/// A mean with its 95 % interval by the percentiles of resampled means (Efron 1979).
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// The 2.5th percentile.
    pub low: f64,
    /// The 97.5th percentile.
    pub high: f64,
    /// How many values.
    pub count: usize,
}

impl Mean {
    /// Of values, resampled from `seed`; NaN where there are none.
    pub fn of(values: &[f64], seed: u64) -> Self {
        let count = values.len();
        let mean = |sum: f64| sum / count as f64;
        let value = mean(values.iter().sum());
        if count == 0 {
            return Self { value, low: value, high: value, count };
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = || values[(rng.next_u64() % count as u64) as usize];
        let mut means: Vec<f64> = (0..RESAMPLES).map(|_| mean((0..count).map(|_| draw()).sum())).collect();
        means.sort_by(f64::total_cmp);
        let at = |share: f64| means[((RESAMPLES - 1) as f64 * share).round() as usize];
        Self { value, low: at(0.025), high: at(0.975), count }
    }

    /// The same of values that are all multiplied by a factor from 0 up.
    pub fn scaled(self, factor: f64) -> Self {
        Self { value: self.value * factor, low: self.low * factor, high: self.high * factor, ..self }
    }
}

impl std::fmt::Display for Mean {
    /// `0.2815 (95 % interval 0.2790 to 0.2841, N = 300)`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { value, low, high, count } = self;
        write!(f, "{value:.4} (95 % interval {low:.4} to {high:.4}, N = {count})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_about_two_standard_errors_to_either_side() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let mean = Mean::of(&values, 1);
        // The deviation of 0..20 is 5.77, its standard error over 400 values 0.288.
        assert!((mean.value - 9.5).abs() < 1e-9);
        assert!((mean.high - mean.low - 2.0 * 1.96 * 0.288).abs() < 0.15, "{mean}");
        assert_eq!(Mean::of(&values, 1), mean);
        assert!(Mean::of(&[], 0).value.is_nan());
        assert_eq!(Mean::of(&[2.0], 0), Mean { value: 2.0, low: 2.0, high: 2.0, count: 1 });
    }
}

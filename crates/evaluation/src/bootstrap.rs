//! How far a number could have moved by the chance of which images were generated.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::error::EvaluationError;
use crate::proportion::Z;

/// Sets that are sampled.
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
        let at = |fraction: f64| means[((RESAMPLES - 1) as f64 * fraction).round() as usize];
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

/// The 95 % interval of a number that is made of whole sets, such as a distance.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Interval {
    /// Low end.
    pub low: f64,
    /// High end.
    pub high: f64,
    /// How often the sets were resampled.
    pub resamples: usize,
}

/// Gives the number of the rows of each set that were generated.
pub type Statistic<'a, const SETS: usize> = dyn FnMut([&[usize]; SETS]) -> Result<f64, EvaluationError> + 'a;

/// The interval of `value`, 1.96 standard errors to either side, by sets resampled with replacement (Efron 1979).
///
/// Percentiles would not do: a set generated with replacement has fewer distinct images, which moves a distance upwards by more
/// than chance does. It moves all of them alike, so their deviation is sound.
///
/// # Errors
/// When there are fewer than two resamples, or `statistic` fails.
pub fn interval_of_sets<const SETS: usize>(
    value: f64,
    counts: [usize; SETS],
    (resamples, seed): (usize, u64),
    statistic: &mut Statistic<'_, SETS>,
) -> Result<Interval, EvaluationError> {
    if resamples < 2 {
        return Err(EvaluationError::TooFew { what: "resamples", least: 2, found: resamples });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut found = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        let rows = counts
            .map(|count| -> Vec<usize> { (0..count).map(|_| (rng.next_u64() % count as u64) as usize).collect() });
        found.push(statistic(std::array::from_fn(|set| rows[set].as_slice()))?);
    }
    let mean = found.iter().sum::<f64>() / resamples as f64;
    let squares: f64 = found.iter().map(|number| (number - mean).powi(2)).sum();
    let reach = Z * (squares / (resamples - 1) as f64).sqrt();
    Ok(Interval { low: value - reach, high: value + reach, resamples })
}

impl std::fmt::Display for Interval {
    /// `12.1 to 13.0`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the exact standard error of a difference of means.
    #[test]
    fn the_interval_of_two_sets_is_about_two_standard_errors_to_either_side() {
        let [a, b] = [400, 100].map(|count: usize| (0..count).map(|i| (i % 20) as f64).collect::<Vec<f64>>());
        let mean = |all: &[f64], rows: &[usize]| rows.iter().map(|&row| all[row]).sum::<f64>() / rows.len() as f64;
        let mut difference = |[x, y]: [&[usize]; 2]| Ok(mean(&a, x) - mean(&b, y));
        let found = interval_of_sets(3.0, [400, 100], (500, 1), &mut difference).unwrap();
        let exact = 5.766 * (1.0f64 / 400.0 + 1.0 / 100.0).sqrt();
        assert!(((found.high - 3.0) / (1.96 * exact) - 1.0).abs() < 0.1, "{found:?}");
        assert!((found.high + found.low - 6.0).abs() < 1e-9);
        assert_eq!(interval_of_sets(3.0, [400, 100], (500, 1), &mut difference).unwrap(), found);
        assert!(interval_of_sets(3.0, [400, 100], (1, 1), &mut difference).is_err());
        // A set that is known by its statistics alone has no rows to draw.
        let mut fixed = |[x, y]: [&[usize]; 2]| Ok(mean(&a, x) + y.len() as f64);
        assert!(interval_of_sets(3.0, [400, 0], (9, 1), &mut fixed).unwrap().low < 3.0);
    }

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

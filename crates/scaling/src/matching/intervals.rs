//! How far chance could have moved a slope: between seeds, and within one pair of runs.

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::curve::Curve;
use super::slope::{MatchSettings, Matching, match_curves};
use crate::error::{ScalingError, check_level};
use crate::interval::Interval;
use crate::random::{below, generator};

/// Slopes of several seeds and their mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedMatching {
    /// The mean slope.
    pub slope: f64,
    /// Of the mean: `slope ± t · sd / √n` with Student's t of n − 1 degrees of freedom.
    pub interval: Interval,
    /// Each pair of runs.
    pub matchings: Vec<Matching>,
}

/// Matches pairs (reference, other) that differ in their seed only.
///
/// # Errors
/// There are fewer than two pairs, a pair has no loss in common, or `level` is not between 0 and 1.
pub fn match_seeds(
    pairs: &[(Curve, Curve)],
    settings: MatchSettings,
    level: f64,
) -> Result<SeedMatching, ScalingError> {
    check_level(level)?;
    if pairs.len() < 2 {
        return Err(ScalingError::too_few("pairs of runs with different seeds", 2, pairs.len()));
    }
    let matchings = pairs
        .iter()
        .map(|(reference, other)| match_curves(reference, other, settings))
        .collect::<Result<Vec<_>, _>>()?;
    let slopes: Vec<f64> = matchings.iter().map(|matching| matching.slope).collect();
    let (slope, interval) = mean_interval(&slopes, level)?;
    Ok(SeedMatching { slope, interval, matchings })
}

/// The mean of values of several seeds and its interval by Student's t of n − 1 degrees of freedom.
///
/// # Errors
/// There are fewer than two values, or `level` is not between 0 and 1.
pub fn mean_interval(values: &[f64], level: f64) -> Result<(f64, Interval), ScalingError> {
    check_level(level)?;
    if values.len() < 2 {
        return Err(ScalingError::too_few("values of different seeds", 2, values.len()));
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let student = StudentsT::new(0.0, 1.0, count - 1.0)
        .map_err(|error| ScalingError::value("degrees of freedom", "at least 1", error))?;
    let reach = student.inverse_cdf((1.0 + level) / 2.0) * (variance / count).sqrt();
    Ok((mean, Interval { low: mean - reach, high: mean + reach, level }))
}

/// How blocks are resampled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockBootstrap {
    /// Records in a block, at least 1: more than the records over which the noise of a logged loss lasts.
    pub block: usize,
    /// Resamples, at least 2.
    pub resamples: usize,
    /// Of all randomness.
    pub seed: u64,
    /// The confidence, such as 0.95.
    pub level: f64,
}

/// The percentile interval of the slope of one pair of runs by a block bootstrap of residuals (Künsch 1989): each curve is its
/// falling curve plus the residuals of its own records, taken in blocks of neighbors with replacement from all places alike;
/// the two are smoothed and matched again.
///
/// It knows of the noise within the two runs, not of what another seed would have done; where there are seeds, [`match_seeds`]
/// is the one to report.
///
/// # Errors
/// A setting is out of its range, a block is longer than half of a curve, or the curves have no loss in common.
pub fn block_interval(
    reference: &Curve,
    other: &Curve,
    settings: MatchSettings,
    bootstrap: BlockBootstrap,
) -> Result<Interval, ScalingError> {
    let BlockBootstrap { block, resamples, seed, level } = bootstrap;
    check_level(level)?;
    settings.smoothing.validate()?;
    if resamples < 2 {
        return Err(ScalingError::too_few("resamples", 2, resamples));
    }
    let records = reference.x().len().min(other.x().len());
    if block == 0 || 2 * block > records {
        let found = format!("{block} of {records} records");
        return Err(ScalingError::value("block", "from 1 to half of the records of the shorter curve", found));
    }
    let split = [reference, other].map(|curve| Split::of(curve, settings));
    let slopes = (0..resamples as u64)
        .into_par_iter()
        .map(|draw| {
            let mut rng = generator(seed, draw);
            let [reference, other] = [split[0].resampled(block, &mut rng)?, split[1].resampled(block, &mut rng)?];
            Ok(match_curves(&reference, &other, settings)?.slope)
        })
        .collect::<Result<Vec<f64>, ScalingError>>()?;
    Ok(Interval::of_samples(&slopes, level))
}

/// A curve as its falling curve plus residuals.
struct Split<'a> {
    x: &'a [f64],
    fitted: Vec<f64>,
    residuals: Vec<f64>,
}

impl<'a> Split<'a> {
    fn of(curve: &'a Curve, settings: MatchSettings) -> Self {
        let falling = curve.smoothed(settings.smoothing).falling();
        let (first, last) = falling.losses();
        let start = falling.knots()[0].0;
        // Before the first knot and after the last the curve goes on level.
        let fitted: Vec<f64> =
            curve.x().iter().map(|&x| falling.loss_at(x).unwrap_or(if x < start { first } else { last })).collect();
        let residuals = curve.loss().iter().zip(&fitted).map(|(loss, fitted)| loss - fitted).collect();
        Self { x: curve.x(), fitted, residuals }
    }

    fn resampled(&self, block: usize, rng: &mut ChaCha8Rng) -> Result<Curve, ScalingError> {
        let places = self.residuals.len() - block + 1;
        let mut loss = self.fitted.clone();
        for records in loss.chunks_mut(block) {
            let start = below(rng, places);
            records.iter_mut().zip(&self.residuals[start..]).for_each(|(loss, residual)| *loss += residual);
        }
        Curve::new(self.x.to_vec(), loss)
    }
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::matching::Smoothing;

    /// A run of 600 records, every tenth step, with noise of the loss.
    fn noisy(ratio: f64, sd: f64, seed: u64) -> Curve {
        let mut rng = generator(seed, 0);
        let x: Vec<f64> = (1..=600).map(|record| f64::from(record) * 10.0).collect();
        let loss = x
            .iter()
            .map(|t| {
                let noise: f64 = StandardNormal.sample(&mut rng);
                2.0 + 10.0 / (t / ratio).sqrt() + sd * noise
            })
            .collect();
        Curve::new(x, loss).unwrap()
    }

    const SETTINGS: MatchSettings = MatchSettings { smoothing: Smoothing { window: 9 }, from: 300.0 };

    #[test]
    fn the_interval_of_seeds_is_students() {
        // scipy.stats.t.interval(.95, 3, loc=numpy.mean(v), scale=scipy.stats.sem(v))
        let (mean, interval) = mean_interval(&[0.55, 0.57, 0.56, 0.60], 0.95).unwrap();
        assert!((mean - 0.57).abs() < 1e-12);
        assert!((interval.low - 0.535_625_651_181).abs() < 1e-9, "{interval:.12}");
        assert!((interval.high - 0.604_374_348_819).abs() < 1e-9, "{interval:.12}");
    }

    #[test]
    fn intervals_hold_the_true_ratio_as_often_as_they_say() {
        let (mut of_blocks, mut of_seeds) = (0, 0);
        for trial in 0..100 {
            let pair = |seed: u64| (noisy(1.0, 0.01, 1000 * trial + seed), noisy(0.6, 0.01, 1000 * trial + 500 + seed));
            let pairs: Vec<(Curve, Curve)> = (0..4).map(pair).collect();
            let seeds = match_seeds(&pairs, SETTINGS, 0.95).unwrap();
            let blocks = BlockBootstrap { block: 25, resamples: 200, seed: trial, level: 0.95 };
            let interval = block_interval(&pairs[0].0, &pairs[0].1, SETTINGS, blocks).unwrap();
            of_blocks += usize::from(interval.contains(0.6));
            of_seeds += usize::from(seeds.interval.contains(0.6));
        }
        assert!(of_seeds >= 90, "{of_seeds} of 100");
        assert!(of_blocks >= 85, "{of_blocks} of 100");
    }

    #[test]
    fn blocks_that_do_not_fit_are_refused() {
        let (reference, other) = (noisy(1.0, 0.01, 1), noisy(0.6, 0.01, 2));
        let block_interval = |settings| block_interval(&reference, &other, SETTINGS, settings);
        let settings = BlockBootstrap { block: 20, resamples: 50, seed: 1, level: 0.95 };
        let first = block_interval(settings).unwrap();
        assert_eq!(first, block_interval(settings).unwrap());
        assert!(block_interval(BlockBootstrap { block: 0, ..settings }).is_err());
        assert!(block_interval(BlockBootstrap { block: 400, ..settings }).is_err());
        assert!(block_interval(BlockBootstrap { resamples: 1, ..settings }).is_err());
        assert!(block_interval(BlockBootstrap { level: 1.0, ..settings }).is_err());
        assert!(match_seeds(&[(noisy(1.0, 0.0, 1), noisy(0.6, 0.0, 2))], SETTINGS, 0.95).is_err());
    }
}

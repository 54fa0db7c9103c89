//! Correlation of few points, with what chance alone would give.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

use crate::error::ScalingError;
use crate::interval::Interval;
use crate::random::{below, generator};
use crate::uncertainty::BootstrapSettings;

/// Which correlation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Of the values: how near to a straight line.
    Pearson,
    /// Of the ranks, equal values sharing their mean rank: how near to a rising or falling order.
    Spearman,
}

/// A correlation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correlation {
    /// Which.
    pub kind: Kind,
    /// From −1 to 1.
    pub value: f64,
    /// By Fisher's transform, `tanh(atanh r ± z / √(n − 3))`, for Spearman with the factor √1.06 of Fieller et al. 1957; nothing
    /// for fewer than four points.
    pub interval: Option<Interval>,
    /// Of |r| or more when one list is permuted: over all permutations of up to seven points, over random ones of more.
    pub p_value: f64,
    /// Points.
    pub count: usize,
}

/// Points up to which every permutation is tried: 7! = 5040.
const ALL_PERMUTATIONS: usize = 7;

/// The correlation of two lists; `settings.resamples` random permutations where there are more than seven points.
///
/// # Errors
/// The lists differ in length, there are fewer than three points, a value is not finite, all values of a list are the same, or a
/// setting is out of its range.
pub fn correlation(kind: Kind, x: &[f64], y: &[f64], settings: BootstrapSettings) -> Result<Correlation, ScalingError> {
    settings.validate()?;
    if x.len() != y.len() {
        return Err(ScalingError::Lengths { what: "second list of a correlation", expected: x.len(), found: y.len() });
    }
    if x.len() < 3 {
        return Err(ScalingError::too_few("points of a correlation", 3, x.len()));
    }
    if let Some(value) = x.iter().chain(y).find(|value| !value.is_finite()) {
        return Err(ScalingError::value("a value of a correlation", "finite", value));
    }
    let standard = |values: &[f64]| match kind {
        Kind::Pearson => standardized(values),
        Kind::Spearman => standardized(&ranks(values)),
    };
    let (Some(x), Some(y)) = (standard(x), standard(y)) else {
        return Err(ScalingError::value("the values of a correlation", "not all the same", "one value"));
    };
    let value = product(&x, &y).clamp(-1.0, 1.0);
    let count = x.len();
    let interval = (count > 3).then(|| fisher(kind, value, count, settings.level));
    Ok(Correlation { kind, value, interval, p_value: p_value(&x, y, value, settings), count })
}

/// Values less their mean, over the root of their squares; nothing where all are the same.
fn standardized(values: &[f64]) -> Option<Vec<f64>> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let size = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>().sqrt();
    let largest = values.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    // What is left of equal values is rounding.
    (size > 1e-14 * largest).then(|| values.iter().map(|value| (value - mean) / size).collect())
}

/// Ranks from 1, equal values sharing their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let equal = values.iter().filter(|other| *other == value).count();
        below as f64 + (equal as f64 + 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

fn product(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// Fisher's interval of at least four points.
fn fisher(kind: Kind, value: f64, count: usize, level: f64) -> Interval {
    let factor = if kind == Kind::Spearman { 1.06 } else { 1.0 };
    let reach = Normal::standard().inverse_cdf((1.0 + level) / 2.0) * (factor / (count as f64 - 3.0)).sqrt();
    let middle = value.atanh();
    Interval { low: (middle - reach).tanh(), high: (middle + reach).tanh(), level }
}

/// The fraction of permutations with |r| at least as large.
fn p_value(x: &[f64], y: Vec<f64>, value: f64, settings: BootstrapSettings) -> f64 {
    // Rounding must not count a permutation of the same r as less.
    let as_large = |y: &[f64]| product(x, y).abs() >= value.abs() - 1e-12;
    if x.len() <= ALL_PERMUTATIONS {
        let (mut hits, mut total, mut permuted) = (0usize, 0usize, y);
        let count = permuted.len();
        permutations(&mut permuted, count, &mut |y| {
            hits += usize::from(as_large(y));
            total += 1;
        });
        return hits as f64 / total as f64;
    }
    let hits = (0..settings.resamples as u64)
        .into_par_iter()
        .filter(|&draw| {
            let mut rng = generator(settings.seed, draw);
            let mut permuted = y.clone();
            // Fisher and Yates.
            for last in (1..permuted.len()).rev() {
                permuted.swap(last, below(&mut rng, last + 1));
            }
            as_large(&permuted)
        })
        .count();
    // The order as it is counts as one of the permutations.
    (hits + 1) as f64 / (settings.resamples + 1) as f64
}

/// Every order of the first `count` values (Heap 1963).
fn permutations(values: &mut [f64], count: usize, visit: &mut impl FnMut(&[f64])) {
    if count <= 1 {
        return visit(values);
    }
    for at in 0..count {
        permutations(values, count - 1, visit);
        values.swap(if count.is_multiple_of(2) { at } else { 0 }, count - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: [f64; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 7.0];
    const Y: [f64; 6] = [1.5, 1.0, 3.5, 3.0, 6.0, 9.0];

    #[test]
    fn values_ranks_and_intervals_are_scipys() {
        let settings = BootstrapSettings::default();
        let pearson = correlation(Kind::Pearson, &X, &Y, settings).unwrap();
        // scipy.stats.pearsonr with its confidence_interval, and every permutation counted.
        assert!((pearson.value - 0.951409761224).abs() < 1e-10, "{}", pearson.value);
        assert!((pearson.p_value - 0.005555555556).abs() < 1e-10, "{}", pearson.p_value);
        let interval = pearson.interval.unwrap();
        assert!((interval.low - 0.613713254559).abs() < 1e-10, "{}", interval.low);
        assert!((interval.high - 0.994833168951).abs() < 1e-10, "{}", interval.high);
        let spearman = correlation(Kind::Spearman, &X, &Y, settings).unwrap();
        assert!((spearman.value - 0.885714285714).abs() < 1e-10, "{}", spearman.value);
        assert!((spearman.p_value - 0.033333333333).abs() < 1e-10, "{}", spearman.p_value);
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
    }

    #[test]
    fn every_order_comes_once() {
        let mut seen = std::collections::BTreeSet::new();
        permutations(&mut [1.0, 2.0, 3.0, 4.0], 4, &mut |values| {
            assert!(seen.insert(values.iter().map(|value| *value as u8).collect::<Vec<_>>()));
        });
        assert_eq!(seen.len(), 24);
    }

    #[test]
    fn random_permutations_agree_with_chance() {
        // Twenty points without a relation: p is far from 0; of a line: as small as it can be.
        let x: Vec<f64> = (0..20).map(f64::from).collect();
        let none: Vec<f64> = x.iter().map(|x| (x * 7.3).sin()).collect();
        let settings = BootstrapSettings { resamples: 999, ..BootstrapSettings::default() };
        assert!(correlation(Kind::Pearson, &x, &none, settings).unwrap().p_value > 0.1);
        let line: Vec<f64> = x.iter().map(|x| -2.0 * x).collect();
        let found = correlation(Kind::Pearson, &x, &line, settings).unwrap();
        assert!((found.value + 1.0).abs() < 1e-12 && (found.p_value - 0.001).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn what_has_no_correlation_is_refused() {
        let refused = |x: &[f64], y: &[f64]| {
            correlation(Kind::Pearson, x, y, BootstrapSettings::default()).unwrap_err().to_string()
        };
        assert_eq!(refused(&[1.0, 2.0], &[1.0, 2.0]), "points of a correlation: at least 3 needed, found 2");
        assert!(refused(&X, &Y[..5]).contains("expected 6 values, found 5"));
        assert!(refused(&X, &[0.1; 6]).contains("not all the same"));
        assert!(refused(&[1.0, 2.0, f64::NAN], &[1.0, 2.0, 3.0]).contains("finite"));
    }
}

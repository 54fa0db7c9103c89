//! Intervals of confidence, and the quantiles that they are made of.

use serde::{Deserialize, Serialize};

/// Two numbers between which the true one lies with a stated confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Low end.
    #[serde(deserialize_with = "number_or_nan")]
    pub low: f64,
    /// High end.
    #[serde(deserialize_with = "number_or_nan")]
    pub high: f64,
    /// The confidence, such as 0.95.
    pub level: f64,
}

/// JSON has no NaN and writes null for it, as for the ends of an interval of nothing.
fn number_or_nan<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Option::<f64>::deserialize(deserializer).map(|number| number.unwrap_or(f64::NAN))
}

impl Interval {
    /// The percentile interval of resampled values (Efron 1979); NaN at both ends where there are none.
    pub fn of_samples(samples: &[f64], level: f64) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let tail = (1.0 - level) / 2.0;
        Self { low: quantile(&sorted, tail), high: quantile(&sorted, 1.0 - tail), level }
    }

    /// Whether `value` lies within, both ends included.
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// `high − low`.
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}

impl std::fmt::Display for Interval {
    /// `0.52 to 0.58 (95 %)`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = f.precision().unwrap_or(4);
        write!(f, "{:.digits$} to {:.digits$} ({} %)", self.low, self.high, self.level * 100.0)
    }
}

/// The quantile at `fraction` (0 to 1) of ascending values, linear between neighbours (Hyndman & Fan 1996, type 7, as NumPy's
/// default); NaN where there are none.
pub fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = fraction.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = place.ceil() as usize;
    let (low, high) = (sorted[below], sorted[above]);
    // Equal neighbours, infinite ones included, need no interpolation.
    if low == high { low } else { low + (high - low) * (place - below as f64) }
}

/// The median of values in any order; NaN where there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_linear_between_neighbours() {
        // numpy.quantile([1, 2, 4, 8], [0, .1, .5, .9, 1])
        let values = [1.0, 2.0, 4.0, 8.0];
        for (fraction, expected) in [(0.0, 1.0), (0.1, 1.3), (0.5, 3.0), (0.9, 6.8), (1.0, 8.0)] {
            assert!((quantile(&values, fraction) - expected).abs() < 1e-12, "{fraction}");
        }
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn an_interval_of_nothing_survives_a_file() {
        let text = serde_json::to_string(&Interval::of_samples(&[], 0.9)).unwrap();
        assert_eq!(text, r#"{"low":null,"high":null,"level":0.9}"#);
        let back: Interval = serde_json::from_str(&text).unwrap();
        assert!(back.low.is_nan() && back.high.is_nan() && !back.contains(1.0));
    }

    #[test]
    fn an_interval_leaves_equal_tails() {
        let samples: Vec<f64> = (0..=1000).rev().map(f64::from).collect();
        let interval = Interval::of_samples(&samples, 0.95);
        assert!((interval.low - 25.0).abs() < 1e-9 && (interval.high - 975.0).abs() < 1e-9, "{interval}");
        assert_eq!(format!("{interval:.1}"), "25.0 to 975.0 (95 %)");
    }
}

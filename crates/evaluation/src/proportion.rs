//! A fraction of successes, with how far chance alone could have moved it.

use serde::{Deserialize, Serialize};

/// The 97.5 % point of the normal distribution, for a two-sided interval of 95 %.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

/// So many hits of so many tries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proportion {
    /// Tries that succeeded.
    pub hits: usize,
    /// All tries.
    pub total: usize,
    /// `hits / total`, from 0 to 1; 0 where there were no tries.
    pub fraction: f64,
    /// Low end of the 95 % Wilson interval, from 0 to `fraction`.
    pub low: f64,
    /// High end of the 95 % Wilson interval, from `fraction` to 1.
    pub high: f64,
}

impl Proportion {
    /// The fraction of `hits` in `total`. More hits than tries count as all tries.
    pub fn new(hits: usize, total: usize) -> Self {
        let hits = hits.min(total);
        if total == 0 {
            // Nothing was tried, so nothing is known.
            return Self { hits, total, fraction: 0.0, low: 0.0, high: 1.0 };
        }
        let fraction = hits as f64 / total as f64;
        let (low, high) = wilson(fraction, total as f64);
        Self { hits, total, fraction, low, high }
    }

    /// The fraction of `true` among `outcomes`.
    pub fn of(outcomes: impl IntoIterator<Item = bool>) -> Self {
        let (hits, total) =
            outcomes.into_iter().fold((0, 0), |(hits, total), hit| (hits + usize::from(hit), total + 1));
        Self::new(hits, total)
    }
}

impl std::fmt::Display for Proportion {
    /// `81.2 % (95 % interval 72.3 to 87.8, 78 of 96)`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { hits, total, fraction, low, high } = *self;
        let [fraction, low, high] = [fraction, low, high].map(|part| 100.0 * part);
        write!(f, "{fraction:.1} % (95 % interval {low:.1} to {high:.1}, {hits} of {total})")
    }
}

/// Wilson's score interval (Wilson 1927, equation 1): unlike fraction ± error it stays within 0 and 1 and holds for few tries.
fn wilson(fraction: f64, total: f64) -> (f64, f64) {
    let scale = 1.0 + Z * Z / total;
    let centre = (fraction + Z * Z / (2.0 * total)) / scale;
    let half = Z / scale * (fraction * (1.0 - fraction) / total + Z * Z / (4.0 * total * total)).sqrt();
    // At fractions of 0 and 1 the ends are exact, but for rounding.
    ((centre - half).clamp(0.0, fraction), (centre + half).clamp(fraction, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_interval(hits: usize, total: usize, low: f64, high: f64) {
        let found = Proportion::new(hits, total);
        assert!((found.low - low).abs() < 5e-5 && (found.high - high).abs() < 5e-5, "{found:?}");
    }

    /// Against statsmodels.stats.proportion.proportion_confint(..., method="wilson").
    #[test]
    fn the_interval_is_wilsons() {
        assert_interval(78, 96, 0.7230, 0.8780);
        assert_interval(1, 10, 0.0179, 0.4042);
        assert_interval(0, 20, 0.0, 0.1611);
        assert_interval(20, 20, 0.8389, 1.0);
    }

    #[test]
    fn nothing_tried_is_nothing_known() {
        let found = Proportion::of([]);
        assert_eq!((found.fraction, found.low, found.high), (0.0, 0.0, 1.0));
    }

    #[test]
    fn it_reads_as_a_sentence() {
        let found = Proportion::of((0..96).map(|index| index < 78)).to_string();
        assert_eq!(found, "81.2 % (95 % interval 72.3 to 87.8, 78 of 96)");
    }
}

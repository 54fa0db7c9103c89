//! Intermittent coordinate ascent: one modality stands still while another falls.
//!
//! m_k is the moving mean of a modality's loss at record k, W a window in records:
//!
//! ```text
//! fall_k = ln m_(k−W) − ln m_k
//! flat: fall_k < flat        falling: fall_k ≥ falling
//! fraction = #{k ≥ W : some modality is flat and another is falling} / #{k ≥ W}
//! ```
//!
//! The moving mean is exponential, `m_k = decay m_(k−1) + (1 − decay) l_k` with m_0 = l_0, so that a measurement at k needs no
//! later record.

use serde::{Deserialize, Serialize};

use super::ascent_watch::AscentWatch;
use crate::error::ScalingError;

/// The losses of several modalities at the same records of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Name and losses of each modality.
    modalities: Vec<(String, Vec<f64>)>,
}

impl Trace {
    /// Of at least two modalities with the same number of losses, all above 0.
    ///
    /// # Errors
    /// There are fewer, or a list is empty, of another length, or has a loss that is not finite and positive.
    pub fn new(modalities: Vec<(String, Vec<f64>)>) -> Result<Self, ScalingError> {
        let [(_, first), _, ..] = &modalities[..] else {
            return Err(ScalingError::too_few("modalities of a trace", 2, modalities.len()));
        };
        if first.is_empty() {
            return Err(ScalingError::too_few("records of a trace", 1, 0));
        }
        for (name, losses) in &modalities {
            if losses.len() != first.len() {
                let what = "losses of a modality";
                return Err(ScalingError::Lengths { what, expected: first.len(), found: losses.len() });
            }
            if let Some(at) = losses.iter().position(|loss| !(loss.is_finite() && *loss > 0.0)) {
                return Err(ScalingError::value(format!("loss {at} of {name}"), "finite and above 0", losses[at]));
            }
        }
        Ok(Self { modalities })
    }

    /// How many records there are; at least one.
    fn len(&self) -> usize {
        self.modalities.first().map_or(0, |(_, losses)| losses.len())
    }
}

/// What counts as flat and as falling.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AscentSettings {
    /// Of the moving mean, from 0 (none) to below 1.
    pub decay: f64,
    /// W, records, at least 1.
    pub window: usize,
    /// A modality is flat whose relative fall over the window is below this, such as .001.
    pub flat: f64,
    /// A modality is falling whose relative fall is at least this; no less than `flat`.
    pub falling: f64,
}

impl Default for AscentSettings {
    /// What the program counts by, in a run's own metrics and behind `interfuse scaling phenomena`.
    fn default() -> Self {
        Self { decay: 0.9, window: 20, flat: 0.001, falling: 0.005 }
    }
}

impl AscentSettings {
    /// # Errors
    /// A setting is out of its range.
    pub fn validate(&self) -> Result<(), ScalingError> {
        if !(0.0..1.0).contains(&self.decay) {
            return Err(ScalingError::value("decay", "from 0 to below 1", self.decay));
        }
        if self.window == 0 {
            return Err(ScalingError::value("window", "at least 1", self.window));
        }
        if !(self.flat.is_finite() && self.falling >= self.flat) {
            let found = format!("flat {} and falling {}", self.flat, self.falling);
            return Err(ScalingError::value("the thresholds", "finite, falling no less than flat", found));
        }
        Ok(())
    }
}

/// One modality's part in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModalityAscent {
    /// Its name.
    pub modality: String,
    /// Fraction of records at which it is flat, whatever the others do.
    pub flat: f64,
    /// Fraction of records at which it is flat while another falls.
    pub flat_while_another_falls: f64,
    /// The longest run of such records.
    pub longest: usize,
}

/// Intermittent coordinate ascent of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ascent {
    /// Fraction of records at which some modality is flat while another falls.
    pub fraction: f64,
    /// Each modality.
    pub modalities: Vec<ModalityAscent>,
    /// Records from the first full window on.
    pub records: usize,
}

/// Measures intermittent coordinate ascent.
///
/// # Errors
/// A setting is out of its range, or the trace is no longer than the window.
pub fn coordinate_ascent(trace: &Trace, settings: AscentSettings) -> Result<Ascent, ScalingError> {
    let watch = watched(trace, settings)?;
    watch.ascent().ok_or_else(|| ScalingError::too_few("records of a trace", settings.window + 1, trace.len()))
}

/// How often the first two modalities take turns: sign changes of `fall_k(first) − fall_k(second)` over pairs of neighboring
/// records, from 0 to 1. Records at which both fall alike keep the sign before.
///
/// # Errors
/// As [`coordinate_ascent`], with one record more.
pub fn sign_alternation(trace: &Trace, settings: AscentSettings) -> Result<f64, ScalingError> {
    let watch = watched(trace, settings)?;
    watch.alternation().ok_or_else(|| ScalingError::too_few("records of a trace", settings.window + 2, trace.len()))
}

fn watched(trace: &Trace, settings: AscentSettings) -> Result<AscentWatch, ScalingError> {
    let names = trace.modalities.iter().map(|(name, _)| name.clone()).collect();
    let mut watch = AscentWatch::new(names, settings)?;
    let mut losses = Vec::with_capacity(trace.modalities.len());
    for record in 0..trace.len() {
        losses.clear();
        losses.extend(trace.modalities.iter().map(|(_, all)| all[record]));
        watch.push(&losses);
    }
    Ok(watch)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: AscentSettings = AscentSettings { decay: 0.0, window: 1, flat: 0.001, falling: 0.005 };

    /// Losses that fall by a hundredth at each record for which `falls` says so.
    fn losses(count: usize, falls: impl Fn(usize) -> bool) -> Vec<f64> {
        let mut loss = 4.0;
        let next = |record| {
            if record > 0 && falls(record) {
                loss *= 0.99;
            }
            loss
        };
        (0..count).map(next).collect()
    }

    fn trace(first: Vec<f64>, second: Vec<f64>) -> Trace {
        Trace::new(vec![("speech".to_owned(), first), ("text".to_owned(), second)]).unwrap()
    }

    #[test]
    fn a_modality_that_stands_still_for_a_third_is_seen() {
        // Speech is flat at records 31 to 60 of 1 to 90, text falls always.
        let trace = trace(losses(91, |k| !(31..=60).contains(&k)), losses(91, |_| true));
        let ascent = coordinate_ascent(&trace, SETTINGS).unwrap();
        assert_eq!(ascent.records, 90);
        assert!((ascent.fraction - 1.0 / 3.0).abs() < 1e-12, "{ascent:?}");
        assert_eq!((ascent.modalities[0].longest, ascent.modalities[1].longest), (30, 0));
        assert_eq!(ascent.modalities[1].flat, 0.0);
    }

    #[test]
    fn both_flat_is_no_ascent() {
        let trace = trace(losses(91, |k| k <= 30), losses(91, |k| k <= 30));
        let ascent = coordinate_ascent(&trace, SETTINGS).unwrap();
        assert_eq!(ascent.fraction, 0.0);
        assert!((ascent.modalities[0].flat - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_moving_mean_hides_little_of_it() {
        // With a mean and a window the thirty flat records are still most of what is seen.
        let trace = trace(losses(91, |k| !(31..=60).contains(&k)), losses(91, |_| true));
        let smooth = AscentSettings { decay: 0.5, window: 5, flat: 0.005, falling: 0.02 };
        let fraction = coordinate_ascent(&trace, smooth).unwrap().fraction;
        assert!((0.25..0.34).contains(&fraction), "{fraction}");
    }

    #[test]
    fn turns_are_counted() {
        // Each falls for 10 records while the other stands still.
        let turns = trace(losses(101, |k| (k - 1) / 10 % 2 == 0), losses(101, |k| (k - 1) / 10 % 2 == 1));
        assert!((sign_alternation(&turns, SETTINGS).unwrap() - 9.0 / 99.0).abs() < 1e-12);
        assert_eq!(coordinate_ascent(&turns, SETTINGS).unwrap().fraction, 1.0);
        let alike = trace(losses(101, |_| true), losses(101, |_| true));
        assert_eq!(sign_alternation(&alike, SETTINGS).unwrap(), 0.0);
    }

    #[test]
    fn bad_traces_and_settings_are_refused() {
        let one = Trace::new(vec![("text".to_owned(), vec![1.0])]).unwrap_err().to_string();
        assert_eq!(one, "modalities of a trace: at least 2 needed, found 1");
        let named = |losses: Vec<f64>| Trace::new(vec![("a".to_owned(), vec![1.0, 1.0]), ("b".to_owned(), losses)]);
        assert_eq!(named(vec![1.0, 0.0]).unwrap_err().to_string(), "loss 1 of b must be finite and above 0, found 0");
        assert!(named(vec![1.0]).is_err());
        let short = named(vec![1.0, 1.0]).unwrap();
        assert!(coordinate_ascent(&short, AscentSettings { window: 2, ..SETTINGS }).is_err());
        assert!(sign_alternation(&short, SETTINGS).is_err());
        for wrong in [
            AscentSettings { decay: 1.0, ..SETTINGS },
            AscentSettings { window: 0, ..SETTINGS },
            AscentSettings { falling: 0.0, ..SETTINGS },
        ] {
            assert!(coordinate_ascent(&short, wrong).is_err(), "{wrong:?}");
        }
    }
}

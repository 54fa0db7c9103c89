//! Spikes of the gradient norm.
//!
//! A record is high whose norm is above `factor` times the median of the `window` records before it; a spike is a run of high
//! records. A norm that is not finite is high. Records without a full window before them are not judged.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::error::ScalingError;
use crate::interval::median;

/// What counts as a spike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpikeSettings {
    /// k, above 1, such as 3.
    pub factor: f64,
    /// Records of the running median, at least 3.
    pub window: usize,
}

/// The spikes of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spikes {
    /// The first record of each.
    pub starts: Vec<usize>,
    /// High records in all.
    pub high_records: usize,
    /// Records that were judged.
    pub judged: usize,
    /// Spikes for each thousand judged records.
    pub per_thousand: f64,
}

impl Default for SpikeSettings {
    /// What the program counts by, in a run's own metrics and behind `interfuse scaling phenomena`.
    fn default() -> Self {
        Self::USUAL
    }
}

impl SpikeSettings {
    /// Those of [`SpikeSettings::default`].
    pub const USUAL: Self = Self { factor: 3.0, window: 20 };

    /// # Errors
    /// A setting is out of its range.
    pub fn validate(&self) -> Result<(), ScalingError> {
        if !(self.factor.is_finite() && self.factor > 1.0) {
            return Err(ScalingError::value("factor", "finite and above 1", self.factor));
        }
        match self.window {
            0..3 => Err(ScalingError::value("window", "at least 3", self.window)),
            _ => Ok(()),
        }
    }
}

/// Counts spikes as norms come: what [`spikes`] counts, while a run is going on. A norm costs the median of a window.
#[derive(Debug, Clone, PartialEq)]
pub struct SpikeWatch {
    settings: SpikeSettings,
    /// The norms of the last window, the oldest first.
    recent: VecDeque<f64>,
    judged: usize,
    high_records: usize,
    spikes: usize,
    is_high: bool,
}

impl SpikeWatch {
    /// Before the first norm.
    ///
    /// # Errors
    /// A setting is out of its range.
    pub fn new(settings: SpikeSettings) -> Result<Self, ScalingError> {
        settings.validate()?;
        let recent = VecDeque::with_capacity(settings.window.min(1 << 16) + 1);
        Ok(Self { settings, recent, judged: 0, high_records: 0, spikes: 0, is_high: false })
    }

    /// Takes a norm before clipping, and says whether a spike begins with it.
    pub fn push(&mut self, norm: f64) -> bool {
        let SpikeSettings { factor, window } = self.settings;
        // The median orders what is not a number last, as infinity.
        let norm = if norm.is_nan() { f64::INFINITY } else { norm };
        let mut begins = false;
        if self.recent.len() == window {
            let high = norm == f64::INFINITY || norm > factor * median(self.recent.make_contiguous());
            begins = high && !self.is_high;
            self.judged += 1;
            self.high_records += usize::from(high);
            self.spikes += usize::from(begins);
            self.is_high = high;
            self.recent.pop_front();
        }
        self.recent.push_back(norm);
        begins
    }

    /// Spikes so far; nothing before a norm was judged.
    pub fn spikes(&self) -> Option<usize> {
        (self.judged > 0).then_some(self.spikes)
    }
}

/// Counts the spikes of gradient norms in the order of training, measured before clipping.
///
/// # Errors
/// A setting is out of its range, a norm is negative, or there is no record after the first window.
pub fn spikes(norms: &[f64], settings: SpikeSettings) -> Result<Spikes, ScalingError> {
    let mut watch = SpikeWatch::new(settings)?;
    if let Some(at) = norms.iter().position(|norm| *norm < 0.0) {
        return Err(ScalingError::value(format!("gradient norm {at}"), "not negative", norms[at]));
    }
    if norms.len() <= settings.window {
        return Err(ScalingError::too_few("gradient norms", settings.window + 1, norms.len()));
    }
    let starts: Vec<usize> =
        norms.iter().enumerate().filter_map(|(at, norm)| watch.push(*norm).then_some(at)).collect();
    let SpikeWatch { judged, high_records, .. } = watch;
    let per_thousand = 1000.0 * starts.len() as f64 / judged as f64;
    Ok(Spikes { starts, high_records, judged, per_thousand })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spikes_are_runs_of_high_records() {
        // A norm that falls slowly, with three spikes of 1, 4 and 2 records, the last not a number.
        let mut norms: Vec<f64> = (0..500).map(|at| 1.0 + 1.0 / (1.0 + f64::from(at))).collect();
        norms[100] = 8.0;
        norms[200..204].fill(5.0);
        norms[300] = f64::NAN;
        norms[301] = f64::INFINITY;
        let found = spikes(&norms, SpikeSettings { factor: 3.0, window: 20 }).unwrap();
        assert_eq!((found.starts, found.high_records, found.judged), (vec![100, 200, 300], 7, 480));
        assert!((found.per_thousand - 6.25).abs() < 1e-12);
        // A lasting rise is one spike, until the median has followed.
        let step: Vec<f64> = (0..100).map(|at| if at < 50 { 1.0 } else { 4.0 }).collect();
        assert_eq!(spikes(&step, SpikeSettings { factor: 3.0, window: 20 }).unwrap().starts, [50]);
    }

    #[test]
    fn norms_are_judged_as_they_come() {
        let mut watch = SpikeWatch::new(SpikeSettings { factor: 3.0, window: 3 }).unwrap();
        let begins: Vec<bool> = [1.0, 1.0, 1.0, 9.0, 9.0, 1.0, f64::NAN].map(|norm| watch.push(norm)).to_vec();
        assert_eq!(begins, [false, false, false, true, false, false, true]);
        assert_eq!(watch.spikes(), Some(2));
        assert_eq!(SpikeWatch::new(SpikeSettings::default()).unwrap().spikes(), None);
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        let settings = SpikeSettings { factor: 3.0, window: 5 };
        assert!(spikes(&[1.0; 5], settings).is_err());
        assert!(spikes(&[-1.0; 9], settings).is_err());
        assert!(spikes(&[1.0; 9], SpikeSettings { factor: 1.0, ..settings }).is_err());
        assert!(spikes(&[1.0; 9], SpikeSettings { window: 2, ..settings }).is_err());
    }
}

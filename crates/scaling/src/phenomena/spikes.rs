//! Spikes of the gradient norm.
//!
//! A record is high whose norm is above `factor` times the median of the `window` records before it; a spike is a run of high
//! records. A norm that is not finite is high. Records without a full window before them are not judged.

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

/// Counts the spikes of gradient norms in the order of training, measured before clipping.
///
/// # Errors
/// A setting is out of its range, a norm is negative, or there is no record after the first window.
pub fn spikes(norms: &[f64], settings: SpikeSettings) -> Result<Spikes, ScalingError> {
    let SpikeSettings { factor, window } = settings;
    if !(factor.is_finite() && factor > 1.0) {
        return Err(ScalingError::value("factor", "finite and above 1", factor));
    }
    if window < 3 {
        return Err(ScalingError::value("window", "at least 3", window));
    }
    if let Some(at) = norms.iter().position(|norm| *norm < 0.0) {
        return Err(ScalingError::value(format!("gradient norm {at}"), "not negative", norms[at]));
    }
    if norms.len() <= window {
        return Err(ScalingError::too_few("gradient norms", window + 1, norms.len()));
    }
    // The median orders what is not a number last, as infinity.
    let ordered: Vec<f64> = norms.iter().map(|norm| if norm.is_nan() { f64::INFINITY } else { *norm }).collect();
    let (mut starts, mut high_records, mut before) = (vec![], 0, false);
    for at in window..ordered.len() {
        let high = ordered[at] == f64::INFINITY || ordered[at] > factor * median(&ordered[at - window..at]);
        if high && !before {
            starts.push(at);
        }
        high_records += usize::from(high);
        before = high;
    }
    let judged = ordered.len() - window;
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
    fn what_cannot_be_judged_is_refused() {
        let settings = SpikeSettings { factor: 3.0, window: 5 };
        assert!(spikes(&[1.0; 5], settings).is_err());
        assert!(spikes(&[-1.0; 9], settings).is_err());
        assert!(spikes(&[1.0; 9], SpikeSettings { factor: 1.0, ..settings }).is_err());
        assert!(spikes(&[1.0; 9], SpikeSettings { window: 2, ..settings }).is_err());
    }
}

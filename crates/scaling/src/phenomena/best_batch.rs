//! The best batch size from a small sweep: the bottom of a parabola of the loss in ln batch, at a fixed number of tokens.

use serde::{Deserialize, Serialize};

use crate::error::ScalingError;
use crate::interval::Interval;
use crate::law::isoflop::parabola;
use crate::uncertainty::{BootstrapSettings, resampled};

/// The best batch size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestBatch {
    /// Tokens a step at the bottom.
    pub batch: f64,
    /// The loss there.
    pub loss: f64,
    /// What one e-fold away costs, above 0.
    pub curvature: f64,
    /// Whether the bottom lies between the sizes that were tried; beyond them it is an extrapolation.
    pub inside: bool,
    /// Of the batch, by resampled rows; nothing where fewer than half of them have a bottom.
    pub interval: Option<Interval>,
}

/// The best batch of (tokens a step, final loss) of runs that saw the same number of tokens.
///
/// # Errors
/// A number is not finite and positive, a setting is out of its range, there are fewer than three sizes, or the losses have no
/// bottom: they fall or rise throughout, so that the sweep must go further.
pub fn best_batch(runs: &[(f64, f64)], settings: BootstrapSettings) -> Result<BestBatch, ScalingError> {
    settings.validate()?;
    for (at, (batch, loss)) in runs.iter().enumerate() {
        if !(batch.is_finite() && *batch > 0.0 && loss.is_finite()) {
            let found = format!("{batch} and {loss}");
            return Err(ScalingError::value(format!("batch and loss {at}"), "finite, the batch above 0", found));
        }
    }
    let mut batches: Vec<f64> = runs.iter().map(|run| run.0).collect();
    batches.sort_by(f64::total_cmp);
    batches.dedup();
    let [first, _, .., last] = batches[..] else {
        return Err(ScalingError::too_few("batch sizes", 3, batches.len()));
    };
    let logs: Vec<(f64, f64)> = runs.iter().map(|(batch, loss)| (batch.ln(), *loss)).collect();
    let Some((bottom, loss, curvature)) = parabola(&logs) else {
        let found = "losses that fall, rise or are highest in the middle";
        return Err(ScalingError::value("the sweep over batch sizes", "one with a least loss inside", found));
    };
    let bottoms = resampled(&[runs.len()], settings, |weights| {
        let rows = logs.iter().zip(&weights[0]).flat_map(|(row, times)| std::iter::repeat_n(*row, *times as usize));
        parabola(&rows.collect::<Vec<_>>()).map(|found| found.0)
    });
    let interval = bottoms
        .ok()
        .filter(|found| 2 * found.laws.len() >= settings.resamples)
        .map(|found| found.interval(|bottom| bottom.exp()));
    let batch = bottom.exp();
    Ok(BestBatch { batch, loss, curvature, inside: (first..=last).contains(&batch), interval })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(best: f64) -> Vec<(f64, f64)> {
        [1e3, 4e3, 1.6e4, 6.4e4, 2.56e5].map(|batch: f64| (batch, 3.0 + 0.01 * (batch / best).ln().powi(2))).to_vec()
    }

    #[test]
    fn the_bottom_of_a_parabola_is_found() {
        let settings = BootstrapSettings { resamples: 50, ..BootstrapSettings::default() };
        let found = best_batch(&sweep(2e4), settings).unwrap();
        assert!((found.batch / 2e4 - 1.0).abs() < 1e-9 && found.inside, "{found:?}");
        assert!((found.loss - 3.0).abs() < 1e-12 && (found.curvature - 0.01).abs() < 1e-12);
        let interval = found.interval.unwrap();
        assert!((interval.low / 2e4 - 1.0).abs() < 1e-6 && (interval.high / 2e4 - 1.0).abs() < 1e-6, "no noise");
        assert!(!best_batch(&sweep(1e6), settings).unwrap().inside);
    }

    #[test]
    fn a_sweep_without_a_bottom_is_refused() {
        let settings = BootstrapSettings::default();
        let falling: Vec<(f64, f64)> = sweep(1.0).iter().map(|(batch, loss)| (*batch, -loss)).collect();
        assert!(best_batch(&falling, settings).unwrap_err().to_string().contains("least loss inside"));
        assert!(best_batch(&sweep(1e4)[..2], settings).is_err());
        assert!(best_batch(&[(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)], settings).is_err());
    }
}

//! How far two sets of images are apart in the features of a network: each distance with its interval, and with its baseline,
//! what as many real training images have.

mod sets;

use interfuse_evaluation::EvaluationError;
use interfuse_evaluation::bootstrap::{Interval, interval_of_sets};
use interfuse_evaluation::frechet::{distance_of_features, distance_of_gaussians};
use interfuse_evaluation::kernel_distance::{cmmd, kid};
use serde::Serialize;

use self::sets::Features;
pub use self::sets::{
    BATCH, Gathering, OpenedSide, Reading, Side, is_npz, joined, require_for_distance, rgb, set_lines,
};
use crate::error::{Result, require};
use crate::observer::RunObserver;

/// A number that is 0 for equal sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// Between Gaussians of the features: the FID, where they are Inception's.
    Frechet,
    /// Maximum mean discrepancy with a Gaussian kernel, meant for CLIP.
    Cmmd,
    /// Maximum mean discrepancy with a cubic kernel.
    Kid,
}

impl Distance {
    fn between(self, a: &Features, b: &Features, seed: u64) -> Result<f64, EvaluationError> {
        match (self, a, b) {
            (Self::Frechet, Features::Kept(a), Features::Kept(b)) => distance_of_features(a.view(), b.view()),
            (Self::Cmmd, Features::Kept(a), Features::Kept(b)) => cmmd(a.view(), b.view()),
            (Self::Kid, Features::Kept(a), Features::Kept(b)) => Ok(kid(a.view(), b.view(), seed)?.mean),
            (Self::Frechet, a, b) => distance_of_gaussians(&a.gaussian()?, &b.gaussian()?),
            (Self::Cmmd | Self::Kid, ..) => {
                Err(EvaluationError::TooFew { what: "images beside the statistics", least: 2, found: 0 })
            }
        }
    }
}

/// A distance, how far chance could have moved it, and what is as good as none.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measured {
    /// The distance.
    pub value: f64,
    /// By sets that were resampled; KID has the deviation of its subsets instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The same of real training images.
    pub baseline: Option<Baseline>,
}

/// The distance of real training images, about what a perfect model would get.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Baseline {
    /// The distance.
    pub value: f64,
    /// How many training images, where that is known.
    pub images: Option<usize>,
}

/// The sets of a distance.
#[derive(Clone, Copy)]
pub struct Comparison<'a> {
    /// Real images.
    pub real: &'a Side,
    /// Generated images.
    pub generated: &'a Side,
    /// Real images of training.
    pub train: Option<&'a Side>,
    /// How often the sets are resampled for the interval, and from which seed; 0 for no interval.
    pub resamples: (usize, u64),
}

impl Comparison<'_> {
    /// Measures a distance.
    ///
    /// # Errors
    /// When a set is too small, or the distance needs images and a side has statistics.
    pub fn measure(&self, distance: Distance, observer: &mut dyn RunObserver) -> Result<Measured> {
        let (real, generated, (count, seed)) = (&self.real.features, &self.generated.features, self.resamples);
        let value = distance.between(real, generated, seed)?;
        let sets = [real.resamplable(), generated.resamplable()];
        let interval = match count {
            0 => None,
            _ if distance == Distance::Kid || sets == [0, 0] => None,
            _ => {
                let mut done = 0;
                let mut again = |[a, b]: [&[usize]; 2]| {
                    done += 1;
                    observer.progress("sets resampled", done, count);
                    distance.between(&real.resampled(a), &generated.resampled(b), seed)
                };
                let Interval { low, high, resamples } = interval_of_sets(value, sets, (count, seed), &mut again)?;
                // A distance is never below 0.
                Some(Interval { low: low.max(0.0), high, resamples })
            }
        };
        Ok(Measured { value, interval, baseline: self.baseline(distance)? })
    }

    /// The distance of the training images, if there are any.
    ///
    /// # Errors
    /// As [`Comparison::measure`].
    pub fn baseline(&self, distance: Distance) -> Result<Option<Baseline>> {
        let of = |train: &Side| -> Result<Baseline> {
            let value = distance.between(&self.real.features, &train.features, self.resamples.1)?;
            Ok(Baseline { value, images: train.images() })
        };
        self.train.map(of).transpose()
    }
}

impl Measured {
    /// Interval and baseline, if there are any, a line each.
    pub fn beside(&self, name: &str) -> Vec<String> {
        let interval = self.interval.map(|Interval { low, high, resamples }| {
            format!("{name}, 95 % interval:  {low:.4} to {high:.4}  ({resamples} times resampled)")
        });
        let baseline = self.baseline.map(|baseline| format!("{name}, baseline:  {baseline}"));
        interval.into_iter().chain(baseline).collect()
    }
}

impl std::fmt::Display for Baseline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.images.map(|count| format!("{count} ")).unwrap_or_default();
        let digits = f.precision().unwrap_or(4);
        write!(f, "{:.digits$}  ({count}training images against the same real ones)", self.value)
    }
}

/// A standard deviation needs two.
///
/// # Errors
/// When there is one.
pub fn check_resamples(count: usize) -> Result<()> {
    require!(count != 1, "--resamples: expected 0 or at least 2, found 1");
    Ok(())
}

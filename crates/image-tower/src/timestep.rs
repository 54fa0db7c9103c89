//! How timesteps are sampled in training.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::config::ImageTowerError;
use crate::noise_schedule::NoiseProcess;

/// The distribution of t before the shift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepDistribution {
    /// Every t alike.
    #[default]
    Uniform,
    /// The logistic function of a normal variable (2403.03206, section 3.1): the middle more often than the ends.
    LogitNormal,
}

/// How timesteps are sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimestepSampling {
    /// The distribution of t before the shift.
    pub distribution: TimestepDistribution,
    /// Mean of the normal variable of `logit_normal`; above 0 means more noise.
    pub logit_mean: f64,
    /// Standard deviation of the normal variable of `logit_normal`.
    pub logit_std: f64,
    /// Shift s of [`shift_timestep`]; 1 leaves t as it is, more means more noise.
    pub shift: f64,
    /// The largest t of an image that precedes its caption (Transfusion, section 4.3.4: 500 of 1000); 1 lifts the limit.
    pub max_before_caption: f64,
}

impl Default for TimestepSampling {
    fn default() -> Self {
        Self {
            distribution: TimestepDistribution::Uniform,
            logit_mean: 0.0,
            logit_std: 1.0,
            shift: 1.0,
            max_before_caption: 0.5,
        }
    }
}

impl TimestepSampling {
    /// Draws a time in (0, 1], or in (0, `max_before_caption`] for an image that precedes its caption.
    pub fn draw(&self, process: NoiseProcess, precedes_caption: bool, rng: &mut impl Rng) -> f32 {
        let uniform = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let t = match self.distribution {
            TimestepDistribution::Uniform => 1.0 - uniform,
            TimestepDistribution::LogitNormal => {
                let normal: f64 = StandardNormal.sample(rng);
                1.0 / (1.0 + (-(self.logit_mean + self.logit_std * normal)).exp())
            }
        };
        let limit = if precedes_caption { self.max_before_caption } else { 1.0 };
        process.nearest_time((shift_timestep(t, self.shift) * limit) as f32)
    }

    pub(crate) fn validate(&self) -> Result<(), ImageTowerError> {
        let range = |key, expected, found: f64, fits: bool| {
            if fits { Ok(()) } else { Err(ImageTowerError::Range { key, expected, found }) }
        };
        range("timesteps.shift", "a number above 0", self.shift, self.shift > 0.0 && self.shift.is_finite())?;
        range("timesteps.logit_std", "a number above 0", self.logit_std, self.logit_std > 0.0)?;
        range("timesteps.logit_mean", "a finite number", self.logit_mean, self.logit_mean.is_finite())?;
        let limit = self.max_before_caption;
        range("timesteps.max_before_caption", "a number in (0, 1]", limit, limit > 0.0 && limit <= 1.0)
    }
}

/// `s t / (1 + (s − 1) t)`: moves times towards noise for s above 1 (SD3, 2403.03206, equation 23; BAGEL).
pub fn shift_timestep(t: f64, shift: f64) -> f64 {
    shift * t / (1.0 + (shift - 1.0) * t)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    /// BAGEL's shift.
    #[test]
    fn the_shift_has_the_published_values() {
        let close = |t: f64, s: f64, expected: f64| assert!((shift_timestep(t, s) - expected).abs() < 5e-7);
        for (t, expected) in [(0.1, 0.307692), (0.25, 0.571429), (0.5, 0.8), (0.75, 0.923077), (0.9, 0.972973)] {
            close(t, 4.0, expected);
        }
        for (t, expected) in [(0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 0.9), (0.9, 0.964286)] {
            close(t, 3.0, expected);
        }
    }

    #[test]
    fn an_image_before_its_caption_is_noised_half_way_at_most() {
        let sampling = TimestepSampling { distribution: TimestepDistribution::LogitNormal, ..Default::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut largest = [0.0f32; 2];
        for _ in 0..2000 {
            for (slot, precedes) in [(0, false), (1, true)] {
                let t = sampling.draw(NoiseProcess::RectifiedFlow, precedes, &mut rng);
                assert!(t > 0.0);
                largest[slot] = largest[slot].max(t);
            }
        }
        assert!(largest[0] > 0.9 && largest[1] <= 0.5 && largest[1] > 0.4);
    }

    #[test]
    fn ddpm_times_are_thousandths_from_one() {
        let sampling = TimestepSampling::default();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for _ in 0..1000 {
            let t = sampling.draw(NoiseProcess::Ddpm, false, &mut rng);
            let n = t * 1000.0;
            assert!(n >= 1.0 && (n - n.round()).abs() < 1e-3);
        }
    }
}

//! How timesteps are sampled in training.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::error::ImageTowerError;
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
    /// Standard deviation of the normal variable of `logit_normal`, above 0.
    pub logit_std: f64,
    /// Shift s, above 0, which makes `s t / (1 + (s − 1) t)` of t; 1 leaves t as it is, more means more noise. It is for images
    /// that are generated: one that precedes its caption is sampled without it.
    pub shift: f64,
    /// The largest t, in (0, 1], of an image that precedes its caption (Transfusion, section 4.3.4: 500 of 1000); 1 lifts the
    /// limit.
    pub max_before_caption: f64,
    /// Fraction, from 0 to 1, of the images preceding their captions that are clean, t = 0, as in captioning (Show-o2,
    /// 2506.15564, learns to understand from clean images alone). There is nothing to denoise in them, so they have no
    /// denoising loss. 0 is Transfusion's way.
    pub clean_fraction: f64,
}

impl Default for TimestepSampling {
    fn default() -> Self {
        Self {
            distribution: TimestepDistribution::Uniform,
            logit_mean: 0.0,
            logit_std: 1.0,
            shift: 1.0,
            max_before_caption: 0.5,
            clean_fraction: 0.0,
        }
    }
}

impl TimestepSampling {
    /// Draws a time in (0, 1]. For an image that precedes its caption it is in (0, `max_before_caption`] and without the shift,
    /// or 0 in `clean_fraction` of the cases.
    pub fn draw(&self, process: NoiseProcess, precedes_caption: bool, rng: &mut impl Rng) -> f32 {
        if precedes_caption && self.clean_fraction > 0.0 && uniform(rng) < self.clean_fraction {
            return 0.0;
        }
        let uniform = uniform(rng);
        let t = match self.distribution {
            TimestepDistribution::Uniform => 1.0 - uniform,
            TimestepDistribution::LogitNormal => {
                let normal: f64 = StandardNormal.sample(rng);
                1.0 / (1.0 + (-(self.logit_mean + self.logit_std * normal)).exp())
            }
        };
        let t = match precedes_caption {
            true => t * self.max_before_caption,
            false => shift_timestep(t, self.shift),
        };
        process.nearest_time(t as f32)
    }

    pub(crate) fn validate(&self) -> Result<(), ImageTowerError> {
        let range = |key, expected, found: f64, fits: bool| {
            if fits { Ok(()) } else { Err(ImageTowerError::Range { key, expected, found }) }
        };
        range("timesteps.shift", "a number above 0", self.shift, self.shift > 0.0 && self.shift.is_finite())?;
        range("timesteps.logit_std", "a number above 0", self.logit_std, self.logit_std > 0.0)?;
        range("timesteps.logit_mean", "a finite number", self.logit_mean, self.logit_mean.is_finite())?;
        let limit = self.max_before_caption;
        range("timesteps.max_before_caption", "a number in (0, 1]", limit, limit > 0.0 && limit <= 1.0)?;
        let clean = self.clean_fraction;
        range("timesteps.clean_fraction", "a fraction from 0 to 1", clean, (0.0..=1.0).contains(&clean))
    }
}

/// A number in [0, 1) with 53 random bits.
fn uniform(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
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
    fn the_shift_is_for_images_that_are_generated() {
        let sampling = TimestepSampling { shift: 8.0, ..Default::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut below_a_tenth = |precedes: bool| {
            let times = (0..2000).map(|_| sampling.draw(NoiseProcess::RectifiedFlow, precedes, &mut rng));
            times.filter(|&t| t < 0.1).count() as f64 / 2000.0
        };
        // Uniform on (0, 0.5]: a fifth of the times.
        let (before, after) = (below_a_tenth(true), below_a_tenth(false));
        assert!((0.16..0.24).contains(&before), "{before}");
        assert!(after < 0.03, "{after}");
    }

    #[test]
    fn a_fraction_of_the_images_before_their_captions_is_clean() {
        let sampling = TimestepSampling { clean_fraction: 0.3, ..Default::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for process in [NoiseProcess::RectifiedFlow, NoiseProcess::Ddpm] {
            let times: Vec<f32> = (0..2000).map(|_| sampling.draw(process, true, &mut rng)).collect();
            let clean = times.iter().filter(|&&t| t == 0.0).count() as f64 / 2000.0;
            assert!((0.26..0.34).contains(&clean), "{clean}");
            assert!((0..2000).all(|_| sampling.draw(process, false, &mut rng) > 0.0));
        }
        let message =
            TimestepSampling { clean_fraction: 1.5, ..Default::default() }.validate().unwrap_err().to_string();
        assert!(message.contains("timesteps.clean_fraction: expected a fraction from 0 to 1, found 1.5"), "{message}");
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

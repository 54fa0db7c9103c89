//! The noise schedule, and the time convention of the whole project:
//!
//! ```text
//! t ∈ [0, 1];  t = 0 is the clean image x_0,  t = 1 is pure noise;  x_t = alpha(t) · x_0 + sigma(t) · noise
//! ```
//!
//! | process | alpha(t) | sigma(t) | times |
//! |---|---|---|---|
//! | rectified flow (2209.03003) | 1 − t | t | real |
//! | DDPM (2006.11239), cosine (2102.09672) | √ᾱ_n | √(1 − ᾱ_n) | n = 1000 t, an integer from 1 |

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::prediction::PredictionTarget;

/// Steps of the discrete process.
pub const DDPM_STEPS: usize = 1000;

/// How an image becomes noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseProcess {
    /// A straight line from the image to the noise.
    #[default]
    RectifiedFlow,
    /// A thousand small steps on the cosine schedule.
    Ddpm,
}

impl NoiseProcess {
    /// `(alpha, sigma)` at time `t`.
    pub fn coefficients(&self, t: f32) -> (f32, f32) {
        match self {
            Self::RectifiedFlow => (1.0 - t, t),
            Self::Ddpm => {
                let alpha_bar = CosineSchedule::shared().alpha_bar(self.step_of(t));
                (alpha_bar.sqrt() as f32, (1.0 - alpha_bar).sqrt() as f32)
            }
        }
    }

    /// The target that defines the process: its sampler asks for this.
    pub fn natural_target(&self) -> PredictionTarget {
        match self {
            Self::RectifiedFlow => PredictionTarget::Velocity,
            Self::Ddpm => PredictionTarget::Noise,
        }
    }

    /// The time nearest to `t` at which the process is defined.
    pub fn nearest_time(&self, t: f32) -> f32 {
        match self {
            Self::RectifiedFlow => t,
            Self::Ddpm => self.step_of(t).max(1) as f32 / DDPM_STEPS as f32,
        }
    }

    fn step_of(&self, t: f32) -> usize {
        ((t * DDPM_STEPS as f32).round() as usize).min(DDPM_STEPS)
    }
}

/// The cosine schedule of Nichol and Dhariwal (2102.09672, equation 17), as in guided-diffusion's `betas_for_alpha_bar`:
/// offset 0.008, every beta at most 0.999.
#[derive(Clone, Debug)]
pub struct CosineSchedule {
    /// ᾱ_n for n from 0 to [`DDPM_STEPS`].
    alpha_bar: Vec<f64>,
}

impl CosineSchedule {
    /// The schedule; it has no parameters, so there is one.
    pub fn shared() -> &'static Self {
        static SCHEDULE: OnceLock<CosineSchedule> = OnceLock::new();
        SCHEDULE.get_or_init(|| {
            let f = |t: f64| ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
            let mut alpha_bar = vec![1.0];
            for n in 0..DDPM_STEPS {
                let time = |n: usize| n as f64 / DDPM_STEPS as f64;
                let beta = (1.0 - f(time(n + 1)) / f(time(n))).min(0.999);
                alpha_bar.push(alpha_bar[n] * (1.0 - beta));
            }
            Self { alpha_bar }
        })
    }

    /// ᾱ_n, the fraction of the image's variance left after step `n`; 1 at n = 0.
    pub fn alpha_bar(&self, n: usize) -> f64 {
        self.alpha_bar[n.min(DDPM_STEPS)]
    }

    /// β_n, the variance that step `n` (from 1) adds.
    pub fn beta(&self, n: usize) -> f64 {
        1.0 - self.alpha_bar(n) / self.alpha_bar(n.saturating_sub(1))
    }
}

/// Which of the 1000 steps of the discrete process a sampler asks the network at (diffusers' `timestep_spacing`; Table 2 of
/// 2305.08891, "Common Diffusion Noise Schedules and Sample Steps are Flawed").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSpacing {
    /// From pure noise, n = 1000, in equal strides; the last stride ends at the image. Also the times of rectified flow.
    Trailing,
    /// The same strides from n = 1 up, so that the first step is one stride short of pure noise and the image can be
    /// estimated from the noise that the network predicts there.
    Leading,
    /// Both ends, n = 1000 and n = 1, and steps spread evenly between (guided-diffusion's `space_timesteps`).
    Linspace,
}

impl TimestepSpacing {
    /// The default for what a model of the discrete process predicts. At n = 1000 the cosine schedule leaves 5e-5 of the image,
    /// so an error of the predicted noise would be multiplied by 2e4 there; a predicted image needs no such division.
    pub fn for_prediction(prediction: PredictionTarget) -> Self {
        match prediction {
            PredictionTarget::Noise => Self::Leading,
            PredictionTarget::Clean | PredictionTarget::Velocity => Self::Trailing,
        }
    }

    /// `count` steps n from 1 to [`DDPM_STEPS`], the noisiest first and strictly falling; `count` is clamped to that range.
    ///
    /// They are diffusers' (there counted from 0) where `count` divides 1000. Elsewhere diffusers' `leading` rounds the stride
    /// down to a whole number, so that 600 steps would start at n = 600; here strides stay fractions.
    pub fn steps(self, count: usize) -> Vec<usize> {
        let count = count.clamp(1, DDPM_STEPS);
        let stride = DDPM_STEPS as f64 / count as f64;
        let step = |i: usize| match self {
            Self::Trailing => (DDPM_STEPS as f64 - i as f64 * stride).round_ties_even() as usize,
            Self::Leading => ((count - 1 - i) as f64 * stride).floor() as usize + 1,
            Self::Linspace if count == 1 => 1,
            Self::Linspace => {
                let stride = (DDPM_STEPS - 1) as f64 / (count - 1) as f64;
                ((count - 1 - i) as f64 * stride).round_ties_even() as usize + 1
            }
        };
        (0..count).map(step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference values of guided-diffusion's `betas_for_alpha_bar`, from float64 arithmetic.
    #[test]
    fn the_cosine_schedule_is_nichol_and_dhariwals() {
        let schedule = CosineSchedule::shared();
        let expected = [
            (1, 0.999958716),
            (10, 0.999368718),
            (100, 0.972092737),
            (250, 0.847012161),
            (500, 0.493843590),
            (750, 0.144272102),
            (900, 0.0240917241),
            (999, 2.42876691e-6),
            (1000, 2.42876691e-9),
        ];
        for (n, value) in expected {
            let found = schedule.alpha_bar(n);
            assert!((found - value).abs() / value < 1e-8, "step {n}: {found} against {value}");
        }
        assert!((schedule.beta(500) - 0.00314588623).abs() < 1e-11);
        assert!((schedule.beta(1000) - 0.999).abs() < 1e-12);
        assert!((1..1000).all(|n| schedule.beta(n) < 0.999));
    }

    /// Worked out by the formulas of diffusers' `DDPMScheduler.set_timesteps`, plus 1.
    #[test]
    fn steps_are_those_of_diffusers() {
        use TimestepSpacing::{Leading, Linspace, Trailing};
        let steps = |spacing: TimestepSpacing, count| spacing.steps(count);
        assert_eq!(steps(Trailing, 4), [1000, 750, 500, 250]);
        assert_eq!(steps(Trailing, 7), [1000, 857, 714, 571, 429, 286, 143]);
        assert_eq!(steps(Leading, 4), [751, 501, 251, 1]);
        assert_eq!((steps(Leading, 40)[0], steps(Leading, 250)[0]), (976, 997));
        let spread = steps(Linspace, 250);
        assert_eq!(spread[..4], [1000, 996, 992, 988]);
        assert_eq!(spread[244..], [21, 17, 13, 9, 5, 1]);
        for spacing in [Trailing, Leading, Linspace] {
            assert_eq!(steps(spacing, 1000), (1..=1000).rev().collect::<Vec<_>>());
            for count in [1, 3, 40, 600, 999] {
                let steps = steps(spacing, count);
                assert_eq!(steps.len(), count);
                assert!(steps.windows(2).all(|pair| pair[0] > pair[1]) && steps[count - 1] >= 1 && steps[0] <= 1000);
            }
        }
        assert_eq!(steps(Leading, 600)[0], 999);
    }

    #[test]
    fn both_processes_start_at_the_image_and_end_in_noise() {
        for process in [NoiseProcess::RectifiedFlow, NoiseProcess::Ddpm] {
            let (alpha, sigma) = process.coefficients(0.0);
            assert_eq!((alpha, sigma), (1.0, 0.0));
            let (alpha, sigma) = process.coefficients(1.0);
            assert!(alpha < 1e-4 && (sigma - 1.0).abs() < 1e-4);
        }
    }
}

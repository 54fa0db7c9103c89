//! What the network may predict, and how one prediction is another in disguise.
//!
//! With `x_t = alpha · x_0 + sigma · noise` known, any one of the clean image, the noise and the velocity gives the rest.

use serde::{Deserialize, Serialize};

/// What the network puts out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionTarget {
    /// `noise − x_0`, the direction of rectified flow.
    #[default]
    Velocity,
    /// The noise, as in DDPM.
    Noise,
    /// The clean image `x_0`.
    Clean,
}

/// Below this time a division by t amplifies rounding more than it says anything; "Just image Transformers"
/// (2511.13720) clips at the same place.
pub const SMALLEST_T: f32 = 0.05;

impl PredictionTarget {
    /// `(a, b)` such that the target is `a · x_0 + b · noise`.
    pub fn coefficients(&self) -> (f32, f32) {
        match self {
            Self::Velocity => (-1.0, 1.0),
            Self::Noise => (0.0, 1.0),
            Self::Clean => (1.0, 0.0),
        }
    }

    /// By what the squared error of this prediction is multiplied to be the squared error in `space`, where
    /// `(alpha, sigma)` are the coefficients of x_t.
    ///
    /// An error e in x_0 is an error of e · alpha/sigma in the noise and, on the straight line, of e / t in the velocity.
    pub fn loss_weight(&self, space: Self, (alpha, sigma): (f32, f32)) -> f32 {
        let per_clean_error = |target: &Self| match target {
            Self::Clean => 1.0,
            Self::Noise => alpha / sigma.max(SMALLEST_T),
            Self::Velocity => 1.0 / sigma.max(SMALLEST_T),
        };
        (per_clean_error(&space) / per_clean_error(self).max(1e-3)).powi(2)
    }

    /// `(c, d)` such that the estimate of the clean image is `c · x_t + d · prediction`.
    pub fn to_clean(&self, (alpha, sigma): (f32, f32)) -> (f32, f32) {
        match self {
            Self::Clean => (0.0, 1.0),
            Self::Noise => {
                // The cosine schedule ends at 4.9e-5.
                let alpha = alpha.max(1e-5);
                (1.0 / alpha, -sigma / alpha)
            }
            Self::Velocity => (1.0, -sigma),
        }
    }

    /// `(c, d)` such that the estimate of the velocity on the straight line is `c · x_t + d · prediction`, where
    /// `sigma = t`.
    pub fn to_velocity(&self, (_, sigma): (f32, f32)) -> (f32, f32) {
        let t = sigma.max(1e-4);
        match self {
            Self::Velocity => (0.0, 1.0),
            // (x_t − x_0) / t
            Self::Clean => (1.0 / t, -1.0 / t),
            // noise − x_0, with x_0 = (x_t − t · noise) / (1 − t)
            Self::Noise => {
                let alpha = (1.0 - t).max(1e-4);
                (-1.0 / alpha, 1.0 + t / alpha)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise_schedule::NoiseProcess;

    const TARGETS: [PredictionTarget; 3] =
        [PredictionTarget::Velocity, PredictionTarget::Noise, PredictionTarget::Clean];

    #[test]
    fn an_exact_prediction_gives_back_the_clean_image_and_the_velocity() {
        let (x_0, noise, t) = (0.7f32, -1.3f32, 0.4f32);
        let flow = NoiseProcess::RectifiedFlow.coefficients(t);
        let x_t = flow.0 * x_0 + flow.1 * noise;
        for target in TARGETS {
            let (a, b) = target.coefficients();
            let exact = a * x_0 + b * noise;
            let (c, d) = target.to_clean(flow);
            assert!((c * x_t + d * exact - x_0).abs() < 1e-5, "{target:?}");
            let (c, d) = target.to_velocity(flow);
            assert!((c * x_t + d * exact - (noise - x_0)).abs() < 1e-5, "{target:?}");
        }
    }

    #[test]
    fn one_euler_step_from_the_exact_velocity_recovers_the_image() {
        let (x_0, noise) = (0.25f32, 1.5f32);
        for t in [0.1f32, 0.5, 0.9, 1.0] {
            let (alpha, sigma) = NoiseProcess::RectifiedFlow.coefficients(t);
            let x_t = alpha * x_0 + sigma * noise;
            assert!((x_t - t * (noise - x_0) - x_0).abs() < 1e-6);
        }
    }

    #[test]
    fn the_loss_weight_turns_one_squared_error_into_the_other() {
        let (x_0, wrong, noise, t) = (0.7f32, 0.4f32, -1.3f32, 0.3f32);
        let coefficients = NoiseProcess::RectifiedFlow.coefficients(t);
        let x_t = coefficients.0 * x_0 + coefficients.1 * noise;
        let (c, d) = PredictionTarget::Clean.to_velocity(coefficients);
        let velocity_error = (c * x_t + d * wrong - (noise - x_0)).powi(2);
        let weight = PredictionTarget::Clean.loss_weight(PredictionTarget::Velocity, coefficients);
        assert!((weight * (wrong - x_0).powi(2) - velocity_error).abs() < 1e-4);
        assert_eq!(PredictionTarget::Noise.loss_weight(PredictionTarget::Noise, coefficients), 1.0);
    }
}

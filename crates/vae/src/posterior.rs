//! The distribution of latents that an encoder gives an image: a Gaussian for every number.

use burn::tensor::Tensor;

/// Log-variances are kept within these bounds, as in diffusers.
const LOG_VARIANCE: [f32; 2] = [-30.0, 20.0];

/// Means and log-variances.
#[derive(Clone, Debug)]
pub struct Posterior {
    /// `[B, latent_channels, h, w]`
    pub mean: Tensor<4>,
    /// `[B, latent_channels, h, w]`
    pub log_variance: Tensor<4>,
}

impl Posterior {
    /// # Shapes
    /// - `posterior`: `[B, 2 · latent_channels, h, w]`, the means first
    pub fn of_channels(posterior: Tensor<4>) -> Self {
        let [_, channels, _, _] = posterior.dims();
        let half = channels / 2;
        let [low, high] = LOG_VARIANCE;
        let mean = posterior.clone().narrow(1, 0, half);
        Self { mean, log_variance: posterior.narrow(1, half, half).clamp(low, high) }
    }

    /// `mean + exp(log_variance / 2) · noise`
    pub fn sample(&self, noise: Tensor<4>) -> Tensor<4> {
        self.mean.clone() + self.log_variance.clone().mul_scalar(0.5).exp() * noise
    }

    /// Kullback–Leibler divergence from the standard normal, the sum over an image's latents and the mean over images, in
    /// nats (Kingma and Welling, 1312.6114, appendix B). `[1]`
    pub fn divergence(&self) -> Tensor<1> {
        let [batch, _, _, _] = self.mean.dims();
        let variance = self.log_variance.clone().exp();
        let terms = self.mean.clone().square() + variance - self.log_variance.clone() - 1.0;
        terms.sum().mul_scalar(0.5 / batch as f64)
    }
}

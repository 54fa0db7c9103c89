//! The denoise loop of a span, with classifier-free guidance.
//!
//! A guided image is predicted twice in every step: after its prompt and after none. Both times it is the same noisy image, and
//!
//! ```text
//! prediction = unconditional + guidance · (conditional − unconditional)       (2207.12598, equation 6)
//! ```
//!
//! Every conversion between predictions is linear, so guiding the prediction guides the velocity and the noise alike.

use burn::tensor::{Tensor, TensorData};
use interfuse_checkpoint::Pretrained;
use interfuse_image_tower::{NoiseKey, standard_normal};

use crate::config::SamplingConfig;
use crate::error::SamplingError;
use crate::session::{OpenSpan, Session};
use crate::solver::{Bounds, Integration, integrate, times};

/// The step number under which a sample's own noise is generated; training never gets there.
pub(crate) const SAMPLING_STEP: u64 = u64::MAX;

/// What the model predicts for noisy images.
pub trait Denoiser {
    /// # Shapes
    /// - `x_t`: `[n, C, H, W]`; returns the same
    fn predict(&self, x_t: Tensor<4>, t: f32) -> Tensor<4>;
}

/// The span of a session, without guidance.
pub struct Plain<'s, 'm> {
    /// The sequences, one for each image.
    pub session: &'s Session<'m>,
    /// Their images.
    pub span: &'s OpenSpan,
}

impl Denoiser for Plain<'_, '_> {
    fn predict(&self, x_t: Tensor<4>, t: f32) -> Tensor<4> {
        // A span without rows has no prediction; the solver then leaves the image where it is.
        self.session.predict(self.span, x_t.clone(), t).unwrap_or_else(|| x_t.zeros_like())
    }
}

/// Guidance within one session of `2n` sequences: `0..n` conditional, `n..2n` unconditional.
pub struct Paired<'s, 'm> {
    /// All sequences and their images.
    pub both: Plain<'s, 'm>,
    /// Scale of the guidance.
    pub guidance: f64,
}

impl Denoiser for Paired<'_, '_> {
    fn predict(&self, x_t: Tensor<4>, t: f32) -> Tensor<4> {
        let [images, _, _, _] = x_t.dims();
        let both = self.both.predict(Tensor::cat(vec![x_t.clone(), x_t], 0), t);
        guided(both.clone().narrow(0, 0, images), both.narrow(0, images, images), self.guidance)
    }
}

/// Guidance across two sessions of `n` sequences each: what is unconditional need not have the conditional one's past.
pub struct Beside<'s, 'm> {
    /// The sequences with all that they hold.
    pub conditional: Plain<'s, 'm>,
    /// As many that hold nothing before the image.
    pub unconditional: Plain<'s, 'm>,
    /// Scale of the guidance.
    pub guidance: f64,
}

impl Denoiser for Beside<'_, '_> {
    fn predict(&self, x_t: Tensor<4>, t: f32) -> Tensor<4> {
        let conditional = self.conditional.predict(x_t.clone(), t);
        guided(conditional, self.unconditional.predict(x_t, t), self.guidance)
    }
}

/// The same line for predictions of images and for logits.
pub(crate) fn guided<const R: usize>(conditional: Tensor<R>, unconditional: Tensor<R>, guidance: f64) -> Tensor<R> {
    unconditional.clone() + (conditional - unconditional).mul_scalar(guidance)
}

/// Denoises one image for each of `seeds`. Image `i` depends on `seeds[i]` alone and on nothing else of the batch. Returns
/// `[n, C, H, W]`.
///
/// # Errors
/// When the solver or the spacing does not fit the model.
pub fn denoise(
    pretrained: &Pretrained,
    denoiser: &dyn Denoiser,
    seeds: &[u64],
    image_index: u64,
    config: &SamplingConfig,
) -> Result<Tensor<4>, SamplingError> {
    let card = &pretrained.card;
    let tower = card.model.image_tower().ok_or(SamplingError::NoModality("image".into()))?;
    let [channels, height, width] = card.model.latent_shape;
    let size = channels * height * width;
    let mut generators: Vec<_> =
        seeds.iter().map(|&seed| NoiseKey { seed, step: SAMPLING_STEP }.generator(0, image_index)).collect();
    let noise: Vec<f32> = generators.iter_mut().flat_map(|rng| standard_normal(size, rng)).collect();
    let start = TensorData::new(noise, [seeds.len(), channels, height, width]);
    let start = Tensor::from_data(start, &pretrained.device);
    let spacing = config.spacing_for(tower.process, tower.prediction)?;
    let range = card.latent_range.clone().or_else(|| pretrained.codec.latent_range());
    let plan = Integration {
        solver: config.solver_for(tower.process)?,
        prediction: tower.prediction,
        process: tower.process,
        times: times(tower.process, config.steps, spacing, config.shift),
        bounds: range.map(|range| Bounds::new(&range, &start)),
    };
    Ok(integrate(&plan, start, &mut generators, &|x, t| denoiser.predict(x, t)))
}

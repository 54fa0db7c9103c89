//! The denoise loop of a span.
//!
//! A guided image is predicted several times in every step, each time as the same noisy image: after all that it follows and
//! after less of it ([`crate::guidance`]).

use burn::tensor::{Tensor, TensorData};
use interfuse_checkpoint::Pretrained;
use interfuse_image_tower::{NoiseKey, standard_normal};

use crate::config::SamplingConfig;
use crate::error::SamplingError;
use crate::guidance::Guidance;
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

/// Guidance within one session: `0..n` sequences with all that an image follows, the next `n` with less of it, and so on.
pub struct Branches<'s, 'm> {
    /// All sequences and their images.
    pub all: Plain<'s, 'm>,
    /// How many branches there are, from 1 to 3.
    pub count: usize,
    /// How they are weighed.
    pub guidance: Guidance,
}

impl Denoiser for Branches<'_, '_> {
    fn predict(&self, x_t: Tensor<4>, t: f32) -> Tensor<4> {
        let [images, _, _, _] = x_t.dims();
        let all = self.all.predict(Tensor::cat(vec![x_t.clone(); self.count], 0), t);
        let predictions: Vec<_> =
            (0..self.count).map(|branch| all.clone().narrow(0, branch * images, images)).collect();
        self.guidance.combine(&predictions, t).unwrap_or(x_t)
    }
}

/// Guidance across two sessions of `n` sequences each: what is unconditional need not have the conditional one's past.
pub struct Beside<'s, 'm> {
    /// The sequences with all that they hold.
    pub conditional: Plain<'s, 'm>,
    /// As many that hold nothing before the image.
    pub unconditional: Plain<'s, 'm>,
    /// How the two are weighed.
    pub guidance: Guidance,
}

impl Denoiser for Beside<'_, '_> {
    fn predict(&self, x_t: Tensor<4>, t: f32) -> Tensor<4> {
        let conditional = self.conditional.predict(x_t.clone(), t);
        let both = [conditional, self.unconditional.predict(x_t.clone(), t)];
        self.guidance.combine(&both, t).unwrap_or(x_t)
    }
}

/// Denoises one image for each of `seeds`, with latents of a shape `[C, H, W]`. Image `i` depends on `seeds[i]` alone and on
/// nothing else of the batch. Returns `[n, C, H, W]`.
///
/// # Errors
/// When the solver or the spacing does not fit the model.
pub fn denoise(
    pretrained: &Pretrained,
    denoiser: &dyn Denoiser,
    [channels, height, width]: [usize; 3],
    (seeds, image_index): (&[u64], u64),
    config: &SamplingConfig,
) -> Result<Tensor<4>, SamplingError> {
    let card = &pretrained.card;
    let tower = card.model.image_tower().ok_or(SamplingError::NoModality("image".into()))?;
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

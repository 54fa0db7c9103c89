//! The denoise loop of a span, with classifier-free guidance.
//!
//! A guided image runs as two sequences of one batch: one with the prompt, one without. Both hold the same noisy image, and
//!
//! ```text
//! prediction = unconditional + guidance · (conditional − unconditional)       (2207.12598, equation 6)
//! ```
//!
//! Every conversion between predictions is linear, so guiding the prediction guides the velocity and the noise alike.

use burn::tensor::{Tensor, TensorData};
use interfuse_image_tower::{NoiseKey, standard_normal};

use crate::config::SamplingConfig;
use crate::error::SamplingError;
use crate::session::{OpenSpan, Session};
use crate::solver::{Integration, integrate, times};
use interfuse_checkpoint::Pretrained;

/// The step number under which a sample's own noise is generated; training never gets there.
const SAMPLING_STEP: u64 = u64::MAX;

/// Denoises the open span of every sequence that has one.
///
/// With `guided`, sequences `0..n` are conditional and `n..2n` unconditional, and both halves end with the same image.
/// Image `i` depends on `seeds[i]` alone and on nothing else of the batch. Returns `[n, C, H, W]`.
///
/// # Errors
/// When the solver does not fit the model.
pub fn denoise(
    pretrained: &Pretrained,
    session: &Session<'_>,
    span: &OpenSpan,
    seeds: &[u64],
    image_index: u64,
    config: &SamplingConfig,
    guided: bool,
) -> Result<Tensor<4>, SamplingError> {
    let card = &pretrained.card;
    let tower = card.model.image_tower().ok_or(SamplingError::NoModality("image".into()))?;
    let plan = Integration {
        solver: config.solver_for(tower.process)?,
        prediction: tower.prediction,
        process: tower.process,
        times: times(tower.process, config.steps, config.shift),
        bound: pretrained.codec.latent_bound(),
    };
    let [channels, height, width] = card.model.latent_shape;
    let size = channels * height * width;
    let mut generators: Vec<_> =
        seeds.iter().map(|&seed| NoiseKey { seed, step: SAMPLING_STEP }.generator(0, image_index)).collect();
    let noise: Vec<f32> = generators.iter_mut().flat_map(|rng| standard_normal(size, rng)).collect();
    let start = TensorData::new(noise, [seeds.len(), channels, height, width]);
    let start = Tensor::from_data(start, &pretrained.device);

    let predict = |x: Tensor<4>, t: f32| -> Tensor<4> {
        let doubled = if guided { Tensor::cat(vec![x.clone(), x.clone()], 0) } else { x.clone() };
        match session.predict(span, doubled, t) {
            Some(both) if guided => {
                let conditional = both.clone().narrow(0, 0, seeds.len());
                let unconditional = both.narrow(0, seeds.len(), seeds.len());
                unconditional.clone() + (conditional - unconditional).mul_scalar(config.guidance)
            }
            Some(prediction) => prediction,
            // A span without rows says nothing; the solver then leaves the image where it is.
            None => x.zeros_like(),
        }
    };
    Ok(integrate(&plan, start, &mut generators, &predict))
}

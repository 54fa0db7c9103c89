//! The forward process of training: t and noise are sampled on the host, x_t and the target are made of *the same* noise.
//!
//! Dimensions: `B` sequences, `N` image slots, `C × H × W` latents.
//!
//! ```text
//! x_t    = alpha(t) · x_0 + sigma(t) · noise
//! target = a · x_0 + b · noise                  (a, b by the prediction target)
//! ```
//!
//! The noise of an image is a function of (seed, step, sample, image) alone, so neither the batch, a resume nor the device
//! changes it.

use burn::tensor::{Device, Tensor, TensorData};
use interfuse_sequence::{LatentRows, Span};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::config::ImageTowerConfig;

/// Images with their noise.
#[derive(Clone, Debug)]
pub struct NoisedLatents {
    /// The noisy latents. `[B, N, C, H, W]`
    pub x_t: Tensor<5>,
    /// What the network is to predict. `[B, N, C, H, W]`
    pub target: Tensor<5>,
    /// `[B, N]`
    pub t: Tensor<2>,
    /// Weight of each image's squared error; 0 for an empty slot and for a clean image. `[B, N]`
    pub weight: Tensor<2>,
    /// Number of images that are to be denoised: those with t above 0.
    pub images: usize,
}

/// Whose noise it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseKey {
    /// Seed of the run.
    pub seed: u64,
    /// Step of the optimizer.
    pub step: u64,
}

impl NoiseKey {
    /// The generator of one image of one sample.
    pub fn generator(&self, sample: u64, image_index: u64) -> ChaCha8Rng {
        let mut key = [0; 32];
        for (bytes, value) in key.chunks_exact_mut(8).zip([self.seed, self.step, sample, image_index]) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        ChaCha8Rng::from_seed(key)
    }
}

/// Which t an image gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TimestepChoice {
    /// Sampled as the configuration says.
    Sampled,
    /// The same for all, as held-out losses by noise level need.
    At(f32),
}

/// Noises all images of a lane.
pub fn noise_batch(
    rows: &LatentRows,
    config: &ImageTowerConfig,
    key: NoiseKey,
    choice: TimestepChoice,
    device: &Device,
) -> NoisedLatents {
    let batch = rows.spans.len();
    let slots = rows.spans.first().map_or(0, Vec::len);
    let size: usize = rows.latent_shape.iter().product();
    let mut noised = HostImages::zeros(batch * slots, size);
    let spans: Vec<Option<&Span>> = rows.spans.iter().flatten().map(Option::as_ref).collect();
    noised.fill(&spans, config, key, choice);
    let [channels, height, width] = rows.latent_shape;
    let images = |values| Tensor::from_data(TensorData::new(values, [batch, slots, channels, height, width]), device);
    let scalars = |values| Tensor::from_data(TensorData::new(values, [batch, slots]), device);
    let to_denoise = noised.t.iter().filter(|&&t| t > 0.0).count();
    NoisedLatents {
        x_t: images(noised.x_t),
        target: images(noised.target),
        t: scalars(noised.t),
        weight: scalars(noised.weight),
        images: to_denoise,
    }
}

/// `count` independent standard normal values.
pub fn standard_normal(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count).map(|_| StandardNormal.sample(rng)).collect()
}

struct HostImages {
    size: usize,
    x_t: Vec<f32>,
    target: Vec<f32>,
    t: Vec<f32>,
    weight: Vec<f32>,
}

impl HostImages {
    fn zeros(images: usize, size: usize) -> Self {
        let zeros = |count: usize| vec![0.0; count];
        Self { size, x_t: zeros(images * size), target: zeros(images * size), t: zeros(images), weight: zeros(images) }
    }

    /// Fills every slot that has an image, the images side by side on all cores.
    fn fill(&mut self, spans: &[Option<&Span>], config: &ImageTowerConfig, key: NoiseKey, choice: TimestepChoice) {
        let pixels = self.x_t.par_chunks_mut(self.size.max(1)).zip(self.target.par_chunks_mut(self.size.max(1)));
        let scalars = self.t.par_iter_mut().zip(&mut self.weight);
        pixels.zip(scalars).zip(spans).for_each(|(((x_t, target), (t, weight)), span)| {
            if let Some(span) = span {
                (*t, *weight) = noise_image(x_t, target, span, config, key, choice);
            }
        });
    }
}

/// Writes the noisy image and its target; returns its time and the weight of its error. An image that is given is clean,
/// whatever time was chosen.
fn noise_image(
    x_t: &mut [f32],
    target: &mut [f32],
    span: &Span,
    config: &ImageTowerConfig,
    key: NoiseKey,
    choice: TimestepChoice,
) -> (f32, f32) {
    let mut rng = key.generator(span.sample, span.image_index as u64);
    let t = match choice {
        _ if span.given => 0.0,
        TimestepChoice::Sampled => config.timesteps.draw(config.process, span.precedes_caption, &mut rng),
        TimestepChoice::At(t) => config.process.nearest_time(t),
    };
    let (alpha, sigma) = config.process.coefficients(t);
    let (a, b) = config.prediction.coefficients();
    for ((x_t, target), &x_0) in x_t.iter_mut().zip(target).zip(span.x_0.iter()) {
        let noise: f32 = StandardNormal.sample(&mut rng);
        *x_t = alpha * x_0 + sigma * noise;
        *target = a * x_0 + b * noise;
    }
    // A clean image holds no noise that could be predicted.
    let weight = if t > 0.0 { config.prediction.loss_weight(config.loss_space(), (alpha, sigma)) } else { 0.0 };
    (t, weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise_schedule::NoiseProcess;
    use crate::prediction::PredictionTarget;
    use ndarray::Array3;
    use std::sync::Arc;

    const SHAPE: [usize; 3] = [1, 4, 4];

    fn config(process: NoiseProcess, prediction: PredictionTarget) -> ImageTowerConfig {
        ImageTowerConfig {
            patch_size: 2,
            patch_overlap: 0,
            unet: None,
            learned_positions: false,
            process,
            prediction,
            skip: false,
            loss_space: None,
            timestep_conditioning: Default::default(),
            timesteps: Default::default(),
        }
    }

    fn span(sample: u64) -> Option<Span> {
        let x_0 = Arc::new(Array3::from_shape_fn((1, 4, 4), |(_, y, x)| (y * 4 + x) as f32 / 16.0));
        Some(Span { sample, image_index: 0, precedes_caption: false, given: false, x_0 })
    }

    fn rows(spans: Vec<Vec<Option<Span>>>) -> LatentRows {
        let images = spans.iter().flatten().flatten().count();
        LatentRows { spans, latent_shape: SHAPE, rows_per_image: 4, images }
    }

    fn values<const R: usize>(tensor: &Tensor<R>) -> Vec<f32> {
        tensor.to_data().try_to_vec().unwrap()
    }

    /// The defect of more than one public code: a target of fresh noise, which nothing can predict.
    #[test]
    fn the_noise_of_the_input_is_the_noise_of_the_target() {
        let device = Device::flex();
        let key = NoiseKey { seed: 3, step: 14 };
        for (process, prediction) in [
            (NoiseProcess::RectifiedFlow, PredictionTarget::Velocity),
            (NoiseProcess::RectifiedFlow, PredictionTarget::Clean),
            (NoiseProcess::Ddpm, PredictionTarget::Noise),
        ] {
            let config = config(process, prediction);
            let noised = noise_batch(&rows(vec![vec![span(9)]]), &config, key, TimestepChoice::Sampled, &device);
            let t = values(&noised.t)[0];
            let (c, d) = prediction.to_clean(process.coefficients(t));
            let clean = span(9).unwrap().x_0;
            for ((x_t, target), x_0) in values(&noised.x_t).iter().zip(values(&noised.target)).zip(clean.iter()) {
                assert!((c * x_t + d * target - x_0).abs() < 1e-3, "{process:?} {prediction:?} at t = {t}");
            }
        }
    }

    #[test]
    fn noise_depends_on_the_key_and_the_sample_but_not_on_the_batch() {
        let device = Device::flex();
        let config = config(NoiseProcess::RectifiedFlow, PredictionTarget::Velocity);
        let noised = |spans, key| noise_batch(&rows(spans), &config, key, TimestepChoice::Sampled, &device);
        let key = NoiseKey { seed: 1, step: 2 };
        let alone = values(&noised(vec![vec![span(5)]], key).x_t);
        let among = values(&noised(vec![vec![span(4), None], vec![None, span(5)]], key).x_t);
        assert_eq!(alone, among[48..]);
        assert!(among[16..48].iter().all(|&x| x == 0.0), "an empty slot holds nothing");
        for other in [NoiseKey { seed: 2, step: 2 }, NoiseKey { seed: 1, step: 3 }] {
            assert_ne!(alone, values(&noised(vec![vec![span(5)]], other).x_t));
        }
        assert_ne!(alone, values(&noised(vec![vec![span(6)]], key).x_t));
    }

    #[test]
    fn a_clean_image_is_read_as_it_is_and_not_denoised() {
        let device = Device::flex();
        for process in [NoiseProcess::RectifiedFlow, NoiseProcess::Ddpm] {
            let mut config = config(process, process.natural_target());
            config.timesteps.clean_fraction = 1.0;
            let before = span(5).map(|span| Span { precedes_caption: true, ..span });
            let rows = rows(vec![vec![before], vec![span(6)]]);
            let key = NoiseKey { seed: 1, step: 0 };
            let noised = noise_batch(&rows, &config, key, TimestepChoice::Sampled, &device);
            let x_0: Vec<f32> = span(5).unwrap().x_0.iter().copied().collect();
            assert_eq!(values(&noised.x_t)[..16], x_0);
            assert_eq!((values(&noised.t)[0], values(&noised.weight)[0], noised.images), (0.0, 0.0, 1));
            assert!(values(&noised.t)[1] > 0.0 && values(&noised.weight)[1] > 0.0);
        }
    }

    #[test]
    fn an_image_that_is_given_is_clean_at_every_level() {
        let config = config(NoiseProcess::RectifiedFlow, PredictionTarget::Velocity);
        let given = span(5).map(|span| Span { given: true, ..span });
        let rows = rows(vec![vec![given, span(6)]]);
        let key = NoiseKey { seed: 1, step: 0 };
        for choice in [TimestepChoice::Sampled, TimestepChoice::At(0.7)] {
            let noised = noise_batch(&rows, &config, key, choice, &Device::flex());
            let x_0: Vec<f32> = span(5).unwrap().x_0.iter().copied().collect();
            assert_eq!(values(&noised.x_t)[..16], x_0);
            let (t, weight) = (values(&noised.t), values(&noised.weight));
            assert_eq!((t[0], weight[0], noised.images), (0.0, 0.0, 1));
            assert!(t[1] > 0.0 && weight[1] > 0.0);
        }
    }

    #[test]
    fn the_same_noise_serves_every_level_of_a_held_out_loss() {
        let device = Device::flex();
        let config = config(NoiseProcess::RectifiedFlow, PredictionTarget::Noise);
        let key = NoiseKey { seed: 1, step: 0 };
        let at = |t| noise_batch(&rows(vec![vec![span(5)]]), &config, key, TimestepChoice::At(t), &device);
        assert_eq!(values(&at(0.2).target), values(&at(0.8).target));
        assert_eq!(values(&at(0.2).t), [0.2]);
    }
}

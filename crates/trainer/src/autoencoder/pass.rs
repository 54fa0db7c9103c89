//! Losses and gradients of a micro-batch.
//!
//! ```text
//! L = |x − x'| + w_p perceptual(x, x') + w_d λ deceit(x')   + w_kl KL / pixels          continuous latents
//!                                                           + codebook + β commitment   codes
//! λ = |∂(first two)/∂W| / |∂deceit/∂W|                      W: the decoder's last weights
//! ```
//!
//! The losses of the image are differentiated by the image alone first; the adaptive weight λ needs both gradients. What
//! they come to then goes back through decoder and encoder once.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use interfuse_vae::loss::{Lpips, PatchDiscriminator, discriminator, pyramid};
use interfuse_vae::{Posterior, Vae};

use super::config::{AutoencoderLossConfig, PerceptualConfig};
use crate::optimization::gradients::FlatGradients;
use crate::optimization::tape::on_its_own_tape;

/// Everything that the losses of a step need besides images.
pub(super) struct Objective<'a> {
    pub(super) config: &'a AutoencoderLossConfig,
    /// Weight of the commitment to a code.
    pub(super) commitment: f64,
    pub(super) lpips: Option<&'a Lpips>,
    /// Judges the reconstructions, once it is time.
    pub(super) discriminator: Option<&'a PatchDiscriminator>,
    /// What a micro-batch counts in the whole step.
    pub(super) fraction: f64,
}

/// A micro-batch.
pub(super) struct ImageBatch {
    /// In [-1, 1], `[B, C, H, W]`.
    pub(super) pixels: Tensor<4>,
    /// Standard normal, `[B, latent_channels, h, w]`; not used by codes.
    pub(super) noise: Tensor<4>,
}

/// What a micro-batch came to.
pub(super) struct Pass {
    pub(super) gradients: FlatGradients,
    pub(super) discriminator_gradients: Option<FlatGradients>,
    /// Losses by name, off the tape, each `[1]`.
    pub(super) losses: Vec<(&'static str, Tensor<1>)>,
    pub(super) codes: Option<Codes>,
}

/// The codes that a micro-batch used, and the vectors that they stand for.
pub(super) struct Codes {
    /// `[B, h, w]`
    pub(super) ids: Tensor<3, Int>,
    /// `[B, D, h, w]`
    pub(super) vectors: Tensor<4>,
}

/// Forward and backward of a micro-batch.
pub(super) fn pass(vae: &Vae, batch: &ImageBatch, objective: &Objective<'_>) -> Pass {
    let vae = on_its_own_tape(vae);
    let Encoded { features, regulariser, mut losses, codes } = encode_decode(&vae, batch, objective);
    let reconstruction = vae.last_layer().forward(features.clone());

    let pixels = batch.pixels.clone().inner();
    let (by_image, image_losses) = gradient_by_image(&vae, reconstruction.clone(), features, batch, objective);
    losses.splice(0..0, image_losses);
    let fake = reconstruction.clone().inner();
    let total = (reconstruction * Tensor::from_inner(by_image)).sum() + regulariser;
    let gradients = FlatGradients::of(&vae, total.mul_scalar(objective.fraction).backward(), |_| None);

    let discriminator_gradients = objective.discriminator.map(|discriminator| {
        let discriminator = on_its_own_tape(discriminator);
        let loss = discriminator.loss(Tensor::from_inner(pixels), Tensor::from_inner(fake));
        losses.push(("discriminator_loss", loss.clone().inner()));
        FlatGradients::of(&discriminator, loss.mul_scalar(objective.fraction).backward(), |_| None)
    });
    Pass { gradients, discriminator_gradients, losses, codes }
}

/// Images on their way, up to the decoder's last convolution.
struct Encoded {
    features: Tensor<4>,
    /// What keeps the latents in bounds. `[1]`
    regulariser: Tensor<1>,
    losses: Vec<(&'static str, Tensor<1>)>,
    codes: Option<Codes>,
}

fn encode_decode(vae: &Vae, batch: &ImageBatch, objective: &Objective<'_>) -> Encoded {
    let [_, channels, height, width] = batch.pixels.dims();
    let pixels = batch.pixels.clone();
    match vae {
        Vae::Kl(vae) => {
            let posterior: Posterior = vae.encode(pixels);
            let divergence = posterior.divergence();
            let weight = objective.config.kl_weight / (channels * height * width) as f64;
            Encoded {
                features: vae.decode_features(posterior.sample(batch.noise.clone())),
                regulariser: divergence.clone().mul_scalar(weight),
                losses: vec![("divergence", divergence.inner())],
                codes: None,
            }
        }
        Vae::Vq(vae) => {
            let vectors = vae.vectors(pixels);
            let quantized = vae.quantize.forward(vectors.clone());
            let commitment = quantized.commitment_loss;
            let losses = vec![("commitment", commitment.clone().inner())];
            Encoded {
                features: vae.decode_features(quantized.vectors),
                regulariser: quantized.codebook_loss + commitment.mul_scalar(objective.commitment),
                losses,
                codes: Some(Codes { ids: quantized.ids, vectors: vectors.inner() }),
            }
        }
    }
}

/// The gradient of all losses of the image by the reconstruction, and the losses.
fn gradient_by_image(
    vae: &Vae,
    reconstruction: Tensor<4>,
    features: Tensor<4>,
    batch: &ImageBatch,
    objective: &Objective<'_>,
) -> (Tensor<4>, Vec<(&'static str, Tensor<1>)>) {
    let config = objective.config;
    let leaf = || Tensor::<4>::from_inner(reconstruction.clone().inner()).require_grad();
    let image = leaf();
    let pixel_loss = config.reconstruction.of(image.clone(), batch.pixels.clone());
    let mut losses = vec![("reconstruction", pixel_loss.clone().inner())];
    let mut loss = pixel_loss;
    if let Some(distance) = perceptual(objective, image.clone(), batch.pixels.clone()) {
        losses.push(("perceptual", distance.clone().inner()));
        loss = loss + distance.mul_scalar(config.perceptual.weight());
    }
    let by_loss = gradient(&image, loss);
    let (Some(discriminator), Some(settings)) = (objective.discriminator, &config.discriminator) else {
        return (by_loss, losses);
    };
    let image = leaf();
    let deceit = on_its_own_tape(discriminator).no_grad().deceit(image.clone());
    losses.push(("deceit", deceit.clone().inner()));
    let by_deceit = gradient(&image, deceit);
    let weight = discriminator::adaptive_weight(vae.last_layer(), features, by_loss.clone(), by_deceit.clone());
    losses.push(("adaptive_weight", weight.clone()));
    let weight = weight.mul_scalar(settings.weight).reshape([1, 1, 1, 1]);
    (by_loss + by_deceit * weight, losses)
}

fn perceptual(objective: &Objective<'_>, image: Tensor<4>, pixels: Tensor<4>) -> Option<Tensor<1>> {
    match (&objective.config.perceptual, objective.lpips) {
        (PerceptualConfig::Lpips { .. }, Some(lpips)) => Some(lpips.distance(image, pixels)),
        (PerceptualConfig::Pyramid { .. }, _) => Some(pyramid::distance(image, pixels)),
        _ => None,
    }
}

/// The gradient of a loss by a leaf that it depends on, off the tape.
fn gradient(leaf: &Tensor<4>, loss: Tensor<1>) -> Tensor<4> {
    let gradients = loss.backward();
    leaf.grad(&gradients).unwrap_or_else(|| leaf.clone().inner().zeros_like())
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use interfuse_kernels::WeightInit;
    use interfuse_parameters::{ParameterInfo, ParameterVisitor, visit_parameters};

    use super::*;
    use crate::autoencoder::config::{ArchitectureConfig, DiscriminatorConfig};

    fn noise(count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * scale).collect()
    }

    /// The norm of every weight's gradient under one loss that is differentiated as a whole.
    fn norms(vae: &Vae, loss: Tensor<1>) -> Vec<(String, f32)> {
        let mut gradients = FlatGradients::of(vae, loss.backward(), |_| None);
        struct Names(Vec<String>);
        impl ParameterVisitor for Names {
            fn visit<const R: usize>(&mut self, info: &ParameterInfo, _: &burn::module::Param<Tensor<R>>) {
                self.0.push(info.name.clone());
            }
        }
        let mut names = Names(vec![]);
        visit_parameters(vae, &mut names);
        let norm = |gradient: Tensor<1>| gradient.square().sum().sqrt().into_scalar::<f32>();
        names.0.into_iter().filter_map(|name| Some((name.clone(), norm(gradients.take(&name)?)))).collect()
    }

    #[test]
    fn going_back_in_two_stages_gives_the_gradient_of_the_whole_loss() {
        let device = Device::flex().autodiff();
        let init = &mut WeightInit::new(3, &device);
        let architecture = ArchitectureConfig {
            latent_channels: 2,
            block_out_channels: vec![4, 8],
            layers_per_block: 1,
            norm_num_groups: 4,
            mid_block_add_attention: true,
            codebook: None,
        };
        let vae = Vae::new(&architecture.vae_config(3).unwrap(), init);
        let discriminator = PatchDiscriminator::new(3, 8, 1, init);
        let settings = DiscriminatorConfig { from_step: 0, weight: 0.5, width: 8, halvings: 1 };
        let config =
            AutoencoderLossConfig { kl_weight: 0.3, discriminator: Some(settings), ..AutoencoderLossConfig::default() };
        let data = |shape: [usize; 4]| TensorData::new(noise(shape.iter().product(), 0.9), shape);
        let batch = ImageBatch {
            pixels: Tensor::from_data(data([2, 3, 16, 16]), &device),
            noise: Tensor::from_data(data([2, 2, 8, 8]), &device),
        };
        let objective = Objective {
            config: &config,
            commitment: 0.0,
            lpips: None,
            discriminator: Some(&discriminator),
            fraction: 1.0,
        };
        let mut pass = pass(&vae, &batch, &objective);

        // The reference: all in one loss, with the adaptive weight as a number.
        let (_, weight) = pass.losses.iter().find(|(name, _)| *name == "adaptive_weight").unwrap();
        let weight = f64::from(weight.clone().into_scalar::<f32>());
        let parts = |with_discriminator: bool| {
            let vae = on_its_own_tape(&vae);
            let Vae::Kl(kl) = &vae else { panic!("continuous latents") };
            let posterior = kl.encode(batch.pixels.clone());
            let back = kl.decode(posterior.sample(batch.noise.clone()));
            let image = config.reconstruction.of(back.clone(), batch.pixels.clone())
                + pyramid::distance(back.clone(), batch.pixels.clone());
            let deceit = on_its_own_tape(&discriminator).deceit(back);
            let kl = posterior.divergence().mul_scalar(0.3 / 768.0);
            let loss = match with_discriminator {
                true => image + deceit.mul_scalar(0.5 * weight) + kl,
                false => deceit,
            };
            norms(&vae, loss)
        };
        for (name, expected) in parts(true) {
            let found = pass.gradients.take(&name).unwrap().square().sum().sqrt().into_scalar::<f32>();
            assert!((found - expected).abs() < 1e-4 * expected.max(1e-2), "{name}: {found} {expected}");
        }
        // By itself, the deceit has a gradient of its own at the last weights, which the adaptive weight divides by.
        let (_, last) = parts(false).into_iter().find(|(name, _)| name == "decoder.conv_out.weight").unwrap();
        assert!(last > 0.0 && weight > 0.0);
    }
}

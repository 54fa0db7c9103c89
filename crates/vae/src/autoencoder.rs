//! The autoencoder with continuous latents: diffusers' `AutoencoderKL`.

use burn::module::Module;
use burn::tensor::Tensor;
use interfuse_kernels::{Conv2d, WeightInit};

use crate::config::AutoencoderConfig;
use crate::network::{Decoder, Encoder};
use crate::posterior::Posterior;

/// Pixels in [-1, 1] to a distribution of latents, and latents to pixels. Field names are diffusers'.
#[derive(Module, Debug)]
pub struct AutoencoderKl {
    encoder: Encoder,
    decoder: Decoder,
    quant_conv: Option<Conv2d>,
    post_quant_conv: Option<Conv2d>,
}

impl AutoencoderKl {
    /// Fresh weights of a valid configuration.
    pub fn new(config: &AutoencoderConfig, init: &mut WeightInit) -> Self {
        let (channels, posterior) = (config.network.latent_channels, 2 * config.network.latent_channels);
        Self {
            encoder: Encoder::new(&config.network, posterior, init),
            decoder: Decoder::new(&config.network, init),
            quant_conv: config.use_quant_conv.then(|| Conv2d::same([posterior, posterior], 1, init)),
            post_quant_conv: config.use_post_quant_conv.then(|| Conv2d::same([channels, channels], 1, init)),
        }
    }

    /// # Shapes
    /// - `pixels`: `[B, in_channels, H, W]`; the posterior is of `[B, latent_channels, H/f, W/f]`
    pub fn encode(&self, pixels: Tensor<4>) -> Posterior {
        let posterior = self.encoder.forward(pixels);
        Posterior::of_channels(match &self.quant_conv {
            Some(conv) => conv.forward(posterior),
            None => posterior,
        })
    }

    /// # Shapes
    /// - `latents`: `[B, latent_channels, h, w]`, as the posterior has them; returns `[B, out_channels, f h, f w]`
    pub fn decode(&self, latents: Tensor<4>) -> Tensor<4> {
        self.decoder.last_layer().forward(self.decode_features(latents))
    }

    /// What the decoder's last convolution reads.
    pub fn decode_features(&self, latents: Tensor<4>) -> Tensor<4> {
        self.decoder.features(match &self.post_quant_conv {
            Some(conv) => conv.forward(latents),
            None => latents,
        })
    }

    /// The decoder's last convolution.
    pub fn last_layer(&self) -> &Conv2d {
        self.decoder.last_layer()
    }
}

//! The autoencoder with codes: diffusers' `VQModel`.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use interfuse_kernels::{Conv2d, WeightInit};

use crate::config::VqConfig;
use crate::network::{Decoder, Encoder};
use crate::quantizer::{Quantized, Quantizer};

/// Pixels in [-1, 1] to ids of codes, and ids to pixels. Field names are diffusers'.
#[derive(Module, Debug)]
pub struct VqModel {
    encoder: Encoder,
    decoder: Decoder,
    /// The codes.
    pub quantize: Quantizer,
    quant_conv: Conv2d,
    post_quant_conv: Conv2d,
}

impl VqModel {
    /// Fresh weights of a valid configuration.
    pub fn new(config: &VqConfig, init: &mut WeightInit) -> Self {
        let (channels, dim) = (config.network.latent_channels, config.vq_embed_dim);
        Self {
            encoder: Encoder::new(&config.network, channels, init),
            decoder: Decoder::new(&config.network, init),
            quantize: Quantizer::new(config.num_vq_embeddings, dim, init),
            quant_conv: Conv2d::same([channels, dim], 1, init),
            post_quant_conv: Conv2d::same([dim, channels], 1, init),
        }
    }

    /// What is quantized.
    ///
    /// # Shapes
    /// - `pixels`: `[B, in_channels, H, W]`; returns `[B, vq_embed_dim, H/f, W/f]`
    pub fn vectors(&self, pixels: Tensor<4>) -> Tensor<4> {
        self.quant_conv.forward(self.encoder.forward(pixels))
    }

    /// # Shapes
    /// - `pixels`: `[B, in_channels, H, W]`; the ids are `[B, H/f, W/f]`
    pub fn encode(&self, pixels: Tensor<4>) -> Quantized {
        self.quantize.forward(self.vectors(pixels))
    }

    /// # Shapes
    /// - `ids`: `[B, h, w]`; returns `[B, out_channels, f h, f w]`
    pub fn decode(&self, ids: Tensor<3, Int>) -> Tensor<4> {
        self.last_layer().forward(self.decode_features(self.quantize.look_up(ids)))
    }

    /// What the decoder's last convolution reads.
    ///
    /// # Shapes
    /// - `codes`: `[B, vq_embed_dim, h, w]`
    pub fn decode_features(&self, codes: Tensor<4>) -> Tensor<4> {
        self.decoder.features(self.post_quant_conv.forward(codes))
    }

    /// The decoder's last convolution.
    pub fn last_layer(&self) -> &Conv2d {
        self.decoder.last_layer()
    }
}

//! The codec of an autoencoder with continuous latents.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array3, Axis};

use crate::autoencoder::AutoencoderKl;
use crate::codec::{Codec, LatentPosterior, LatentRange, Latents};
use crate::config::{AutoencoderConfig, VaeConfig};
use crate::error::VaeError;
use crate::folder::{OpenedVae, Vae};
use crate::tiling::Tiling;

/// Latents of an autoencoder, scaled as its configuration says.
pub struct VaeCodec {
    config: AutoencoderConfig,
    vae: AutoencoderKl,
    tiling: Tiling,
    hash: String,
    device: Device,
}

impl VaeCodec {
    /// Of an opened folder, which must hold continuous latents.
    ///
    /// # Errors
    /// For an autoencoder with codes.
    pub fn new(opened: OpenedVae, folder: &Path, device: &Device) -> Result<Self, VaeError> {
        let OpenedVae { config, vae, hash } = opened;
        match (config, vae) {
            (VaeConfig::AutoencoderKL(config), Vae::Kl(vae)) => {
                let tiling = Tiling::of(&config.network);
                Ok(Self { config, vae, tiling, hash, device: device.clone() })
            }
            _ => Err(VaeError::file(
                folder,
                "an AutoencoderKL, which has continuous latents",
                "a VQModel, which has codes",
            )),
        }
    }

    /// The settings.
    pub fn config(&self) -> &AutoencoderConfig {
        &self.config
    }

    /// The pixels of unscaled latents, within [-1, 1].
    ///
    /// # Errors
    /// When the latents have another number of channels or are not finite.
    pub fn decode_unscaled(&self, latents: &Array3<f32>) -> Result<Array3<f32>, VaeError> {
        let (found, expected) = (latents.dim().0, self.config.network.latent_channels);
        if found != expected {
            let (expected, found) = (format!("{expected} channels"), format!("{found} channels"));
            return Err(VaeError::Shape { what: "latents", expected, found });
        }
        if latents.iter().any(|value| !value.is_finite()) {
            return Err(VaeError::NotFinite { what: "latents" });
        }
        let decode = |tile: &Array3<f32>| to_host(self.vae.decode(to_device(tile, &self.device)));
        Ok(self.tiling.decode(latents, &decode).mapv_into(|value| value.clamp(-1.0, 1.0)))
    }
}

impl Codec for VaeCodec {
    fn latent_shape(&self, [channels, height, width]: [usize; 3]) -> Result<[usize; 3], VaeError> {
        let network = &self.config.network;
        network.check_shape([channels, height, width])?;
        let factor = network.downsampling();
        Ok([network.latent_channels, height / factor, width / factor])
    }

    fn posterior(&self, pixels: Array3<f32>) -> Result<LatentPosterior, VaeError> {
        self.config.network.check_image(&pixels)?;
        let posterior = self.vae.encode(to_device(&pixels, &self.device));
        Ok(LatentPosterior { mean: to_host(posterior.mean), log_variance: Some(to_host(posterior.log_variance)) })
    }

    fn scaled(&self, LatentPosterior { mut mean, log_variance }: LatentPosterior) -> Latents {
        let mut std = log_variance.map(|values| values.mapv_into(|value| (0.5 * value).exp()));
        for channel in 0..mean.dim().0 {
            let (slope, offset) = self.config.scale.line(channel);
            mean.index_axis_mut(Axis(0), channel).mapv_inplace(|value| value * slope + offset);
            if let Some(std) = &mut std {
                std.index_axis_mut(Axis(0), channel).mapv_inplace(|value| value * slope);
            }
        }
        Latents { mean, std }
    }

    fn decode(&self, mut latents: Array3<f32>) -> Result<Array3<f32>, VaeError> {
        for (channel, mut plane) in latents.axis_iter_mut(Axis(0)).enumerate().take(self.config.network.latent_channels)
        {
            let (slope, offset) = self.config.scale.line(channel);
            plane.mapv_inplace(|value| (value - offset) / slope);
        }
        self.decode_unscaled(&latents)
    }

    fn latent_range(&self) -> Option<LatentRange> {
        None
    }

    fn hash(&self) -> Option<&str> {
        Some(&self.hash)
    }
}

/// One image as a batch.
pub(crate) fn to_device(values: &Array3<f32>, device: &Device) -> Tensor<4> {
    let (channels, height, width) = values.dim();
    Tensor::from_data(TensorData::new(values.iter().copied().collect(), [1, channels, height, width]), device)
}

/// The only image of a batch.
pub(crate) fn to_host(values: Tensor<4>) -> Array3<f32> {
    let [_, channels, height, width] = values.dims();
    let values = values.into_data().convert::<f32>().try_to_vec::<f32>().unwrap_or_default();
    Array3::from_shape_vec((channels, height, width), values)
        .unwrap_or_else(|_| Array3::zeros((channels, height, width)))
}

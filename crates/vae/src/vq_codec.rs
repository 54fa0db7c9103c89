//! Images to ids of codes and back, one at a time.

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use ndarray::{Array2, Array3, Axis};

use crate::codec::{Codec, LatentPosterior, LatentRange, Latents};
use crate::config::{VaeConfig, VqConfig};
use crate::error::VaeError;
use crate::folder::{OpenedVae, Vae};
use crate::vae_codec::{to_device, to_host};
use crate::vq_model::VqModel;

/// An autoencoder with codes. Its latents `[1, height, width]` are their ids, as whole numbers.
pub struct VqCodec {
    config: VqConfig,
    vae: VqModel,
    hash: String,
    device: Device,
}

impl VqCodec {
    /// Of an opened folder, which must hold codes.
    ///
    /// # Errors
    /// For an autoencoder with continuous latents.
    pub fn new(opened: OpenedVae, folder: &Path, device: &Device) -> Result<Self, VaeError> {
        let OpenedVae { config, vae, hash } = opened;
        match (config, vae) {
            (VaeConfig::VQModel(config), Vae::Vq(vae)) => Ok(Self { config, vae, hash, device: device.clone() }),
            _ => Err(VaeError::file(
                folder,
                "a VQModel, which has codes",
                "an AutoencoderKL, which has continuous latents",
            )),
        }
    }

    /// The code of every place of an image `[channels, height, width]` in [-1, 1].
    ///
    /// # Errors
    /// When the image has another number of channels, sides that do not divide, or values that are not finite.
    pub fn ids(&self, pixels: &Array3<f32>) -> Result<Array2<u32>, VaeError> {
        self.config.network.check_image(pixels)?;
        let ids = self.vae.quantize.ids(self.vae.vectors(to_device(pixels, &self.device)));
        let [_, height, width] = ids.dims();
        let ids: Vec<u32> = ids.into_data().iter::<u32>().collect();
        Array2::from_shape_vec((height, width), ids).map_err(|error| VaeError::Shape {
            what: "codes",
            expected: format!("{height} × {width}"),
            found: error.to_string(),
        })
    }

    /// The image of codes, within [-1, 1].
    ///
    /// # Errors
    /// When an id is that of no code.
    pub fn image(&self, ids: &Array2<u32>) -> Result<Array3<f32>, VaeError> {
        let codes = self.config.num_vq_embeddings;
        if let Some(id) = ids.iter().find(|&&id| id as usize >= codes) {
            let (expected, found) = (format!("ids below {codes}"), id.to_string());
            return Err(VaeError::Shape { what: "codes", expected, found });
        }
        let (height, width) = ids.dim();
        let values: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let ids = Tensor::<3, Int>::from_data(TensorData::new(values, [1, height, width]), &self.device);
        Ok(to_host(self.vae.decode(ids)).mapv_into(|value| value.clamp(-1.0, 1.0)))
    }
}

impl Codec for VqCodec {
    fn latent_shape(&self, image: [usize; 3]) -> Result<[usize; 3], VaeError> {
        let network = &self.config.network;
        network.check_shape(image)?;
        let factor = network.downsampling();
        Ok([1, image[1] / factor, image[2] / factor])
    }

    fn posterior(&self, pixels: Array3<f32>) -> Result<LatentPosterior, VaeError> {
        let ids = self.ids(&pixels)?;
        Ok(LatentPosterior { mean: ids.mapv(|id| id as f32).insert_axis(Axis(0)), log_variance: None })
    }

    fn scaled(&self, posterior: LatentPosterior) -> Latents {
        Latents { mean: posterior.mean, std: None }
    }

    fn decode(&self, latents: Array3<f32>) -> Result<Array3<f32>, VaeError> {
        let codes = self.config.num_vq_embeddings;
        let is_id = |value: f32| value >= 0.0 && value.fract() == 0.0 && (value as usize) < codes;
        let found = match latents.iter().find(|&&value| !is_id(value)) {
            Some(value) => value.to_string(),
            None if latents.dim().0 != 1 => format!("{} channels", latents.dim().0),
            None => return self.image(&latents.index_axis_move(Axis(0), 0).mapv(|id| id as u32)),
        };
        Err(VaeError::Shape { what: "codes", expected: format!("one channel of ids below {codes}"), found })
    }

    fn latent_range(&self) -> Option<LatentRange> {
        None
    }

    fn codes(&self) -> Option<usize> {
        Some(self.config.num_vq_embeddings)
    }

    fn hash(&self) -> Option<&str> {
        Some(&self.hash)
    }
}

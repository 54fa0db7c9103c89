//! Images to ids of codes and back, one at a time.

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use ndarray::{Array2, Array3};

use crate::config::{VaeConfig, VqConfig};
use crate::error::VaeError;
use crate::folder::{OpenedVae, Vae};
use crate::vae_codec::{to_device, to_host};
use crate::vq_model::VqModel;

/// An autoencoder with codes.
pub struct VqCodec {
    config: VqConfig,
    vae: VqModel,
    device: Device,
}

impl VqCodec {
    /// Of an opened folder, which must hold codes.
    ///
    /// # Errors
    /// For an autoencoder with continuous latents.
    pub fn new(opened: OpenedVae, folder: &Path, device: &Device) -> Result<Self, VaeError> {
        match (opened.config, opened.vae) {
            (VaeConfig::VQModel(config), Vae::Vq(vae)) => Ok(Self { config, vae, device: device.clone() }),
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
    pub fn encode(&self, pixels: &Array3<f32>) -> Result<Array2<u32>, VaeError> {
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
    pub fn decode(&self, ids: &Array2<u32>) -> Result<Array3<f32>, VaeError> {
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

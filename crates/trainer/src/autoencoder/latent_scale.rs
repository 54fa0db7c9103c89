//! What brings latents to mean 0 and deviation 1: measured once the encoder is trained, written beside its weights.

use burn::tensor::{Device, Tensor, TensorData};
use interfuse_data::{Source, spread};
use interfuse_vae::{AutoencoderKl, LatentScale};

use crate::error::TrainError;

/// Images by which the latents are measured.
const IMAGES: usize = 512;
/// Images that are encoded at once.
const AT_ONCE: usize = 8;

/// The scale of the latents of a source's images, over all channels and places: draws from the posterior then have mean 0
/// and deviation 1.
///
/// # Errors
/// When no image can be read, or the latents are not finite or all the same.
pub fn measure(vae: &AutoencoderKl, source: &dyn Source, device: &Device) -> Result<LatentScale, TrainError> {
    // Bad images are counted where they are trained on.
    let (_, readable) = spread(source, IMAGES);
    let (mut sum, mut squares, mut numbers) = (0.0, 0.0, 0);
    for images in readable.chunks(AT_ONCE) {
        let shape = images[0].shape();
        let values: Vec<f32> = images.iter().flat_map(|image| image.to_unit_range()).collect();
        let shape = [images.len(), shape.channels, shape.height, shape.width];
        let posterior = vae.encode(Tensor::from_data(TensorData::new(values, shape), device));
        let means: Vec<f32> = posterior.mean.into_data().try_to_vec().unwrap_or_default();
        let variances: Vec<f32> = posterior.log_variance.exp().into_data().try_to_vec().unwrap_or_default();
        for (&mean, &variance) in means.iter().zip(&variances) {
            sum += f64::from(mean);
            squares += f64::from(mean).powi(2) + f64::from(variance);
        }
        numbers += means.len();
    }
    let mean = sum / numbers as f64;
    let std = (squares / numbers as f64 - mean * mean).sqrt();
    if !(std > 0.0 && std.is_finite()) {
        let found = format!("a deviation of {std} over {} images", readable.len());
        return Err(TrainError::setting("latents", "finite numbers that differ", found));
    }
    Ok(LatentScale { scaling_factor: 1.0 / std, shift_factor: Some(mean), ..LatentScale::default() })
}

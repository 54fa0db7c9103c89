//! How well images come back: peak signal-to-noise ratio and structural similarity.

use burn::tensor::{Device, Tensor, TensorData};
use interfuse_data::Image;
use interfuse_evaluation::similarity::{psnr, ssim};
use interfuse_vae::Vae;
use ndarray::{ArrayView4, Axis};

use crate::error::{Context as _, Result};

/// Images that are encoded at once.
const AT_ONCE: usize = 8;

/// Means over images.
#[derive(Debug, Clone, Copy)]
pub struct Quality {
    /// How many.
    pub images: usize,
    /// The mean of the images' ratios, in dB.
    pub psnr: f64,
    /// The mean of the images' similarities; none where images are smaller than its window.
    pub ssim: Option<f64>,
}

/// Images of one shape as they come back, rounded to 8 bits as they would be saved.
///
/// # Errors
/// When the device fails.
pub fn reconstruct(vae: &Vae, images: &[Image], device: &Device) -> Result<Vec<Image>> {
    let mut reconstructions = Vec::with_capacity(images.len());
    for images in images.chunks(AT_ONCE) {
        let shape = images[0].shape();
        let shape = [images.len(), shape.channels, shape.height, shape.width];
        let values: Vec<f32> = images.iter().flat_map(Image::to_unit_range).collect();
        let pixels = vae.reconstruct(Tensor::from_data(TensorData::new(values, shape), device));
        let shape = pixels.dims();
        let values = pixels.clamp(-1.0, 1.0).into_data().convert::<f32>().try_to_vec::<f32>();
        let values = values.context("cannot read images from the device")?;
        let pixels = ArrayView4::from_shape(shape, &values).context("cannot read images from the device")?;
        for pixels in pixels.axis_iter(Axis(0)) {
            reconstructions.push(Image::from_unit_range(pixels)?);
        }
    }
    Ok(reconstructions)
}

/// Compares images with their reconstructions.
///
/// # Errors
/// When the shapes of an image and its reconstruction differ.
pub fn compare(images: &[Image], reconstructions: &[Image]) -> Result<Quality> {
    let each = images.iter().zip(reconstructions).map(|(image, back)| Likeness::of(image, back));
    Ok(Quality::of(&each.collect::<Result<Vec<_>>>()?))
}

/// How like one image is to its reconstruction.
#[derive(Debug, Clone, Copy)]
pub struct Likeness {
    psnr: f64,
    /// None where the image is smaller than its window.
    ssim: Option<f64>,
}

impl Likeness {
    /// Compares.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn of(image: &Image, reconstruction: &Image) -> Result<Self> {
        let (image, back) = (image.pixels(), reconstruction.pixels());
        // Only an image that is too small has no similarity.
        Ok(Self { psnr: psnr(image, back)?, ssim: ssim(image, back).ok() })
    }
}

impl Quality {
    /// The means.
    pub fn of(each: &[Likeness]) -> Self {
        let mean = |sum: f64| sum / each.len() as f64;
        let similarities: Option<Vec<f64>> = each.iter().map(|likeness| likeness.ssim).collect();
        Self {
            images: each.len(),
            psnr: mean(each.iter().map(|likeness| likeness.psnr).sum()),
            ssim: similarities.filter(|all| !all.is_empty()).map(|all| mean(all.iter().sum())),
        }
    }
}

impl std::fmt::Display for Quality {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PSNR {:.2} dB", self.psnr)?;
        if let Some(ssim) = self.ssim {
            write!(f, "  SSIM {ssim:.4}")?;
        }
        write!(f, "  over {} images", self.images)
    }
}

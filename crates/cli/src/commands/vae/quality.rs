//! How well pictures come back: peak signal-to-noise ratio and structural similarity.

use anyhow::Context;
use burn::tensor::{Device, Tensor, TensorData};
use interfuse_data::Picture;
use interfuse_evaluation::similarity::{psnr, ssim};
use interfuse_vae::Vae;
use ndarray::{ArrayView4, Axis};

/// Pictures that are encoded at once.
const AT_ONCE: usize = 8;

/// Means over pictures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quality {
    pub(super) pictures: usize,
    /// The mean of the pictures' ratios, in dB.
    pub(super) psnr: f64,
    /// The mean of the pictures' similarities; none where pictures are smaller than its window.
    pub(super) ssim: Option<f64>,
}

/// Pictures of one shape as they come back, rounded to 8 bits as they would be saved.
pub(super) fn reconstruct(vae: &Vae, pictures: &[Picture], device: &Device) -> anyhow::Result<Vec<Picture>> {
    let mut reconstructions = Vec::with_capacity(pictures.len());
    for pictures in pictures.chunks(AT_ONCE) {
        let shape = pictures[0].shape();
        let shape = [pictures.len(), shape.channels, shape.height, shape.width];
        let values: Vec<f32> = pictures.iter().flat_map(Picture::to_unit_range).collect();
        let pixels = vae.reconstruct(Tensor::from_data(TensorData::new(values, shape), device));
        let shape = pixels.dims();
        let values = pixels.clamp(-1.0, 1.0).into_data().convert::<f32>().try_to_vec::<f32>();
        let values = values.context("cannot read pictures from the device")?;
        let pixels = ArrayView4::from_shape(shape, &values)?;
        for pixels in pixels.axis_iter(Axis(0)) {
            reconstructions.push(Picture::from_unit_range(pixels)?);
        }
    }
    Ok(reconstructions)
}

/// Compares pictures with their reconstructions.
pub(super) fn compare(pictures: &[Picture], reconstructions: &[Picture]) -> anyhow::Result<Quality> {
    let each = pictures.iter().zip(reconstructions).map(|(picture, back)| Likeness::of(picture, back));
    Ok(Quality::of(&each.collect::<anyhow::Result<Vec<_>>>()?))
}

/// How like one picture is to its reconstruction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Likeness {
    psnr: f64,
    /// None where the picture is smaller than its window.
    ssim: Option<f64>,
}

impl Likeness {
    pub(super) fn of(picture: &Picture, reconstruction: &Picture) -> anyhow::Result<Self> {
        let (picture, back) = (picture.pixels(), reconstruction.pixels());
        // Only a picture that is too small has no similarity.
        Ok(Self { psnr: psnr(picture, back)?, ssim: ssim(picture, back).ok() })
    }
}

impl Quality {
    /// The means.
    pub(super) fn of(each: &[Likeness]) -> Self {
        let mean = |sum: f64| sum / each.len() as f64;
        let similarities: Option<Vec<f64>> = each.iter().map(|likeness| likeness.ssim).collect();
        Self {
            pictures: each.len(),
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
        write!(f, "  over {} pictures", self.pictures)
    }
}

//! The codec that leaves pixels as they are: patches of pixels in [-1, 1] are denoised directly.

use ndarray::Array3;

use crate::codec::{Codec, LatentPosterior, LatentRange, Latents};
use crate::error::VaeError;

/// Latents are pixels.
#[derive(Clone, Copy, Debug)]
pub struct PixelCodec {
    channels: usize,
}

impl PixelCodec {
    /// A codec for images of 1 (grey) or 3 (RGB) channels.
    ///
    /// # Errors
    /// For any other number of channels.
    pub fn new(channels: usize) -> Result<Self, VaeError> {
        if channels != 1 && channels != 3 {
            let (expected, found) = ("1 (grey) or 3 (RGB) channels".into(), format!("{channels} channels"));
            return Err(VaeError::Shape { what: "image", expected, found });
        }
        Ok(Self { channels })
    }

    fn check(&self, found: usize) -> Result<(), VaeError> {
        if found == self.channels {
            return Ok(());
        }
        let (expected, found) = (format!("{} channels", self.channels), format!("{found} channels"));
        Err(VaeError::Shape { what: "image", expected, found })
    }
}

impl Codec for PixelCodec {
    fn latent_shape(&self, image: [usize; 3]) -> Result<[usize; 3], VaeError> {
        self.check(image[0])?;
        Ok(image)
    }

    fn posterior(&self, pixels: Array3<f32>) -> Result<LatentPosterior, VaeError> {
        self.check(pixels.dim().0)?;
        Ok(LatentPosterior { mean: pixels, log_variance: None })
    }

    fn scaled(&self, posterior: LatentPosterior) -> Latents {
        Latents { mean: posterior.mean, std: None }
    }

    fn decode(&self, latents: Array3<f32>) -> Result<Array3<f32>, VaeError> {
        self.check(latents.dim().0)?;
        Ok(latents.mapv(|x| x.clamp(-1.0, 1.0)))
    }

    fn latent_range(&self) -> Option<LatentRange> {
        Some(LatentRange { min: vec![-1.0; self.channels], max: vec![1.0; self.channels] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_gives_back_the_pixels_and_clips_what_lies_beyond() {
        let codec = PixelCodec::new(3).unwrap();
        let pixels = Array3::from_shape_fn((3, 4, 5), |(c, y, x)| (c + y * x) as f32 / 20.0 - 0.5);
        let decoded = codec.decode(codec.encode(pixels.clone()).unwrap().mean).unwrap();
        assert_eq!(decoded, pixels);
        assert_eq!(codec.decode(Array3::from_elem((3, 1, 1), 7.0)).unwrap()[[0, 0, 0]], 1.0);
    }

    #[test]
    fn other_channels_are_refused_by_name() {
        assert!(PixelCodec::new(4).unwrap_err().to_string().contains("4 channels"));
        let codec = PixelCodec::new(1).unwrap();
        let message = codec.encode(Array3::zeros((3, 2, 2))).unwrap_err().to_string();
        assert!(message.contains("expected 1 channels") && message.contains("found 3"), "{message}");
    }
}

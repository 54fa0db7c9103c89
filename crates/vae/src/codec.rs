//! The interface between pixels and latents. Codes are latents of one channel, whose numbers are ids.

use ndarray::{Array3, Zip};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::error::VaeError;

/// Takes pixels to latents and back. Pixels are `[channels, height, width]` in [-1, 1]; latents are about unit scale.
pub trait Codec: Send + Sync {
    /// Shape `[latent_channels, height, width]` of the latents of an image of shape `[channels, height, width]`.
    ///
    /// # Errors
    /// When the codec does not take images of that shape.
    fn latent_shape(&self, image: [usize; 3]) -> Result<[usize; 3], VaeError>;

    /// What the encoder says of one image, as a latent cache keeps it.
    ///
    /// # Errors
    /// When the codec does not take images of that shape.
    fn posterior(&self, pixels: Array3<f32>) -> Result<LatentPosterior, VaeError>;

    /// LatentPosterior as a model sees them.
    fn scaled(&self, posterior: LatentPosterior) -> Latents;

    /// The latents of one image.
    ///
    /// # Errors
    /// When the codec does not take images of that shape.
    fn encode(&self, pixels: Array3<f32>) -> Result<Latents, VaeError> {
        Ok(self.scaled(self.posterior(pixels)?))
    }

    /// The pixels of one image, within [-1, 1].
    ///
    /// # Errors
    /// When the latents are not of a shape that this codec makes, or not finite.
    fn decode(&self, latents: Array3<f32>) -> Result<Array3<f32>, VaeError>;

    /// Between what the clean latents of any image lie, where the codec knows that by itself; else it is measured.
    fn latent_range(&self) -> Option<LatentRange>;

    /// How many codes there are, where latents are ids of codes: whole numbers below this, in one channel. `None` where they
    /// are continuous.
    fn codes(&self) -> Option<usize> {
        None
    }

    /// What tells this codec's latents from another's: the hash of its weights; `None` for pixels, which are the same
    /// everywhere.
    fn hash(&self) -> Option<&str> {
        None
    }
}

/// The posterior of one image as the encoder gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct LatentPosterior {
    /// `[latent_channels, height, width]`
    pub mean: Array3<f32>,
    /// `None` where there is nothing to draw. `[latent_channels, height, width]`
    pub log_variance: Option<Array3<f32>>,
}

/// The latents of one image as a model sees them: a mean, and how far they may lie from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Latents {
    /// `[latent_channels, height, width]`
    pub mean: Array3<f32>,
    /// Of each number; `None` where there is nothing to draw. `[latent_channels, height, width]`
    pub std: Option<Array3<f32>>,
}

impl Latents {
    /// One draw from the posterior: `mean + deviation · noise`.
    pub fn sample(self, rng: &mut ChaCha8Rng) -> Array3<f32> {
        let Self { mut mean, std } = self;
        if let Some(std) = std {
            Zip::from(&mut mean).and(&std).for_each(|mean, &std| {
                let noise: f32 = StandardNormal.sample(rng);
                *mean += std * noise;
            });
        }
        mean
    }
}

/// Between what clean latents lie, as a model sees them: what samplers bound their estimates of a clean image by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentRange {
    /// Smallest value of each channel. `[latent_channels]`
    pub min: Vec<f32>,
    /// Largest value of each channel. `[latent_channels]`
    pub max: Vec<f32>,
}

impl LatentRange {
    /// Of nothing yet.
    pub fn empty(channels: usize) -> Self {
        Self { min: vec![f32::INFINITY; channels], max: vec![f32::NEG_INFINITY; channels] }
    }

    /// Takes in the latents of one image, `[latent_channels, height, width]`.
    pub fn include(&mut self, latents: &Array3<f32>) {
        for ((min, max), plane) in self.min.iter_mut().zip(&mut self.max).zip(latents.outer_iter()) {
            for &value in plane {
                (*min, *max) = (min.min(value), max.max(value));
            }
        }
    }

    /// Reaches further on both sides, by a fraction of the distance between them.
    pub fn widened(mut self, fraction: f32) -> Self {
        for (min, max) in self.min.iter_mut().zip(&mut self.max) {
            let margin = (*max - *min) * fraction;
            (*min, *max) = (*min - margin, *max + margin);
        }
        self
    }

    /// Whether it is that of `channels` channels, each with finite ends, the smaller one first.
    pub fn is_of(&self, channels: usize) -> bool {
        let in_order = |(min, max): (&f32, &f32)| min.is_finite() && max.is_finite() && min <= max;
        [self.min.len(), self.max.len()] == [channels; 2] && self.min.iter().zip(&self.max).all(in_order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_was_included_channel_by_channel() {
        let mut range = LatentRange::empty(2);
        assert!(!range.is_of(2));
        range.include(&Array3::from_shape_fn((2, 1, 2), |(c, _, x)| (c * 10 + x) as f32));
        range.include(&Array3::from_shape_fn((2, 1, 2), |(c, _, x)| -((c * 10 + x) as f32)));
        assert_eq!(range, LatentRange { min: vec![-1.0, -11.0], max: vec![1.0, 11.0] });
        let range = range.widened(0.5);
        assert_eq!(range, LatentRange { min: vec![-2.0, -22.0], max: vec![2.0, 22.0] });
        assert!(range.is_of(2) && !range.is_of(3));
    }
}

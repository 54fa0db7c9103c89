//! The interface between pixels and latents.

use ndarray::Array3;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::pixel::PixelCodec;

/// Takes pixels to latents and back. Pixels are `[channels, height, width]` in [-1, 1]; latents are about unit scale.
pub trait Codec: Send + Sync {
    /// Shape `[latent_channels, height, width]` of the latents of a picture of shape `[channels, height, width]`.
    ///
    /// # Errors
    /// When the codec does not take pictures of that shape.
    fn latent_shape(&self, picture: [usize; 3]) -> Result<[usize; 3], CodecError>;

    /// The latents of one picture.
    ///
    /// # Errors
    /// When the codec does not take pictures of that shape.
    fn encode(&self, pixels: Array3<f32>) -> Result<Array3<f32>, CodecError>;

    /// The pixels of one picture, within [-1, 1].
    ///
    /// # Errors
    /// When the latents are not of a shape that this codec makes.
    fn decode(&self, latents: Array3<f32>) -> Result<Array3<f32>, CodecError>;

    /// The largest absolute value of a clean latent, if there is one; samplers may clip their estimates to it.
    fn latent_bound(&self) -> Option<f32>;
}

/// What the user asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CodecConfig {
    /// The pixels themselves.
    #[default]
    Pixels,
}

impl CodecConfig {
    /// Makes the codec for pictures of `channels` channels.
    ///
    /// # Errors
    /// When the codec does not take that many channels.
    pub fn open(&self, channels: usize) -> Result<Box<dyn Codec>, CodecError> {
        match self {
            Self::Pixels => Ok(Box::new(PixelCodec::new(channels)?)),
        }
    }
}

/// A picture that a codec does not take.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CodecError {
    /// Another number of channels.
    #[error("the codec takes {expected}, but the picture has {found} channels")]
    Channels {
        /// Channels that the picture has.
        found: usize,
        /// What the codec takes.
        expected: String,
    },
}

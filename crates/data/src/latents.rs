//! Where the latents of pictures come from: encoded whenever a picture comes up, or read from a cache.

use std::sync::Arc;

use interfuse_vae::{Codec, Latents};

use crate::error::DataError;
use crate::latent_cache::LatentCache;
use crate::source::Source;

/// The latents of a source's pictures.
pub enum PictureLatents {
    /// Made by the codec when they are asked for.
    Encoded(Arc<dyn Codec>),
    /// Made before.
    Cached(Arc<dyn Codec>, LatentCache),
}

impl PictureLatents {
    /// The latents of a picture, mirrored or as it is.
    ///
    /// # Errors
    /// When the picture or its latents are bad: skip it and count it.
    pub fn of(&self, source: &dyn Source, index: usize, mirrored: bool) -> Result<Latents, DataError> {
        match self {
            Self::Encoded(codec) => {
                let picture = source.picture(index)?;
                let picture = if mirrored { picture.flipped_horizontally() } else { picture };
                codec
                    .encode(picture.to_unit_range())
                    .map_err(|error| DataError::malformed("picture", "what the codec takes", error.to_string()))
            }
            Self::Cached(codec, cache) => Ok(codec.scaled(cache.moments(index, mirrored)?)),
        }
    }
}

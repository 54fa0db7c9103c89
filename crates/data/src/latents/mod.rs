//! Where the latents of images come from: encoded whenever an image comes up, or read from a cache.

mod cache;
mod cache_writer;
mod contents;
mod key;
mod parts;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use interfuse_vae::{Codec, Latents};

pub use self::cache::LatentCache;
pub use self::cache_writer::{LatentWriter, Written};
pub use self::key::CacheKey;
pub use self::parts::{Part, jobs_left};
use crate::error::DataError;
use crate::sources::{Source, View};

/// The most bytes of latents that are kept in memory: 256 MiB, some 16,000 images of 4 × 32 × 32.
const BUDGET: usize = 256 << 20;

/// The latents of a source's images.
pub enum ImageLatents {
    /// Made by the codec when they are asked for, and kept as long as all fit into memory.
    Encoded(Arc<dyn Codec>, KeptLatents),
    /// Made before.
    Cached(Arc<dyn Codec>, LatentCache),
}

/// Latents that were asked for before. An encoder costs more than a small model's whole step, and a small source is visited
/// hundreds of times.
#[derive(Default)]
pub struct KeptLatents {
    /// One slot for each image and one for its mirror image, or none at all where the source is too large.
    slots: Vec<OnceLock<Latents>>,
}

impl KeptLatents {
    fn of(codec: &dyn Codec, source: &dyn Source) -> Self {
        let shape = source.shape();
        let framing = source.framing();
        let numbers = framing.all_sizes().map(|[height, width]| {
            let shape = codec.latent_shape([shape.channels, height, width]);
            shape.map_or(usize::MAX, |shape| shape.iter().product())
        });
        // A mean and a standard deviation, of an image and of its mirror image, if all were of the largest size.
        let numbers = numbers.max().unwrap_or(usize::MAX);
        let bytes = source.len().saturating_mul(4 * size_of::<f32>()).saturating_mul(numbers);
        // Pixels are their own latents, and the source keeps them.
        let worth = codec.hash().is_some() && bytes <= BUDGET;
        let slots = if worth { 2 * source.len() } else { 0 };
        Self { slots: std::iter::repeat_with(OnceLock::new).take(slots).collect() }
    }
}

impl ImageLatents {
    /// Latents that the codec makes when they are asked for.
    pub fn encoded(codec: Arc<dyn Codec>, source: &dyn Source) -> Self {
        let kept = KeptLatents::of(codec.as_ref(), source);
        Self::Encoded(codec, kept)
    }

    /// The latents of an image.
    ///
    /// # Errors
    /// When the image or its latents are bad: skip it and count it.
    pub fn of(&self, source: &dyn Source, index: usize, view: View) -> Result<Latents, DataError> {
        let mirrored = view.mirrored;
        match self {
            Self::Encoded(codec, kept) => {
                // What is cropped elsewhere each time never comes up again.
                let slot = kept.slots.get(2 * index + usize::from(mirrored)).filter(|_| view.place.is_none());
                if let Some(latents) = slot.and_then(OnceLock::get) {
                    return Ok(latents.clone());
                }
                let latents = encode(codec.as_ref(), source, index, view)?;
                if let Some(slot) = slot {
                    // Two threads may encode the same image at once; the results are equal, so either may stay.
                    let _ = slot.set(latents.clone());
                }
                Ok(latents)
            }
            Self::Cached(codec, cache) => Ok(codec.scaled(cache.posterior(index, mirrored)?)),
        }
    }
}

fn encode(codec: &dyn Codec, source: &dyn Source, index: usize, view: View) -> Result<Latents, DataError> {
    codec
        .encode(view.of(source, index)?.to_unit_range())
        .map_err(|error| DataError::malformed("image", "what the codec takes", error.to_string()))
}

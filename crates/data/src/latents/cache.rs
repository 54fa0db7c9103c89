//! Latents that were made before training.
//!
//! ```text
//! manifest.json              which autoencoder, which images, how many, how they lie
//! shard-00000.json           of each image the size, the time of its last change, and the sha256 of its file, and a digest
//!                            of each tensor of its latents
//! shard-00000.safetensors    mean, logvar: [n, latent_channels, height, width], as the encoder gave them, unscaled;
//!                            mirrored_mean, mirrored_logvar as well where images are mirrored in training;
//!                            of an autoencoder with codes ids and mirrored_ids alone, whole numbers in f32
//! ```
//!
//! An image that could not be encoded is NaN, so that every other keeps its number. A shard is written to a temporary path
//! and renamed, so that writing goes on after an interruption where it stood. Several jobs make such a folder each
//! (`parts.rs`).
//!
//! Latents are those of a file's content: an image whose size and time are as they were is not read again; one whose time
//! alone differs, as after a copy, is told by its sha256. An edited image is refused by name, and encoded again by the next
//! `data encode`.

use std::path::Path;

use interfuse_parameters::TensorFile;
use interfuse_vae::LatentPosterior;
use ndarray::Array3;

use super::contents::{Content, digest};
use super::key::{CacheKey, SHARD, check, read_manifest};
use super::parts::{Stretch, stretches};
use crate::error::DataError;
use crate::sources::Source;

/// A whole cache, of which single images are read.
#[derive(Debug)]
pub struct LatentCache {
    key: CacheKey,
    /// The first image of each stretch, and its shards.
    stretches: Vec<(usize, Vec<TensorFile>)>,
    /// Of each image, by which damage is found; empty in older caches.
    digests: Vec<Box<[u64]>>,
}

impl LatentCache {
    /// Opens a cache of the images of a source.
    ///
    /// # Errors
    /// When it was made by another autoencoder or of other images, an image has changed since, or a part or a shard is missing,
    /// torn, or made twice.
    pub fn open(folder: &Path, wanted: &CacheKey, source: &dyn Source) -> Result<Self, DataError> {
        let (mut opened, mut digests) = (vec![], vec![]);
        let stretches = stretches(folder, wanted)?;
        let key = match stretches.first() {
            Some(first) => read_manifest(&first.folder)?.key,
            None => wanted.clone(),
        };
        check(folder, &key, wanted)?;
        for stretch in &stretches {
            let mut shards = vec![];
            for shard in 0..stretch.shards() {
                let file = stretch.open_shard(&key, shard)?;
                let contents = stretch.read_contents(shard)?;
                check_contents(stretch, shard, (&key, &file, &contents), source)?;
                shards.push(file);
                digests.extend(contents.into_iter().map(|content| content.digests.into_boxed_slice()));
            }
            opened.push((stretch.images.start, shards));
        }
        Ok(Self { key, stretches: opened, digests })
    }

    /// The posterior of an image.
    ///
    /// # Errors
    /// When they are not finite or not what was written, or cannot be read.
    pub fn posterior(&self, index: usize, mirrored: bool) -> Result<LatentPosterior, DataError> {
        let stretch = self.stretches.partition_point(|(first, _)| *first <= index).checked_sub(1);
        let stretch = stretch.and_then(|stretch| self.stretches.get(stretch));
        let shard = stretch.and_then(|(first, shards)| Some((shards.get((index - first) / SHARD)?, index - first)));
        let name = || format!("latents of image {index}");
        let (shard, place) = shard.ok_or_else(|| DataError::malformed(name(), "an image of the cache", "none"))?;
        let read = |tensor: &&str| {
            let row = shard.row(tensor, place % SHARD);
            let row =
                row.map_err(|error| DataError::malformed(name(), "latents that can be read", error.to_string()))?;
            if row.values.iter().any(|value| !value.is_finite()) {
                return Err(DataError::malformed(name(), "finite numbers", "NaN or infinity"));
            }
            let place = self.key.all_tensor_names().position(|name| name == *tensor);
            let written = place.and_then(|place| self.digests.get(index)?.get(place));
            if written.is_some_and(|written| *written != digest(&row.values)) {
                let expected = "the numbers that were written; `interfuse data encode` encodes what is damaged again";
                return Err(DataError::malformed(name(), expected, "others"));
            }
            let shape = self.key.latent_shape;
            Array3::from_shape_vec(shape, row.values)
                .map_err(|error| DataError::malformed(name(), format!("{shape:?} numbers"), error.to_string()))
        };
        let mut tensors = self.key.tensor_names(mirrored).iter().map(read);
        let mean = tensors.next().unwrap_or_else(|| Err(DataError::malformed(name(), "latents", "none")))?;
        Ok(LatentPosterior { mean, log_variance: tensors.next().transpose()? })
    }
}

/// That images are what was encoded, and that a shard and what is told of it were written together.
fn check_contents(
    stretch: &Stretch,
    shard: usize,
    (key, file, contents): (&CacheKey, &TensorFile, &[Content]),
    source: &dyn Source,
) -> Result<(), DataError> {
    let name = || stretch.contents_path(shard).display().to_string();
    let mut images = stretch.images_of(shard).zip(contents);
    if let Some((index, _)) = images.find(|(index, content)| !content.is_still_that_of(source, *index)) {
        let expected = format!("the latents of `{}` as it is now", source.name(index));
        let found = "those of before it was changed; `interfuse data encode` encodes what has changed";
        return Err(DataError::malformed(name(), expected, found));
    }
    // One image is enough to tell two writings from one another; damage of single images is found when they are read.
    if contents.first().is_some_and(|content| !content.is_intact(key, file, 0)) {
        let expected = format!("what it tells of to be in `{}`", stretch.shard_path(shard).display());
        let found = "other latents: it was made twice, or is damaged; `interfuse data encode` makes it again";
        return Err(DataError::malformed(name(), expected, found));
    }
    Ok(())
}

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
//! and renamed, so that writing goes on after an interruption where it stood.
//!
//! Latents are those of a file's content: an image whose size and time are as they were is not read again; one whose time
//! alone differs, as after a copy, is told by its sha256. An edited image is refused by name, and encoded again by the next
//! `data encode`.

use std::path::{Path, PathBuf};

use interfuse_parameters::sha256::hexadecimal;
use interfuse_parameters::{Precision, TensorFile};
use interfuse_vae::{Codec, LatentPosterior};
use ndarray::Array3;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::DataError;
use crate::images::Fit;
use crate::sources::{Source, Stamp};

/// Images of a shard.
pub(super) const SHARD: usize = 4096;
/// Version of the layout.
pub(super) const FORMAT_VERSION: u32 = 2;
pub(super) const MANIFEST: &str = "manifest.json";

/// What a cache must have been made of to be of use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheKey {
    /// SHA-256 of the autoencoder's weights.
    pub vae_sha256: String,
    /// SHA-256 of the names and the shape of all images, in their order; their content is in `shard-*.json`.
    pub data_sha256: String,
    /// How many images.
    pub images: usize,
    /// `[latent_channels, height, width]`
    pub latent_shape: [usize; 3],
    /// Whether mirrored images are there as well.
    pub mirrored: bool,
    /// How many codes there are, where latents are their ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<usize>,
}

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format_version: u32,
    #[serde(flatten)]
    pub(super) key: CacheKey,
    pub(super) shard_size: usize,
    pub(super) precision: Precision,
}

impl CacheKey {
    /// Of the images of a source and the codec that encodes them.
    ///
    /// # Errors
    /// When the codec does not take such images, or leaves pixels as they are.
    pub fn new(source: &dyn Source, codec: &dyn Codec, mirrored: bool) -> Result<Self, DataError> {
        let shape = source.shape();
        let refuse =
            |error: String| DataError::malformed("latent cache", "an autoencoder that takes the images", error);
        if !source.sizes().is_empty() {
            return Err(DataError::malformed("latent cache", "images of one size", "those of data.buckets"));
        }
        if source.fit() == Fit::RandomCrop {
            let expected = "another data.fit, for what is cropped elsewhere each time is not encoded once";
            return Err(DataError::malformed("latent cache", expected, "random_crop"));
        }
        let latent_shape = codec
            .latent_shape([shape.channels, shape.height, shape.width])
            .map_err(|error| refuse(error.to_string()))?;
        let vae_sha256 =
            codec.hash().ok_or_else(|| refuse("a codec that leaves pixels as they are".into()))?.to_string();
        let mut hasher = Sha256::new();
        hasher.update(format!("{shape:?}"));
        // A cache of cropped images is older than the choice.
        if source.fit() != Fit::Crop {
            hasher.update(format!("{:?}", source.fit()));
        }
        for index in 0..source.len() {
            hasher.update(source.name(index));
            hasher.update([0]);
        }
        let data_sha256 = hexadecimal(hasher);
        Ok(Self { vae_sha256, data_sha256, images: source.len(), latent_shape, mirrored, codes: codec.codes() })
    }

    /// Names of the tensors of an image or of its mirror image.
    pub(super) fn tensor_names(&self, mirrored: bool) -> &'static [&'static str] {
        match (self.codes.is_some(), mirrored) {
            (false, false) => &["mean", "logvar"],
            (false, true) => &["mirrored_mean", "mirrored_logvar"],
            (true, false) => &["ids"],
            (true, true) => &["mirrored_ids"],
        }
    }

    /// Names of all tensors.
    pub(super) fn all_tensor_names(&self) -> impl Iterator<Item = &'static str> {
        let kinds = if self.mirrored { &[false, true][..] } else { &[false] };
        kinds.iter().flat_map(|&mirrored| self.tensor_names(mirrored)).copied()
    }

    pub(super) fn shards(&self) -> usize {
        self.images.div_ceil(SHARD)
    }

    /// Images of a shard.
    pub(super) fn images_of(&self, shard: usize) -> std::ops::Range<usize> {
        shard * SHARD..self.images.min((shard + 1) * SHARD)
    }
}

pub(super) fn shard_path(folder: &Path, shard: usize) -> PathBuf {
    folder.join(format!("shard-{shard:05}.safetensors"))
}

pub(super) fn contents_path(folder: &Path, shard: usize) -> PathBuf {
    folder.join(format!("shard-{shard:05}.json"))
}

/// The content of an image that was encoded; all absent where an image cannot change under its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Content {
    stamp: Option<Stamp>,
    sha256: Option<String>,
    /// Of the latents, in the order of [`CacheKey::all_tensor_names`]; empty in older caches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) digests: Vec<u64>,
}

/// Of the numbers of a tensor: the first eight bytes of their SHA-256.
pub(super) fn digest(values: &[f32]) -> u64 {
    let mut hasher = Sha256::new();
    values.iter().for_each(|value| hasher.update(value.to_le_bytes()));
    hasher.finalize().iter().take(8).fold(0, |digest, byte| digest << 8 | u64::from(*byte))
}

impl Content {
    pub(super) fn of(source: &dyn Source, index: usize) -> Self {
        // The time comes first: an image that changes in between is encoded once too often, not once too seldom.
        let stamp = source.stamp(index).ok().flatten();
        Self { stamp, sha256: stamp.and_then(|_| source.sha256(index).ok().flatten()), digests: vec![] }
    }

    /// Whether an image still is what was encoded. One that cannot be read any more is not.
    pub(super) fn is_still_that_of(&self, source: &dyn Source, index: usize) -> bool {
        match (source.stamp(index), self.stamp) {
            (Ok(None), before) => before.is_none(),
            (Ok(Some(now)), Some(before)) if now == before && now.modified.is_some() => true,
            (Ok(Some(now)), Some(before)) if now.bytes == before.bytes => {
                self.sha256.is_some() && source.sha256(index).is_ok_and(|now| now == self.sha256)
            }
            _ => false,
        }
    }
}

pub(super) fn read_contents(folder: &Path, key: &CacheKey, shard: usize) -> Result<Vec<Content>, DataError> {
    let path = contents_path(folder, shard);
    let text = std::fs::read(&path).map_err(DataError::io("read", &path))?;
    let expected = format!("the contents of {} images", key.images_of(shard).len());
    let refuse = |found: String| DataError::malformed(path.display().to_string(), expected.clone(), found);
    let contents: Vec<Content> = serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
    if contents.len() != key.images_of(shard).len() {
        return Err(refuse(contents.len().to_string()));
    }
    Ok(contents)
}

pub(super) fn read_manifest(folder: &Path) -> Result<Manifest, DataError> {
    let path = folder.join(MANIFEST);
    let text = std::fs::read_to_string(&path).map_err(|source| DataError::Io {
        action: "read",
        path: path.clone(),
        source,
    })?;
    let name = path.display().to_string();
    let manifest: Manifest = serde_json::from_str(&text)
        .map_err(|error| DataError::malformed(&name, "the manifest of a latent cache", error.to_string()))?;
    if manifest.format_version != FORMAT_VERSION || manifest.shard_size != SHARD {
        let expected = format!("format_version {FORMAT_VERSION} with shards of {SHARD}");
        let found = format!("format_version {} with shards of {}", manifest.format_version, manifest.shard_size);
        return Err(DataError::malformed(&name, expected, found));
    }
    Ok(manifest)
}

/// Why a cache is of no use for these images and this autoencoder, if it is not.
pub(super) fn check(folder: &Path, found: &CacheKey, wanted: &CacheKey) -> Result<(), DataError> {
    let name = folder.join(MANIFEST).display().to_string();
    let differs = |what: &str, wanted: &dyn std::fmt::Debug, found: &dyn std::fmt::Debug| {
        let expected = format!("{what} {wanted:?}; `interfuse data encode` makes the cache again in another folder");
        Err(DataError::malformed(&name, expected, format!("{found:?}")))
    };
    if found.vae_sha256 != wanted.vae_sha256 {
        return differs("the latents of the autoencoder with sha256", &wanted.vae_sha256, &found.vae_sha256);
    }
    if found.latent_shape != wanted.latent_shape {
        return differs("latents of shape", &wanted.latent_shape, &found.latent_shape);
    }
    if found.images != wanted.images || found.data_sha256 != wanted.data_sha256 {
        let [wanted, found] = [wanted, found].map(|key| (key.images, &key.data_sha256));
        return differs("the latents of these images, (count, sha256 of their names)", &wanted, &found);
    }
    if wanted.mirrored && !found.mirrored {
        return differs("mirrored images as well, because data.horizontal_flip is above 0:", &true, &false);
    }
    Ok(())
}

/// A whole cache, of which single images are read.
#[derive(Debug)]
pub struct LatentCache {
    key: CacheKey,
    shards: Vec<TensorFile>,
    /// Of each image, by which damage is found; empty in older caches.
    digests: Vec<Box<[u64]>>,
}

impl LatentCache {
    /// Opens a cache of the images of a source.
    ///
    /// # Errors
    /// When it was made by another autoencoder or of other images, an image has changed since, or a shard is missing or torn.
    pub fn open(folder: &Path, wanted: &CacheKey, source: &dyn Source) -> Result<Self, DataError> {
        let manifest = read_manifest(folder)?;
        check(folder, &manifest.key, wanted)?;
        let (mut shards, mut digests) = (vec![], vec![]);
        for shard in 0..wanted.shards() {
            shards.push(open_shard(folder, &manifest.key, shard)?);
            let contents = read_contents(folder, &manifest.key, shard)?;
            let mut images = wanted.images_of(shard).zip(&contents);
            if let Some((index, _)) = images.find(|(index, content)| !content.is_still_that_of(source, *index)) {
                let name = contents_path(folder, shard).display().to_string();
                let expected = format!("the latents of `{}` as it is now", source.name(index));
                let found = "those of before it was changed; `interfuse data encode` encodes what has changed";
                return Err(DataError::malformed(name, expected, found));
            }
            digests.extend(contents.into_iter().map(|content| content.digests.into_boxed_slice()));
        }
        Ok(Self { key: manifest.key, shards, digests })
    }

    /// The posterior of an image.
    ///
    /// # Errors
    /// When they are not finite or not what was written, or cannot be read.
    pub fn posterior(&self, index: usize, mirrored: bool) -> Result<LatentPosterior, DataError> {
        let shard = self.shards.get(index / SHARD);
        let name = || format!("latents of image {index}");
        let shard = shard.ok_or_else(|| DataError::malformed(name(), "an image of the cache", "none"))?;
        let read = |tensor: &&str| {
            let row = shard.row(tensor, index % SHARD);
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

pub(super) fn open_shard(folder: &Path, key: &CacheKey, shard: usize) -> Result<TensorFile, DataError> {
    let path = shard_path(folder, shard);
    let file = TensorFile::open(&path).map_err(|error| {
        let name = path.display().to_string();
        DataError::malformed(&name, format!("shard {shard} of {}", key.shards()), error.to_string())
    })?;
    let [channels, height, width] = key.latent_shape;
    let expected = [key.images_of(shard).len(), channels, height, width];
    for name in key.all_tensor_names() {
        if file.shape(name) != Some(&expected) {
            let found = format!("{:?}", file.shape(name));
            return Err(DataError::malformed(
                path.display().to_string(),
                format!("{name} of shape {expected:?}"),
                found,
            ));
        }
    }
    Ok(file)
}

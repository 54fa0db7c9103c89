//! What a latent cache was made of, and its `manifest.json`.

use std::path::Path;

use interfuse_parameters::Precision;
use interfuse_parameters::sha256::hexadecimal;
use interfuse_vae::Codec;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::parts::Part;
use crate::error::DataError;
use crate::images::{Fit, Framing};
use crate::sources::Source;

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
    /// Which part of the cache it is of, where several jobs make one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<Part>,
}

impl CacheKey {
    /// Of the images of a source and the codec that encodes them.
    ///
    /// # Errors
    /// When the codec does not take such images, or leaves pixels as they are.
    pub fn new(source: &dyn Source, codec: &dyn Codec, mirrored: bool) -> Result<Self, DataError> {
        let Framing { shape, sizes, fit, upscale } = source.framing();
        let refuse =
            |error: String| DataError::malformed("latent cache", "an autoencoder that takes the images", error);
        if !sizes.is_empty() {
            return Err(DataError::malformed("latent cache", "images of one size", "those of data.buckets"));
        }
        if fit == Fit::RandomCrop {
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
        if fit != Fit::Crop {
            hasher.update(format!("{fit:?}"));
        }
        // So is a cache in which small images were enlarged than the choice not to.
        if !upscale {
            hasher.update("as large as they are at most");
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
        return differs(
            "the latents of these images, (count, sha256 of their names, shape, fit and upscale)",
            &wanted,
            &found,
        );
    }
    if wanted.mirrored && !found.mirrored {
        return differs("mirrored images as well, because data.horizontal_flip is above 0:", &true, &false);
    }
    Ok(())
}

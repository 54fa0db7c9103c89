//! Latents that were made before training.
//!
//! ```text
//! manifest.json              which autoencoder, which images, how many, how they lie
//! shard-00000.safetensors    mean, logvar: [n, latent_channels, height, width], as the encoder gave them, unscaled;
//!                            mirrored_mean, mirrored_logvar as well where images are mirrored in training
//! ```
//!
//! An image that could not be encoded is NaN, so that every other keeps its number. A shard is written to a temporary path and renamed, so
//! that writing goes on after an interruption where it stood.

use std::path::{Path, PathBuf};

use interfuse_parameters::durable::{create_folder, replace_file, write_file};
use interfuse_parameters::{HostTensor, HostTensors, Precision, TensorFile, write_tensors_as};
use interfuse_vae::{Codec, LatentPosterior};
use ndarray::Array3;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::DataError;
use crate::source::Source;

/// Images of a shard.
pub const SHARD: usize = 4096;
/// Version of the layout.
const FORMAT_VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";

/// What a cache must have been made of to be of use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheKey {
    /// SHA-256 of the autoencoder's weights.
    pub vae_sha256: String,
    /// SHA-256 of the names and the shape of all images, in their order; not of their content.
    pub data_sha256: String,
    /// How many images.
    pub images: usize,
    /// `[latent_channels, height, width]`
    pub latent_shape: [usize; 3],
    /// Whether mirrored images are there as well.
    pub mirrored: bool,
}

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format_version: u32,
    #[serde(flatten)]
    key: CacheKey,
    shard_size: usize,
    precision: Precision,
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
        let latent_shape = codec
            .latent_shape([shape.channels, shape.height, shape.width])
            .map_err(|error| refuse(error.to_string()))?;
        let vae_sha256 =
            codec.hash().ok_or_else(|| refuse("a codec that leaves pixels as they are".into()))?.to_string();
        let mut hasher = Sha256::new();
        hasher.update(format!("{shape:?}"));
        for index in 0..source.len() {
            hasher.update(source.name(index));
            hasher.update([0]);
        }
        let data_sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { vae_sha256, data_sha256, images: source.len(), latent_shape, mirrored })
    }

    fn shards(&self) -> usize {
        self.images.div_ceil(SHARD)
    }

    /// Images of a shard.
    fn images_of(&self, shard: usize) -> std::ops::Range<usize> {
        shard * SHARD..self.images.min((shard + 1) * SHARD)
    }
}

fn shard_path(folder: &Path, shard: usize) -> PathBuf {
    folder.join(format!("shard-{shard:05}.safetensors"))
}

/// Names of the tensors of an image and of its mirror image.
fn tensor_names(mirrored: bool) -> [&'static str; 2] {
    if mirrored { ["mirrored_mean", "mirrored_logvar"] } else { ["mean", "logvar"] }
}

fn read_manifest(folder: &Path) -> Result<Manifest, DataError> {
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
fn check(folder: &Path, found: &CacheKey, wanted: &CacheKey) -> Result<(), DataError> {
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
}

impl LatentCache {
    /// Opens a cache.
    ///
    /// # Errors
    /// When it was made by another autoencoder or of other images, or a shard is missing or torn.
    pub fn open(folder: &Path, wanted: &CacheKey) -> Result<Self, DataError> {
        let manifest = read_manifest(folder)?;
        check(folder, &manifest.key, wanted)?;
        let shards =
            (0..wanted.shards()).map(|shard| open_shard(folder, &manifest.key, shard)).collect::<Result<_, _>>()?;
        Ok(Self { key: manifest.key, shards })
    }

    /// The posterior of an image.
    ///
    /// # Errors
    /// When they are not finite, or cannot be read.
    pub fn posterior(&self, index: usize, mirrored: bool) -> Result<LatentPosterior, DataError> {
        let shard = self.shards.get(index / SHARD);
        let name = || format!("latents of image {index}");
        let shard = shard.ok_or_else(|| DataError::malformed(name(), "an image of the cache", "none"))?;
        let [mean, log_variance] = tensor_names(mirrored).map(|tensor| {
            let row = shard.row(tensor, index % SHARD);
            let row =
                row.map_err(|error| DataError::malformed(name(), "latents that can be read", error.to_string()))?;
            if row.values.iter().any(|value| !value.is_finite()) {
                return Err(DataError::malformed(name(), "finite numbers", "NaN or infinity"));
            }
            let shape = self.key.latent_shape;
            Array3::from_shape_vec(shape, row.values)
                .map_err(|error| DataError::malformed(name(), format!("{shape:?} numbers"), error.to_string()))
        });
        Ok(LatentPosterior { mean: mean?, log_variance: Some(log_variance?) })
    }
}

fn open_shard(folder: &Path, key: &CacheKey, shard: usize) -> Result<TensorFile, DataError> {
    let path = shard_path(folder, shard);
    let file = TensorFile::open(&path).map_err(|error| {
        let name = path.display().to_string();
        DataError::malformed(&name, format!("shard {shard} of {}", key.shards()), error.to_string())
    })?;
    let [channels, height, width] = key.latent_shape;
    let expected = [key.images_of(shard).len(), channels, height, width];
    let kinds = if key.mirrored { &[false, true][..] } else { &[false] };
    for name in kinds.iter().flat_map(|&mirrored| tensor_names(mirrored)) {
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

/// A cache in the making.
#[derive(Debug)]
pub struct LatentWriter {
    folder: PathBuf,
    manifest: Manifest,
}

/// What writing a cache came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Images encoded now.
    pub encoded: usize,
    /// Images that an earlier run had encoded.
    pub found: usize,
    /// Images that could not be encoded, with the reason, the first few of them.
    pub bad: Vec<String>,
    /// How many could not be encoded.
    pub bad_count: usize,
    /// Whether someone asked to stop before the end.
    pub stopped: bool,
}

/// How many bad images are named.
const MOST_NAMED: usize = 16;

impl LatentWriter {
    /// Begins a cache, or goes on with one of the same autoencoder and the same images.
    ///
    /// # Errors
    /// When the folder holds another cache, or cannot be written.
    pub fn begin(folder: &Path, key: CacheKey, precision: Precision) -> Result<Self, DataError> {
        let manifest = Manifest { format_version: FORMAT_VERSION, key, shard_size: SHARD, precision };
        let path = folder.join(MANIFEST);
        if path.exists() {
            let found = read_manifest(folder)?;
            check(folder, &found.key, &manifest.key)?;
            if found != manifest {
                let expected = format!("precision {precision:?} and mirrored {}", manifest.key.mirrored);
                let found = format!("{:?} and {}", found.precision, found.key.mirrored);
                return Err(DataError::malformed(path.display().to_string(), expected, found));
            }
        } else {
            create_folder(folder)?;
            let text = serde_json::to_vec_pretty(&manifest)
                .map_err(|error| DataError::malformed(MANIFEST, "numbers that JSON can hold", error.to_string()))?;
            write_file(&path, &text)?;
        }
        Ok(Self { folder: folder.into(), manifest })
    }

    /// Encodes every image whose shard is not there yet; `progress` hears how many are done and says whether to go on.
    ///
    /// # Errors
    /// When a shard cannot be written. A bad image is no error; it is counted and named.
    pub fn write(
        &self,
        source: &dyn Source,
        codec: &dyn Codec,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Written, DataError> {
        let key = &self.manifest.key;
        let mut written = Written::default();
        for shard in 0..key.shards() {
            let images = key.images_of(shard);
            if open_shard(&self.folder, key, shard).is_ok() {
                written.found += images.len();
                if !progress(written.found + written.encoded) {
                    written.stopped = true;
                    return Ok(written);
                }
                continue;
            }
            let mut tensors = HostTensors::new();
            for index in images.clone() {
                self.encode(source, codec, index, &mut tensors, &mut written);
                if !progress(written.found + written.encoded) {
                    // A part of a shard is worth nothing; what was whole before stays.
                    written.stopped = true;
                    return Ok(written);
                }
            }
            self.write_shard(shard, images.len(), tensors)?;
        }
        Ok(written)
    }

    fn encode(
        &self,
        source: &dyn Source,
        codec: &dyn Codec,
        index: usize,
        tensors: &mut HostTensors,
        written: &mut Written,
    ) {
        let key = &self.manifest.key;
        written.encoded += 1;
        let kinds = if key.mirrored { &[false, true][..] } else { &[false] };
        let of = |mirrored: bool| -> Result<LatentPosterior, String> {
            let image = source.image(index).map_err(|error| error.to_string())?;
            let image = if mirrored { image.flipped_horizontally() } else { image };
            let posterior = codec.posterior(image.to_unit_range()).map_err(|error| error.to_string())?;
            match posterior.mean.iter().all(|value| value.is_finite()) {
                true => Ok(posterior),
                false => Err("latents that are not finite".into()),
            }
        };
        let found: Result<Vec<LatentPosterior>, String> = kinds.iter().map(|&mirrored| of(mirrored)).collect();
        let found = found.unwrap_or_else(|reason| {
            written.bad_count += 1;
            if written.bad.len() < MOST_NAMED {
                written.bad.push(format!("{}: {reason}", source.name(index)));
            }
            let none = Array3::from_elem(key.latent_shape, f32::NAN);
            vec![LatentPosterior { mean: none.clone(), log_variance: Some(none) }; kinds.len()]
        });
        for (posterior, &mirrored) in found.into_iter().zip(kinds) {
            let log_variance = posterior.log_variance.unwrap_or_else(|| Array3::from_elem(key.latent_shape, -30.0));
            for (name, values) in tensor_names(mirrored).into_iter().zip([posterior.mean, log_variance]) {
                let tensor = tensors.entry(name.into()).or_insert_with(|| HostTensor { shape: vec![], values: vec![] });
                tensor.values.extend(values);
            }
        }
    }

    fn write_shard(&self, shard: usize, images: usize, mut tensors: HostTensors) -> Result<(), DataError> {
        let [channels, height, width] = self.manifest.key.latent_shape;
        for tensor in tensors.values_mut() {
            tensor.shape = vec![images, channels, height, width];
        }
        let path = shard_path(&self.folder, shard);
        replace_file(&path, |temporary| {
            write_tensors_as(&tensors, self.manifest.precision, temporary).map_err(|error| {
                DataError::malformed(temporary.display().to_string(), "a file that can be written", error.to_string())
            })
        })
    }
}

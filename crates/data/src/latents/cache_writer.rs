//! A latent cache in the making.

use std::fs::File;
use std::path::Path;

use interfuse_parameters::durable::{create_folder, replace_file, write_file};
use interfuse_parameters::{HostTensor, HostTensors, Precision, TensorFile, WeightsError, write_tensors_as};
use interfuse_vae::{Codec, LatentPosterior};
use ndarray::Array3;

use super::contents::Content;
use super::key::{CacheKey, FORMAT_VERSION, MANIFEST, Manifest, SHARD, check, read_manifest};
use super::parts::{Part, Stretch, check_number, parts_in};
use crate::error::DataError;
use crate::sources::Source;

/// A cache in the making, or one part of it.
#[derive(Debug)]
pub struct LatentWriter {
    manifest: Manifest,
    stretches: Vec<Stretch>,
    /// Held while parts are written.
    _locks: Vec<File>,
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
    /// Begins a cache, or goes on with one of the same autoencoder and the same images; one that is made in parts, in all of
    /// them. Ids of codes are kept whole, whatever `precision` says.
    ///
    /// # Errors
    /// When the folder holds another cache, or cannot be written; when another process works on a part.
    pub fn begin(folder: &Path, key: CacheKey, precision: Precision) -> Result<Self, DataError> {
        let parts = match parts_in(folder)? {
            Some(of) => Part::all(of)?.into_iter().map(Some).collect(),
            None => vec![None],
        };
        Self::of(folder, key, precision, &parts)
    }

    /// Begins a part of a cache, or goes on with it.
    ///
    /// # Errors
    /// As [`LatentWriter::begin`]; when the cache is made in another number of parts, or is whole.
    pub fn begin_part(folder: &Path, key: CacheKey, precision: Precision, part: Part) -> Result<Self, DataError> {
        check_number(folder, part.of())?;
        Self::of(folder, key, precision, &[Some(part)])
    }

    fn of(folder: &Path, key: CacheKey, precision: Precision, parts: &[Option<Part>]) -> Result<Self, DataError> {
        // Half precision would make other ids of large ones.
        let precision = if key.codes.is_some() { Precision::F32 } else { precision };
        let (mut stretches, mut locks) = (vec![], vec![]);
        for &part in parts {
            let stretch = Stretch::new(folder, key.images, part);
            let key = key.clone();
            let manifest = Manifest { format_version: FORMAT_VERSION, key, shard_size: SHARD, precision, part };
            create_folder(&stretch.folder)?;
            if part.is_some() {
                locks.push(stretch.lock()?);
            }
            begin(&stretch, &manifest)?;
            stretches.push(stretch);
        }
        let manifest = Manifest { format_version: FORMAT_VERSION, key, shard_size: SHARD, precision, part: None };
        Ok(Self { manifest, stretches, _locks: locks })
    }

    /// How many images it is to hold: those of its part, if it is one.
    pub fn images(&self) -> usize {
        self.stretches.iter().map(|stretch| stretch.images.len()).sum()
    }

    /// Encodes every image whose latents are not there yet or are of an earlier content; `progress` hears how many are done and says whether to go on.
    ///
    /// # Errors
    /// When a shard cannot be written. A bad image is no error; it is counted and named.
    pub fn write(
        &self,
        source: &dyn Source,
        codec: &dyn Codec,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Written, DataError> {
        let mut written = Written::default();
        for stretch in &self.stretches {
            for shard in 0..stretch.shards() {
                self.write_shard((stretch, shard), (source, codec), (&mut written, progress))?;
                if written.stopped {
                    return Ok(written);
                }
            }
        }
        Ok(written)
    }

    /// Encodes what is missing of a shard, and writes it if anything is.
    fn write_shard(
        &self,
        (stretch, shard): (&Stretch, usize),
        (source, codec): (&dyn Source, &dyn Codec),
        (written, progress): (&mut Written, &mut dyn FnMut(usize) -> bool),
    ) -> Result<(), DataError> {
        let images = stretch.images_of(shard);
        let before = self.shard_before(source, stretch, shard);
        if before.as_ref().is_some_and(|before| before.fresh.iter().all(|fresh| *fresh)) {
            written.found += images.len();
            written.stopped = !progress(written.found + written.encoded);
            return Ok(());
        }
        let (mut tensors, mut contents) = (HostTensors::new(), vec![]);
        for (place, index) in images.clone().enumerate() {
            match before.as_ref().filter(|before| before.fresh[place]) {
                Some(before) => {
                    self.keep(&before.file, place, &mut tensors)?;
                    contents.push(before.contents[place].clone());
                    written.found += 1;
                }
                None => {
                    contents.push(Content::of(source, index));
                    self.encode(source, codec, index, &mut tensors, written);
                }
            }
            if !progress(written.found + written.encoded) {
                // A part of a shard is worth nothing; what was whole before stays.
                written.stopped = true;
                return Ok(());
            }
        }
        self.replace_shard((stretch, shard), images.len(), tensors, contents)
    }

    /// A shard that is there, if it is whole.
    fn shard_before(&self, source: &dyn Source, stretch: &Stretch, shard: usize) -> Option<ShardBefore> {
        let key = &self.manifest.key;
        let file = stretch.open_shard(key, shard).ok()?;
        let contents = stretch.read_contents(shard).ok()?;
        let images = stretch.images_of(shard).zip(&contents).enumerate();
        let is_fresh = |(place, (index, content)): (usize, (usize, &Content))| {
            content.is_still_that_of(source, index) && content.is_intact(key, &file, place)
        };
        let fresh = images.map(is_fresh).collect();
        Some(ShardBefore { file, contents, fresh })
    }

    /// Takes the latents of an image over from an earlier shard, to the bit.
    fn keep(&self, file: &TensorFile, place: usize, tensors: &mut HostTensors) -> Result<(), DataError> {
        for name in self.manifest.key.all_tensor_names() {
            let row = file.row(name, place);
            let row = row.map_err(|error| DataError::malformed(name, "latents that can be read", error.to_string()))?;
            append(tensors, name, row.values);
        }
        Ok(())
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
            for (name, values) in key.tensor_names(mirrored).iter().zip([posterior.mean, log_variance]) {
                append(tensors, name, values);
            }
        }
    }

    fn replace_shard(
        &self,
        (stretch, shard): (&Stretch, usize),
        images: usize,
        mut tensors: HostTensors,
        mut contents: Vec<Content>,
    ) -> Result<(), DataError> {
        // Were the program to end between the two, latents of an earlier content would have the signs of the present one.
        let path = stretch.shard_path(shard);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(DataError::io("replace", &path)(error));
            }
            _ => {}
        }
        let [channels, height, width] = self.manifest.key.latent_shape;
        for tensor in tensors.values_mut() {
            tensor.shape = vec![images, channels, height, width];
        }
        replace_file(&path, |temporary| {
            let fail = |error: WeightsError| {
                DataError::malformed(temporary.display().to_string(), "a file that can be written", error.to_string())
            };
            write_tensors_as(&tensors, self.manifest.precision, temporary).map_err(fail)?;
            // The digests are those of the numbers as they are read, after they were rounded.
            let file = TensorFile::open(temporary).map_err(fail)?;
            for (place, content) in contents.iter_mut().enumerate() {
                content.note(&self.manifest.key, &file, place).map_err(fail)?;
            }
            write_contents(&stretch.contents_path(shard), &contents)
        })
    }
}

/// Writes the manifest of a folder, or checks that the one that is there says the same.
fn begin(stretch: &Stretch, manifest: &Manifest) -> Result<(), DataError> {
    let path = stretch.folder.join(MANIFEST);
    if !path.exists() {
        let text = serde_json::to_vec_pretty(manifest)
            .map_err(|error| DataError::malformed(MANIFEST, "numbers that JSON can hold", error.to_string()))?;
        return Ok(write_file(&path, &text)?);
    }
    let found = read_manifest(&stretch.folder)?;
    check(&stretch.folder, &found.key, &manifest.key)?;
    if found != *manifest {
        let told = |manifest: &Manifest| {
            let part = manifest.part.map_or_else(String::new, |part| format!(" of part {part}"));
            format!("precision {:?} and mirrored {}{part}", manifest.precision, manifest.key.mirrored)
        };
        return Err(DataError::malformed(path.display().to_string(), told(manifest), told(&found)));
    }
    Ok(())
}

fn write_contents(path: &Path, contents: &[Content]) -> Result<(), DataError> {
    let text = serde_json::to_vec(contents).map_err(|error| {
        DataError::malformed(path.display().to_string(), "numbers that JSON can hold", error.to_string())
    })?;
    Ok(write_file(path, &text)?)
}

/// A shard of an earlier run.
struct ShardBefore {
    file: TensorFile,
    contents: Vec<Content>,
    /// Of each image, whether it still is what was encoded.
    fresh: Vec<bool>,
}

fn append(tensors: &mut HostTensors, name: &str, values: impl IntoIterator<Item = f32>) {
    let tensor = tensors.entry(name.into()).or_insert_with(|| HostTensor { shape: vec![], values: vec![] });
    tensor.values.extend(values);
}

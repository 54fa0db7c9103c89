//! A latent cache in the making.

use std::path::{Path, PathBuf};

use interfuse_parameters::durable::{create_folder, replace_file, write_file};
use interfuse_parameters::{HostTensor, HostTensors, Precision, TensorFile, WeightsError, write_tensors_as};
use interfuse_vae::{Codec, LatentPosterior};
use ndarray::Array3;

use super::cache::{
    CacheKey, Content, FORMAT_VERSION, MANIFEST, Manifest, SHARD, check, contents_path, digest, open_shard,
    read_contents, read_manifest, shard_path,
};
use crate::error::DataError;
use crate::sources::Source;

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
    /// Begins a cache, or goes on with one of the same autoencoder and the same images. Ids of codes are kept whole, whatever
    /// `precision` says.
    ///
    /// # Errors
    /// When the folder holds another cache, or cannot be written.
    pub fn begin(folder: &Path, key: CacheKey, precision: Precision) -> Result<Self, DataError> {
        // Half precision would make other ids of large ones.
        let precision = if key.codes.is_some() { Precision::F32 } else { precision };
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
        let key = &self.manifest.key;
        let mut written = Written::default();
        for shard in 0..key.shards() {
            let images = key.images_of(shard);
            let before = self.shard_before(source, shard);
            if before.as_ref().is_some_and(|before| before.fresh.iter().all(|fresh| *fresh)) {
                written.found += images.len();
                if !progress(written.found + written.encoded) {
                    written.stopped = true;
                    return Ok(written);
                }
                continue;
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
                        self.encode(source, codec, index, &mut tensors, &mut written);
                    }
                }
                if !progress(written.found + written.encoded) {
                    // A part of a shard is worth nothing; what was whole before stays.
                    written.stopped = true;
                    return Ok(written);
                }
            }
            self.write_shard(shard, images.len(), tensors, contents)?;
        }
        Ok(written)
    }

    /// A shard that is there, if it is whole.
    fn shard_before(&self, source: &dyn Source, shard: usize) -> Option<ShardBefore> {
        let key = &self.manifest.key;
        let file = open_shard(&self.folder, key, shard).ok()?;
        let contents = read_contents(&self.folder, key, shard).ok()?;
        let intact = |place: usize, content: &Content| {
            let mut written = key.all_tensor_names().zip(&content.digests);
            written.all(|(name, written)| file.row(name, place).is_ok_and(|row| digest(&row.values) == *written))
        };
        let images = key.images_of(shard).zip(&contents).enumerate();
        let fresh = images
            .map(|(place, (index, content))| content.is_still_that_of(source, index) && intact(place, content))
            .collect();
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

    fn write_shard(
        &self,
        shard: usize,
        images: usize,
        mut tensors: HostTensors,
        mut contents: Vec<Content>,
    ) -> Result<(), DataError> {
        // Were the program to end between the two, latents of an earlier content would have the signs of the present one.
        let path = shard_path(&self.folder, shard);
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
                let rows = self.manifest.key.all_tensor_names().map(|name| file.row(name, place));
                content.digests =
                    rows.map(|row| row.map(|row| digest(&row.values))).collect::<Result<_, _>>().map_err(fail)?;
            }
            self.write_contents(shard, &contents)
        })
    }

    fn write_contents(&self, shard: usize, contents: &[Content]) -> Result<(), DataError> {
        let path = contents_path(&self.folder, shard);
        let text = serde_json::to_vec(contents).map_err(|error| {
            DataError::malformed(path.display().to_string(), "numbers that JSON can hold", error.to_string())
        })?;
        Ok(write_file(&path, &text)?)
    }
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use interfuse_vae::{LatentRange, Latents, VaeError};

    use super::*;
    use crate::DataConfig;
    use crate::images::Image;
    use crate::latents::LatentCache;
    use crate::sources::folder::FolderConfig;
    use crate::sources::{SourceConfig, open};

    /// The first number of every image.
    struct First;

    impl Codec for First {
        fn latent_shape(&self, _: [usize; 3]) -> Result<[usize; 3], VaeError> {
            Ok([1, 1, 1])
        }
        fn posterior(&self, pixels: Array3<f32>) -> Result<LatentPosterior, VaeError> {
            Ok(LatentPosterior { mean: Array3::from_elem((1, 1, 1), pixels[[0, 0, 0]]), log_variance: None })
        }
        fn scaled(&self, posterior: LatentPosterior) -> Latents {
            Latents { mean: posterior.mean, std: None }
        }
        fn decode(&self, latents: Array3<f32>) -> Result<Array3<f32>, VaeError> {
            Ok(latents)
        }
        fn latent_range(&self) -> Option<LatentRange> {
            None
        }
        fn hash(&self) -> Option<&str> {
            Some("first")
        }
    }

    fn save(folder: &Path, name: &str, level: u8) {
        let image = Image::new(Array3::from_elem((3, 2, 2), level)).unwrap();
        image.save_png(&folder.join(name)).unwrap();
    }

    fn written(images: &Path, cache: &Path) -> Written {
        let source = folder(images);
        let key = CacheKey::new(source.as_ref(), &First, true).unwrap();
        let writer = LatentWriter::begin(cache, key, Precision::F32).unwrap();
        writer.write(source.as_ref(), &First, &mut |_| true).unwrap()
    }

    fn folder(path: &Path) -> std::sync::Arc<dyn Source> {
        let source = SourceConfig::Folder(FolderConfig { path: path.into(), held_out: 0.0 });
        open(&DataConfig { image_size: [2, 2], source, ..DataConfig::default() }).unwrap().train
    }

    fn cached(images: &Path, cache: &Path) -> Result<Vec<f32>, DataError> {
        let source = folder(images);
        let key = CacheKey::new(source.as_ref(), &First, true)?;
        let opened = LatentCache::open(cache, &key, source.as_ref())?;
        (0..source.len()).map(|index| Ok(opened.posterior(index, true)?.mean[[0, 0, 0]])).collect()
    }

    #[test]
    fn an_edited_image_is_refused_by_name_and_encoded_again_alone() {
        let (images, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (images, cache) = (images.path(), cache.path());
        for (index, name) in ["black", "green", "red"].iter().enumerate() {
            save(images, &format!("{name}.png"), index as u8);
            std::fs::write(images.join(format!("{name}.txt")), name).unwrap();
        }
        assert_eq!(written(images, cache), Written { encoded: 3, ..Written::default() });
        let before = cached(images, cache).unwrap();

        // The same bytes at another time are the same image, as after a copy.
        let file = std::fs::File::options().write(true).open(images.join("green.png")).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(9)).unwrap();
        assert_eq!(cached(images, cache).unwrap(), before);

        // Other levels in as many bytes.
        save(images, "red.png", 3);
        let file = std::fs::File::options().write(true).open(images.join("red.png")).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(9)).unwrap();
        let message = cached(images, cache).unwrap_err().to_string();
        for part in ["red.png", "interfuse data encode", "before it was changed"] {
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(written(images, cache), Written { encoded: 1, found: 2, ..Written::default() });
        let after = cached(images, cache).unwrap();
        assert_eq!(after[..2], before[..2]);
        assert!((after[2] - (3.0 / 127.5 - 1.0)).abs() < 1e-6 && after[2] != before[2]);
        assert_eq!(written(images, cache), Written { found: 3, ..Written::default() });
    }

    #[test]
    fn a_flipped_bit_of_a_latent_is_refused_and_encoded_again_alone() {
        let (images, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (images, cache) = (images.path(), cache.path());
        for (index, name) in ["black", "green", "red"].iter().enumerate() {
            save(images, &format!("{name}.png"), index as u8);
            std::fs::write(images.join(format!("{name}.txt")), name).unwrap();
        }
        written(images, cache);
        let before = cached(images, cache).unwrap();
        let shard = shard_path(cache, 0);
        let mut bytes = std::fs::read(&shard).unwrap();
        // Tensors lie in the order of their names, so the last number is the last image's `mirrored_mean`.
        let last = bytes.len() - 4;
        bytes[last] ^= 1;
        std::fs::write(&shard, bytes).unwrap();
        let message = cached(images, cache).unwrap_err().to_string();
        assert!(message.contains("latents of image 2") && message.contains("interfuse data encode"), "{message}");
        assert_eq!(written(images, cache), Written { encoded: 1, found: 2, ..Written::default() });
        assert_eq!(cached(images, cache).unwrap(), before);
    }
}

//! Caches that are written, edited, damaged, and made in parts.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use interfuse_parameters::Precision;
use interfuse_vae::{LatentPosterior, LatentRange, VaeError};
use ndarray::Array3;

use super::*;
use crate::DataConfig;
use crate::images::Image;
use crate::sources::folder::FolderConfig;
use crate::sources::{SourceConfig, open};

/// The first number of every image, times another.
struct First(f32);

impl Codec for First {
    fn latent_shape(&self, _: [usize; 3]) -> Result<[usize; 3], VaeError> {
        Ok([1, 1, 1])
    }
    fn posterior(&self, pixels: Array3<f32>) -> Result<LatentPosterior, VaeError> {
        Ok(LatentPosterior { mean: Array3::from_elem((1, 1, 1), self.0 * pixels[[0, 0, 0]]), log_variance: None })
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
    let key = CacheKey::new(source.as_ref(), &First(1.0), true).unwrap();
    let writer = LatentWriter::begin(cache, key, Precision::F32).unwrap();
    writer.write(source.as_ref(), &First(1.0), &mut |_| true).unwrap()
}

fn folder(path: &Path) -> std::sync::Arc<dyn Source> {
    let source = SourceConfig::Folder(FolderConfig { path: path.into(), held_out: 0.0 });
    open(&DataConfig { image_size: [2, 2], source, ..DataConfig::default() }).unwrap().train
}

fn cached(images: &Path, cache: &Path) -> Result<Vec<f32>, DataError> {
    let source = folder(images);
    let key = CacheKey::new(source.as_ref(), &First(1.0), true)?;
    let opened = LatentCache::open(cache, &key, source.as_ref())?;
    (0..source.len()).map(|index| Ok(opened.posterior(index, true)?.mean[[0, 0, 0]])).collect()
}

#[test]
fn an_edited_image_is_refused_by_name_and_encoded_again_alone() {
    let (images, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (images, cache) = (images.path(), cache.path());
    for (index, name) in ["black", "green", "red"].iter().enumerate() {
        save(images, &format!("{name}.png"), index as u8);
        fs::write(images.join(format!("{name}.txt")), name).unwrap();
    }
    assert_eq!(written(images, cache), Written { encoded: 3, ..Written::default() });
    let before = cached(images, cache).unwrap();

    // The same bytes at another time are the same image, as after a copy.
    let file = fs::File::options().write(true).open(images.join("green.png")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(9)).unwrap();
    assert_eq!(cached(images, cache).unwrap(), before);

    // Other levels in as many bytes.
    save(images, "red.png", 3);
    let file = fs::File::options().write(true).open(images.join("red.png")).unwrap();
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
        fs::write(images.join(format!("{name}.txt")), name).unwrap();
    }
    written(images, cache);
    let before = cached(images, cache).unwrap();
    let shard = cache.join("shard-00000.safetensors");
    let mut bytes = fs::read(&shard).unwrap();
    // Tensors lie in the order of their names, so the last number is the last image's `mirrored_mean`.
    let last = bytes.len() - 4;
    bytes[last] ^= 1;
    fs::write(&shard, bytes).unwrap();
    let message = cached(images, cache).unwrap_err().to_string();
    assert!(message.contains("latents of image 2") && message.contains("interfuse data encode"), "{message}");
    assert_eq!(written(images, cache), Written { encoded: 1, found: 2, ..Written::default() });
    assert_eq!(cached(images, cache).unwrap(), before);
}

/// Images of seven levels.
fn seven(images: &Path) {
    for level in 0..7 {
        save(images, &format!("{level}.png"), 10 * level);
        fs::write(images.join(format!("{level}.txt")), "a level").unwrap();
    }
}

/// What a job comes to.
fn job(images: &Path, cache: &Path, part: &str, codec: &First) -> Result<Written, DataError> {
    let source = folder(images);
    let key = CacheKey::new(source.as_ref(), codec, true)?;
    let writer = LatentWriter::begin_part(cache, key, Precision::F32, part.parse()?)?;
    writer.write(source.as_ref(), codec, &mut |_| true)
}

/// The bytes of all numbers of a shard.
fn numbers(shard: &Path) -> Vec<u8> {
    let bytes = fs::read(shard).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].to_vec()
}

#[test]
fn parts_hold_the_very_latents_that_one_process_makes() {
    let (images, whole, parts) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (images, whole, parts) = (images.path(), whole.path(), parts.path());
    seven(images);
    assert_eq!(written(images, whole).encoded, 7);
    assert_eq!(jobs_left(parts, 7, 3).unwrap().len(), 3);
    let encoded = ["3/3", "1/3", "2/3"].map(|part| job(images, parts, part, &First(1.0)).unwrap().encoded);
    assert_eq!(encoded, [3, 2, 2]);
    assert!(jobs_left(parts, 7, 3).unwrap().is_empty());
    assert_eq!(cached(images, parts).unwrap(), cached(images, whole).unwrap());
    // Each of the four tensors is the parts' rows one after another, to the bit.
    let shards: Vec<Vec<u8>> =
        (1..=3).map(|part| numbers(&parts.join(format!("part-{part:05}-of-00003/shard-00000.safetensors")))).collect();
    let joined: Vec<u8> = (0..4)
        .flat_map(|tensor| shards.iter().flat_map(move |shard| shard.chunks(shard.len() / 4).nth(tensor).unwrap()))
        .copied()
        .collect();
    assert_eq!(joined, numbers(&whole.join("shard-00000.safetensors")));

    // The same again finds everything, in one process as well, and an edited image is encoded in its part.
    assert_eq!(job(images, parts, "2/3", &First(1.0)).unwrap().found, 2);
    save(images, "6.png", 200);
    let file = fs::File::options().write(true).open(images.join("6.png")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(9)).unwrap();
    assert!(cached(images, parts).unwrap_err().to_string().contains("6.png"));
    assert_eq!(written(images, parts), Written { encoded: 1, found: 6, ..Written::default() });
    assert!(cached(images, parts).unwrap()[6] > 0.5 && !parts.join("manifest.json").exists());
}

#[test]
fn more_jobs_than_images_leave_some_without_work() {
    let (images, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    seven(images.path());
    for part in 1..=9 {
        job(images.path(), cache.path(), &format!("{part}/9"), &First(1.0)).unwrap();
    }
    assert_eq!(cached(images.path(), cache.path()).unwrap().len(), 7);
}

#[test]
fn parts_that_do_not_fit_together_are_named() {
    let (images, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (images, cache) = (images.path(), cache.path());
    seven(images);
    let refused = |parts: &[&str]| {
        let message = cached(images, cache).unwrap_err().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    };
    for part in ["1/3", "3/3"] {
        job(images, cache, part, &First(1.0)).unwrap();
    }
    refused(&["all 3 parts", "found 2", "part-00002-of-00003` is missing", "`--job 2/3`"]);
    assert_eq!(jobs_left(cache, 7, 3).unwrap(), ["2/3".parse().unwrap()]);
    job(images, cache, "2/3", &First(1.0)).unwrap();
    cached(images, cache).unwrap();

    // A job that was stopped before its end.
    let shard = cache.join("part-00002-of-00003/shard-00000.safetensors");
    let bytes = fs::read(&shard).unwrap();
    fs::remove_file(&shard).unwrap();
    refused(&["part-00002-of-00003/shard-00000.safetensors", "`--job 2/3`"]);
    assert_eq!(jobs_left(cache, 7, 3).unwrap().len(), 1);

    // The shard of another writing, whose numbers are others.
    job(images, cache, "2/3", &First(2.0)).unwrap();
    fs::write(&shard, bytes).unwrap();
    refused(&["part-00002-of-00003/shard-00000.json", "made twice"]);
    job(images, cache, "2/3", &First(1.0)).unwrap();
    cached(images, cache).unwrap();

    // Another number of parts, and a whole cache beside them.
    let refuse_job = |part: &str| job(images, cache, part, &First(1.0)).unwrap_err().to_string();
    assert!(refuse_job("1/4").contains("parts of 4") && jobs_left(cache, 7, 4).is_err());
    fs::create_dir(cache.join("part-00001-of-00002")).unwrap();
    refused(&["parts of 2, or of another number", "part-00003-of-00003"]);
    fs::remove_dir(cache.join("part-00001-of-00002")).unwrap();
    fs::copy(cache.join("part-00001-of-00003/manifest.json"), cache.join("manifest.json")).unwrap();
    refused(&["a whole cache or parts", "part-00001-of-00003"]);
    assert!(refuse_job("1/3").contains("a cache that one process makes"));
    fs::remove_file(cache.join("manifest.json")).unwrap();

    // A part of another place, of another autoencoder, and of images in another shape.
    let manifest = cache.join("part-00001-of-00003/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    for (from, to, parts) in [
        ("\"number\": 1", "\"number\": 2", ["of part 1/3", "of part 2/3"]),
        ("\"first\"", "\"other\"", ["autoencoder with sha256", "other"]),
        ("\"images\": 7", "\"images\": 8", ["these images", "8"]),
    ] {
        assert!(text.contains(from), "{text}");
        fs::write(&manifest, text.replace(from, to)).unwrap();
        refused(&[&["part-00001-of-00003/manifest.json"][..], &parts].concat());
        assert!(job(images, cache, "1/3", &First(1.0)).is_err());
    }
}

#[test]
fn a_part_is_made_by_one_process_at_a_time() {
    let (images, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    seven(images.path());
    let source = folder(images.path());
    let key = CacheKey::new(source.as_ref(), &First(1.0), true).unwrap();
    let begin = |part: &str| LatentWriter::begin_part(cache.path(), key.clone(), Precision::F32, part.parse().unwrap());
    let first = begin("1/2").unwrap();
    assert_eq!(first.images(), 3);
    let message = begin("1/2").unwrap_err().to_string();
    assert!(message.contains("part-00001-of-00002") && message.contains("another process"), "{message}");
    assert_eq!(begin("2/2").unwrap().images(), 4);
    drop(first);
    begin("1/2").unwrap();
}

//! Parts of a cache that jobs make by themselves, on any number of machines that share a folder.
//!
//! ```text
//! cache/part-00001-of-00008/manifest.json   as that of a whole cache, and which part it is
//! cache/part-00001-of-00008/shard-*         the latents of the first eighth of the images
//! cache/part-00002-of-00008/ …
//! ```
//!
//! No job writes what another does, and opening joins the parts. A job that was stopped goes on; a part is whole once all of its
//! shards are there.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use interfuse_parameters::TensorFile;
use serde::{Deserialize, Serialize};

use super::contents::Content;
use super::key::{CacheKey, MANIFEST, SHARD, check, read_manifest};
use crate::error::DataError;

/// Part k of n, k from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    number: usize,
    of: usize,
}

/// The most parts of a cache.
const MOST_PARTS: usize = 99_999;

impl Part {
    /// # Errors
    /// When k is not from 1 to n, or n is beyond 99,999.
    pub fn new(number: usize, of: usize) -> Result<Self, DataError> {
        match (1..=of).contains(&number) && of <= MOST_PARTS {
            true => Ok(Self { number, of }),
            false => {
                let expected = format!("k/n with k from 1 to n, and n at most {MOST_PARTS}");
                Err(DataError::malformed("--job", expected, format!("{number}/{of}")))
            }
        }
    }

    /// All parts of so many.
    ///
    /// # Errors
    /// As [`Part::new`].
    pub fn all(of: usize) -> Result<Vec<Self>, DataError> {
        Self::new(1, of)?;
        Ok((1..=of).map(|number| Self { number, of }).collect())
    }

    /// How many parts there are.
    pub(super) fn of(self) -> usize {
        self.of
    }

    fn folder(self, cache: &Path) -> PathBuf {
        cache.join(format!("part-{:05}-of-{:05}", self.number, self.of))
    }

    /// The part that a folder's name tells of.
    fn named(name: &str) -> Option<Self> {
        let (number, of) = name.strip_prefix("part-")?.split_once("-of-")?;
        Self::new(number.parse().ok()?, of.parse().ok()?).ok()
    }

    fn images(self, all: usize) -> Range<usize> {
        let bound = |part: usize| (all as u128 * part as u128 / self.of as u128) as usize;
        bound(self.number - 1)..bound(self.number)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Part {
    type Err = DataError;

    /// Of `3/8`.
    fn from_str(text: &str) -> Result<Self, DataError> {
        let numbers = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        let (k, n) = numbers.ok_or_else(|| DataError::malformed("--job", "k/n such as 3/8", format!("`{text}`")))?;
        Self::new(k, n)
    }
}

/// Images that follow one another, and the folder with their latents: of a whole cache or of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) folder: PathBuf,
    pub(super) images: Range<usize>,
    pub(super) part: Option<Part>,
}

impl Stretch {
    /// All images of a cache, or those of a part.
    pub(super) fn new(cache: &Path, images: usize, part: Option<Part>) -> Self {
        match part {
            Some(part) => Self { folder: part.folder(cache), images: part.images(images), part: Some(part) },
            None => Self { folder: cache.into(), images: 0..images, part: None },
        }
    }

    pub(super) fn shards(&self) -> usize {
        self.images.len().div_ceil(SHARD)
    }

    /// Images of a shard, by their numbers in the whole cache.
    pub(super) fn images_of(&self, shard: usize) -> Range<usize> {
        let Range { start, end } = self.images;
        start + shard * SHARD..end.min(start + (shard + 1) * SHARD)
    }

    pub(super) fn shard_path(&self, shard: usize) -> PathBuf {
        self.folder.join(format!("shard-{shard:05}.safetensors"))
    }

    pub(super) fn contents_path(&self, shard: usize) -> PathBuf {
        self.folder.join(format!("shard-{shard:05}.json"))
    }

    pub(super) fn read_contents(&self, shard: usize) -> Result<Vec<Content>, DataError> {
        let path = self.contents_path(shard);
        let text = std::fs::read(&path).map_err(DataError::io("read", &path))?;
        let expected = format!("the contents of {} images", self.images_of(shard).len());
        let refuse = |found: String| DataError::malformed(path.display().to_string(), expected.clone(), found);
        let contents: Vec<Content> = serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
        if contents.len() != self.images_of(shard).len() {
            return Err(refuse(contents.len().to_string()));
        }
        Ok(contents)
    }

    pub(super) fn open_shard(&self, key: &CacheKey, shard: usize) -> Result<TensorFile, DataError> {
        let path = self.shard_path(shard);
        let name = path.display().to_string();
        let file = TensorFile::open(&path).map_err(|error| {
            let expected = format!("shard {shard} of {}{}", self.shards(), self.remedy());
            DataError::malformed(&name, expected, error.to_string())
        })?;
        let [channels, height, width] = key.latent_shape;
        let expected = [self.images_of(shard).len(), channels, height, width];
        for tensor in key.all_tensor_names() {
            if file.shape(tensor) != Some(&expected) {
                let found = format!("{:?}", file.shape(tensor));
                return Err(DataError::malformed(&name, format!("{tensor} of shape {expected:?}"), found));
            }
        }
        Ok(file)
    }

    /// How to get what is missing of a part.
    fn remedy(&self) -> String {
        self.part.map_or_else(String::new, |part| format!(", which `interfuse data encode` with `--job {part}` makes"))
    }

    /// Whether nothing of it is left to be made.
    fn is_whole(&self) -> bool {
        let is_there = |shard| self.shard_path(shard).exists() && self.contents_path(shard).exists();
        self.folder.join(MANIFEST).exists() && (0..self.shards()).all(is_there)
    }

    /// Takes the part's folder for this process; its end gives it back.
    ///
    /// # Errors
    /// When another process has it.
    pub(super) fn lock(&self) -> Result<File, DataError> {
        let path = self.folder.join(".lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(DataError::io("write", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                let found = "another process that makes it";
                Err(DataError::malformed(self.folder.display().to_string(), "a part that nobody works on", found))
            }
            // Some network file systems have no locks, and their users take care themselves.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(file),
            Err(TryLockError::Error(error)) => Err(DataError::io("lock", &path)(error)),
        }
    }
}

/// Where the latents of a cache lie, in the order of the images: in one folder, or in its parts, all of them.
///
/// # Errors
/// When a part is missing, there are parts of another number, parts beside a whole cache, or a part was made of something else.
pub(super) fn stretches(cache: &Path, wanted: &CacheKey) -> Result<Vec<Stretch>, DataError> {
    let Some(of) = parts_in(cache)? else { return Ok(vec![Stretch::new(cache, wanted.images, None)]) };
    let stretches: Vec<Stretch> =
        Part::all(of)?.into_iter().map(|part| Stretch::new(cache, wanted.images, Some(part))).collect();
    let missing: Vec<&Stretch> = stretches.iter().filter(|stretch| !stretch.folder.join(MANIFEST).exists()).collect();
    if let Some(first) = missing.first() {
        let found = format!("{}; `{}` is missing{}", of - missing.len(), first.folder.display(), first.remedy());
        return Err(DataError::malformed(cache.display().to_string(), format!("all {of} parts of the cache"), found));
    }
    for stretch in &stretches {
        check_part(stretch, wanted)?;
    }
    Ok(stretches)
}

/// How many parts a cache is made in, if it is made in parts.
pub(super) fn parts_in(cache: &Path) -> Result<Option<usize>, DataError> {
    let entries = match std::fs::read_dir(cache) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(DataError::io("read", cache))?,
    };
    let mut parts: Vec<Part> = entries.flatten().filter_map(|entry| Part::named(entry.file_name().to_str()?)).collect();
    parts.sort_unstable_by_key(|part| (part.of, part.number));
    let refuse = |expected: String, found: &Path| {
        Err(DataError::malformed(cache.display().to_string(), expected, format!("`{}` as well", found.display())))
    };
    match (parts.as_slice(), cache.join(MANIFEST).exists()) {
        ([], _) => Ok(None),
        ([first, ..], true) => refuse("a whole cache or parts of one; remove either".into(), &first.folder(cache)),
        ([first, .., last], false) if first.of != last.of => {
            refuse(format!("parts of {}, or of another number, but one alone", first.of), &last.folder(cache))
        }
        ([first, ..], false) => Ok(Some(first.of)),
    }
}

fn check_part(stretch: &Stretch, wanted: &CacheKey) -> Result<(), DataError> {
    let found = read_manifest(&stretch.folder)?;
    check(&stretch.folder, &found.key, wanted)?;
    if found.part != stretch.part {
        let told = |part: Option<Part>| part.map_or("of a whole cache".to_string(), |part| format!("of part {part}"));
        let name = stretch.folder.join(MANIFEST).display().to_string();
        return Err(DataError::malformed(name, format!("the manifest {}", told(stretch.part)), told(found.part)));
    }
    Ok(())
}

/// The jobs of so many that have something left to do.
///
/// # Errors
/// When the cache is whole already or is made in another number of parts.
pub fn jobs_left(cache: &Path, images: usize, of: usize) -> Result<Vec<Part>, DataError> {
    check_number(cache, of)?;
    let parts = Part::all(of)?.into_iter();
    Ok(parts.filter(|&part| !Stretch::new(cache, images, Some(part)).is_whole()).collect())
}

/// That a cache is not whole already, and not made in another number of parts.
pub(super) fn check_number(cache: &Path, of: usize) -> Result<(), DataError> {
    if cache.join(MANIFEST).exists() {
        let expected = "a folder in which jobs make parts of a cache";
        return Err(DataError::malformed(cache.display().to_string(), expected, "a cache that one process makes"));
    }
    match parts_in(cache)? {
        Some(found) if found != of => {
            let (expected, found) = (format!("parts of {of}"), format!("parts of {found}"));
            Err(DataError::malformed(cache.display().to_string(), expected, found))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_from_one_and_hold_every_image_once() {
        let part: Part = "3/8".parse().unwrap();
        assert_eq!((part.to_string(), part.folder(Path::new("c"))), ("3/8".into(), "c/part-00003-of-00008".into()));
        assert_eq!(Part::named("part-00003-of-00008"), Some(part));
        for text in ["0/3", "4/3", "1/0", "1", "a/b", "-1/2", "1/2/3", "", "1/100000"] {
            assert!(text.parse::<Part>().unwrap_err().to_string().starts_with("`--job`: expected k/n"), "{text}");
        }
        for (images, of) in [(0, 1), (10, 3), (5, 8), (9000, 2), (100_003, 7)] {
            let ranges: Vec<Range<usize>> = Part::all(of).unwrap().iter().map(|part| part.images(images)).collect();
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!((ranges[0].start, ranges[of - 1].end), (0, images));
            assert!(ranges.iter().all(|range| range.len().abs_diff(images / of) <= 1));
        }
    }
}

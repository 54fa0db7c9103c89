//! The user's own images in shards: tars of WebDataset's form, as img2dataset writes them, Parquet as hubs hold it, and JSON lines
//! that name images.
//!
//! Opening a set keeps of each image no more than where it lies (`set.rs`). So a shard is a numbered collection like any other:
//! epochs, the held-out split, latent caches and resuming are those of a folder. What can be read in any order is, by files that
//! are opened for a row each; what is read from front to back, or is asked to be, comes up block by block, and `passage.rs` reads
//! each block once. `lookup.rs` reads what comes up out of turn, and `descriptions.rs` keeps what compressed tars say of their images.

mod descriptions;
mod lookup;
mod passage;
mod set;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use interfuse_parameters::sha256;
use interfuse_shards::containers::Members;
use interfuse_shards::layouts::CaptionedLayout;
use interfuse_shards::{EncodedImage, Example, Layout, OrderConfig, Part, Reading, ShardError};
use serde::{Deserialize, Serialize};

use self::lookup::Lookup;
use self::passage::Passage;
use self::set::{RowIndex, ShardSet};
use super::held_out::marked;
use super::{DataSet, Source, SourceSettings, Stamp, parted, validate_held_out};
use crate::error::DataError;
use crate::files::decode::encoded_size;
use crate::images::{Covering, Framing, Image, ImageShape};
use crate::order::Blocks;

/// Options of `kind = "shards"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardsConfig {
    /// Tars (`.tar`, `.tar.gz`, `.tar.zst`), JSON lines, and Parquet in a program with that feature: files, folders, globs such as
    /// `cc12m/*.tar`, and ranges such as `cc12m/{00000..01242}.tar`. Files in a tar of one image and its captions share the name up
    /// to the first dot and follow one another.
    pub shards: Vec<String>,
    /// The image: the first of these members or columns that is there; in a tar a member goes by what follows the first dot of its
    /// name, and where none of these is there, the first that is an image is taken.
    #[serde(default = "default_image")]
    pub image: Vec<String>,
    /// Members, columns or fields of a `.json` with captions, each a text or a list of texts: `txt`, `json.caption`. All that are
    /// there give captions; if the list is empty, the first of `txt`, `caption`, `text`, `captions`, `sentences` and `prompt` does.
    #[serde(default)]
    pub captions: Vec<String>,
    /// The column or field with the key of an image, by which some are held out; if absent the file and the row. Tars have keys of
    /// their own and ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The folder of images that records give by their names; for files that hold the images themselves it is not needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,
    /// In which order images come up; if absent `rows` where all files are read in any order, and `shards` where one is not, which
    /// are compressed files and Parquet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<ShardOrder>,
    /// With `order = "shards"`, how many shards, or row groups of Parquet, are open at the same time and mixed, 1 to 1024.
    #[serde(default = "default_interleave")]
    pub interleave: usize,
    /// With `order = "shards"`, how many images are shuffled together, 1 to 10,000,000; the files of so many are in memory at most.
    #[serde(default = "default_window")]
    pub window: usize,
    /// Fraction, from 0 to below 1, of the images that training does not see, chosen by their names. With 0, the held-out split
    /// is the training set itself.
    #[serde(default = "default_held_out")]
    pub held_out: f64,
}

/// In which order images of shards come up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShardOrder {
    /// Each image as likely at any place of an epoch as another, which seeks for every image.
    Rows,
    /// A few shards at a time, each from front to back, shuffled within a window.
    Shards,
}

fn default_image() -> Vec<String> {
    CaptionedLayout::default().image
}

fn default_held_out() -> f64 {
    0.05
}

fn default_interleave() -> usize {
    OrderConfig::default().interleave
}

fn default_window() -> usize {
    OrderConfig::default().window
}

impl ShardsConfig {
    /// How records are read.
    fn reading(&self) -> Reading {
        let layout = CaptionedLayout { image: self.image.clone(), captions: self.captions.clone(), uncaptioned: false };
        let (key, images) = (self.key.clone(), self.images.clone());
        Reading { layout: Layout::Captioned(layout), key, images, ..Reading::default() }
    }

    /// Whether images come up block by block, in a set that was opened.
    ///
    /// # Errors
    ///
    /// When they are to come up in any order, and a file cannot be read so.
    fn is_by_blocks(&self, set: &ShardSet) -> Result<bool, DataError> {
        let sequential = set.shards.iter().find(|shard| !shard.seeks());
        match (self.order, sequential) {
            (Some(ShardOrder::Rows), Some(shard)) => {
                let expected = "`shards`, or only files in which any row is read by itself, which are uncompressed tars and JSON lines";
                let found = format!("`rows` and {}", shard.path().display());
                Err(DataError::config("data.source.order", expected, found))
            }
            (order, sequential) => Ok(order == Some(ShardOrder::Shards) || sequential.is_some()),
        }
    }
}

impl SourceSettings for ShardsConfig {
    fn validate(&self, _: ImageShape) -> Result<(), DataError> {
        if self.shards.is_empty() {
            let expected = "at least one file, folder, glob or range";
            return Err(DataError::config("data.source.shards", expected, "none"));
        }
        let key: Vec<String> = self.key.iter().cloned().collect();
        for (name, names) in
            [("data.source.image", &self.image), ("data.source.captions", &self.captions), ("data.source.key", &key)]
        {
            if names.iter().any(|name| name.trim().is_empty()) {
                return Err(DataError::config(name, "names of members, columns or fields", "an empty name"));
            }
        }
        for (name, value, most) in
            [("data.source.interleave", self.interleave, 1024), ("data.source.window", self.window, 10_000_000)]
        {
            if !(1..=most).contains(&value) {
                return Err(DataError::config(name, format!("1 to {most}"), value));
            }
        }
        validate_held_out(self.held_out)
    }

    fn open(&self, framing: Framing) -> Result<DataSet, DataError> {
        let (set, rows, places) = ShardSet::open(&self.shards, self.reading())?;
        let by_blocks = self.is_by_blocks(&set)?;
        let (train, held_out) = parted(rows, &marked(&places, self.held_out));
        let (set, held_out_is_train) = (Arc::new(set), held_out.is_none());
        let of = |rows: Vec<RowIndex>| {
            let blocks = by_blocks.then(|| Blocks {
                lengths: set.block_lengths(&rows),
                interleave: self.interleave,
                window: self.window,
            });
            ShardSource::new(Arc::clone(&set), rows, blocks, (framing.clone(), held_out_is_train))
        };
        Ok(DataSet::kept(of(train), held_out.map(of)))
    }
}

/// Captioned images of one split.
struct ShardSource {
    set: Arc<ShardSet>,
    rows: Vec<RowIndex>,
    blocks: Option<Blocks>,
    /// What comes up: its descriptions, and its images.
    passages: [Passage; 2],
    lookup: Lookup,
    framing: Framing,
    held_out_is_train: bool,
}

impl ShardSource {
    fn new(
        set: Arc<ShardSet>,
        rows: Vec<RowIndex>,
        blocks: Option<Blocks>,
        (framing, held_out_is_train): (Framing, bool),
    ) -> Self {
        let passages = [Members::WithoutImages, Members::All].map(Passage::new);
        Self { set, rows, blocks, passages, lookup: Lookup::default(), framing, held_out_is_train }
    }

    /// What is wanted of an image: from what comes up, or by itself.
    fn example(&self, index: usize, members: Members) -> Result<Arc<Example>, ShardError> {
        let place = self.rows[index];
        let [descriptions, images] = &self.passages;
        let passage = if members == Members::All { images } else { descriptions };
        if let Some(example) = passage.read(&self.set, place) {
            return example;
        }
        match self.set.shards[place.shard as usize].seeks() {
            true => self.set.example_alone(place, members).map(Arc::new),
            false => self.lookup.read(&self.set, place, members),
        }
    }

    /// Key, captions and class of an image, which is not read for it.
    fn description(&self, index: usize) -> Result<Arc<Example>, DataError> {
        match self.set.described(self.rows[index]) {
            Some(described) => described.map(Arc::new),
            None => Ok(self.example(index, Members::WithoutImages)?),
        }
    }

    /// What is done with the file of an image, which is called in messages by the shard and its key.
    fn with_file<T>(
        &self,
        index: usize,
        work: impl FnOnce(&EncodedImage, &str) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        let example = self.example(index, Members::All)?;
        let shard = &self.set.shards[self.rows[index].shard as usize];
        let name = format!("{}, key {}", shard.path().display(), example.key);
        let image = example.parts.iter().find_map(|part| match part {
            Part::Image(image) => Some(image),
            Part::Text(_) => None,
        });
        work(image.ok_or_else(|| DataError::malformed(&name, "an image with bytes", "none"))?, &name)
    }

    /// The image at its own size.
    fn decoded(&self, index: usize) -> Result<Image, DataError> {
        self.with_file(index, |file, name| Image::decode(&file.bytes, name, self.framing.shape.channels))
    }
}

impl Source for ShardSource {
    fn len(&self) -> usize {
        self.rows.len()
    }

    /// The key, or where the shard cannot be read any more the shard and the row.
    fn name(&self, index: usize) -> String {
        let RowIndex { shard, row } = self.rows[index];
        match self.description(index) {
            Ok(example) => example.key.clone(),
            Err(_) => format!("{}#{row}", self.set.shards[shard as usize].path().display()),
        }
    }

    fn captions(&self, index: usize) -> Result<Vec<String>, DataError> {
        Ok(self.description(index)?.captions.clone())
    }

    fn image(&self, index: usize) -> Result<Image, DataError> {
        self.decoded(index)?.framed(&self.framing).map_err(|error| error.of_image(&self.name(index)))
    }

    fn covering(&self, index: usize) -> Result<Covering, DataError> {
        let covering = Covering::of(&self.decoded(index)?, &self.framing);
        covering.map_err(|error| error.of_image(&self.name(index)))
    }

    fn shape(&self) -> ImageShape {
        self.framing.shape
    }

    fn framing(&self) -> Framing {
        self.framing.clone()
    }

    fn native_size(&self, index: usize) -> Result<[usize; 2], DataError> {
        self.with_file(index, |file, name| encoded_size(&file.bytes).map_err(DataError::image(name)))
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.description(index).ok()?.label.and_then(|label| label.try_into().ok())
    }

    /// Of the row in its shard, or where that is not known of the shard, and of the shard's last change. Images that may lie in
    /// files of their own can change without the shard, so that nothing but their contents tells.
    fn stamp(&self, index: usize) -> Result<Option<Stamp>, DataError> {
        let RowIndex { shard, row } = self.rows[index];
        let shard = &self.set.shards[shard as usize];
        let metadata = fs::metadata(shard.path()).map_err(DataError::io("read", shard.path()))?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = modified.and_then(|time| u64::try_from(time.as_nanos()).ok());
        let modified = modified.filter(|_| !self.set.names_images());
        Ok(Some(Stamp { bytes: shard.bytes(u64::from(row)).unwrap_or(metadata.len()), modified }))
    }

    fn sha256(&self, index: usize) -> Result<Option<String>, DataError> {
        self.with_file(index, |file, _| Ok(Some(sha256::of_bytes(&file.bytes))))
    }

    fn held_out_is_train(&self) -> bool {
        self.held_out_is_train
    }

    fn blocks(&self) -> Option<Blocks> {
        self.blocks.clone()
    }

    fn expect(&self, now: &[usize], next: &[usize]) {
        let places = |images: &[usize]| images.iter().map(|&index| self.rows[index]).collect();
        for passage in &self.passages {
            passage.expect(&self.set, places(now), places(next));
        }
    }

    fn skipped(&self) -> &[String] {
        &self.set.skipped
    }
}

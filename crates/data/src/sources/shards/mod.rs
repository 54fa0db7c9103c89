//! The user's own images in shards: uncompressed tars of WebDataset's form, as img2dataset writes them.
//!
//! Opening a set reads headers and captions once and keeps of each image no more than where it lies (`set.rs`). So a shard is a
//! numbered collection like any other: epochs, the held-out split, latent caches and resuming are those of a folder. Captions and
//! images are read when they are asked for, from a file that is opened for it, so that any number of shards may be read by any
//! number of threads.

mod set;

use std::fs;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use interfuse_parameters::sha256;
use interfuse_shards::containers::Members;
use interfuse_shards::layouts::CaptionedLayout;
use interfuse_shards::{EncodedImage, Example, Layout, Part, Reading};
use serde::{Deserialize, Serialize};

use self::set::{RowIndex, ShardSet};
use super::held_out::marked;
use super::{DataSet, Source, SourceSettings, Stamp, parted, validate_held_out};
use crate::error::DataError;
use crate::files::decode::encoded_size;
use crate::images::{Covering, Fit, Framing, Image, ImageShape};

/// Options of `kind = "shards"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardsConfig {
    /// Uncompressed tars: files, folders, globs such as `cc12m/*.tar`, and ranges such as `cc12m/{00000..01242}.tar`. Files of
    /// one image and its captions share the name up to the first dot and follow one another.
    pub shards: Vec<String>,
    /// The image: the first of these members that is there, by what follows the first dot of its name; where none is, the first
    /// that is an image.
    #[serde(default = "default_image")]
    pub image: Vec<String>,
    /// Members or fields of a `.json` with captions, each a text or a list of texts: `txt`, `json.caption`. All that are there
    /// give captions; if the list is empty, the first of `txt`, `caption`, `text`, `captions`, `sentences` and `prompt` does.
    #[serde(default)]
    pub captions: Vec<String>,
    /// Fraction, from 0 to below 1, of the images that training does not see, chosen by their names. With 0, the held-out split
    /// is the training set itself.
    #[serde(default = "default_held_out")]
    pub held_out: f64,
}

fn default_image() -> Vec<String> {
    CaptionedLayout::default().image
}

fn default_held_out() -> f64 {
    0.05
}

impl ShardsConfig {
    /// How records are read.
    fn reading(&self) -> Reading {
        let layout = CaptionedLayout { image: self.image.clone(), captions: self.captions.clone(), uncaptioned: false };
        Reading { layout: Layout::Captioned(layout), ..Reading::default() }
    }
}

impl SourceSettings for ShardsConfig {
    fn validate(&self, _: ImageShape) -> Result<(), DataError> {
        if self.shards.is_empty() {
            let expected = "at least one tar, folder, glob or range";
            return Err(DataError::config("data.source.shards", expected, "none"));
        }
        for (key, names) in [("data.source.image", &self.image), ("data.source.captions", &self.captions)] {
            if names.iter().any(|name| name.trim().is_empty()) {
                return Err(DataError::config(key, "names of members or fields", "an empty name"));
            }
        }
        validate_held_out(self.held_out)
    }

    fn open(&self, framing: Framing) -> Result<DataSet, DataError> {
        let (set, rows, places) = ShardSet::open(&self.shards, self.reading())?;
        let (train, held_out) = parted(rows, &marked(&places, self.held_out));
        let (set, held_out_is_train) = (Arc::new(set), held_out.is_none());
        let of = |rows| ShardSource { set: Arc::clone(&set), rows, framing: framing.clone(), held_out_is_train };
        Ok(DataSet::kept(of(train), held_out.map(of)))
    }
}

/// Captioned images of one split.
struct ShardSource {
    set: Arc<ShardSet>,
    rows: Vec<RowIndex>,
    framing: Framing,
    held_out_is_train: bool,
}

impl ShardSource {
    /// Key, captions and class of an image, which is not read for it.
    fn description(&self, index: usize) -> Result<Example, DataError> {
        let RowIndex { shard, row } = self.rows[index];
        let record = self.set.tars[shard as usize].read(u64::from(row), Members::WithoutImages)?;
        Ok(self.set.reading.description(record)?)
    }

    /// The file of an image, and what it is called in messages.
    fn file(&self, index: usize) -> Result<(EncodedImage, String), DataError> {
        let RowIndex { shard, row } = self.rows[index];
        let record = self.set.tars[shard as usize].read(u64::from(row), Members::All)?;
        let name = record.origin.clone();
        let image = self.set.reading.example(record)?.parts.into_iter().find_map(|part| match part {
            Part::Image(image) => Some(image),
            Part::Text(_) => None,
        });
        let image = image.ok_or_else(|| DataError::malformed(&name, "an image with bytes", "none"))?;
        Ok((image, name))
    }
}

impl ShardSource {
    /// The image at its own size.
    fn decoded(&self, index: usize) -> Result<Image, DataError> {
        let (file, name) = self.file(index)?;
        Image::decode(&file.bytes, &name, self.framing.shape.channels)
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
            Ok(example) => example.key,
            Err(_) => format!("{}#{row}", self.set.tars[shard as usize].path().display()),
        }
    }

    fn captions(&self, index: usize) -> Result<Vec<String>, DataError> {
        Ok(self.description(index)?.captions)
    }

    fn image(&self, index: usize) -> Result<Image, DataError> {
        self.decoded(index)?.framed(&self.framing)
    }

    fn covering(&self, index: usize) -> Result<Covering, DataError> {
        Covering::of(&self.decoded(index)?, &self.framing)
    }

    fn shape(&self) -> ImageShape {
        self.framing.shape
    }

    fn sizes(&self) -> &[[usize; 2]] {
        &self.framing.sizes
    }

    fn fit(&self) -> Fit {
        self.framing.fit
    }

    fn native_size(&self, index: usize) -> Result<[usize; 2], DataError> {
        let (file, name) = self.file(index)?;
        encoded_size(&file.bytes).map_err(DataError::image(name))
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.description(index).ok()?.label.and_then(|label| label.try_into().ok())
    }

    /// Of the row in its shard, and of the shard's last change.
    fn stamp(&self, index: usize) -> Result<Option<Stamp>, DataError> {
        let RowIndex { shard, row } = self.rows[index];
        let tar = &self.set.tars[shard as usize];
        let metadata = fs::metadata(tar.path()).map_err(DataError::io("read", tar.path()))?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = modified.and_then(|time| u64::try_from(time.as_nanos()).ok());
        Ok(Some(Stamp { bytes: tar.bytes(u64::from(row)), modified }))
    }

    fn sha256(&self, index: usize) -> Result<Option<String>, DataError> {
        Ok(Some(sha256::of_bytes(&self.file(index)?.0.bytes)))
    }

    fn held_out_is_train(&self) -> bool {
        self.held_out_is_train
    }

    fn skipped(&self) -> &[String] {
        &self.set.skipped
    }
}

//! What a run's training data was, so that a resume notices when it has changed.

use std::path::Path;

use interfuse_data::{Image, Source, evenly};
use interfuse_parameters::durable::write_file;
use interfuse_parameters::sha256::hexadecimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Context as _, Result};

/// Images whose pixels are looked at, spread evenly: reading all would take as long as training does.
const LOOKED_AT: usize = 32;

/// What two data sets are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFingerprint {
    /// How many images.
    pub images: usize,
    /// SHA-256 of the names and captions of all images, in their order.
    pub captions_sha256: String,
    /// SHA-256 of the sizes and pixels of some images.
    pub pixels_sha256: String,
}

impl DataFingerprint {
    /// Of the images of a source.
    pub fn of(source: &dyn Source) -> Self {
        let (mut captions, mut pixels) = (Sha256::new(), Sha256::new());
        for index in 0..source.len() {
            captions.update(source.name(index));
            for caption in source.captions(index).unwrap_or_default() {
                captions.update([0]);
                captions.update(caption);
            }
            captions.update([1]);
        }
        for index in evenly(LOOKED_AT, source.len()) {
            pixels.update(format!("{:?}", source.native_size(index).ok()));
            if let Ok(image) = source.image(index) {
                pixels.update(bytes(&image));
            }
        }
        Self { images: source.len(), captions_sha256: hexadecimal(captions), pixels_sha256: hexadecimal(pixels) }
    }

    /// Reads what [`Self::save`] wrote; none where there is nothing that can be read.
    pub fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Writes the fingerprint as JSON.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).context("cannot express a fingerprint as JSON")?;
        Ok(write_file(path, &text)?)
    }

    /// In what this data differs from what it was before, in sentences.
    pub fn changes_since(&self, before: &Self) -> Vec<String> {
        let mut changes = vec![];
        if self.images != before.images {
            changes.push(format!("the number of training images: {} → {}", before.images, self.images));
        }
        if self.captions_sha256 != before.captions_sha256 {
            changes.push("captions or names of training images are others".to_owned());
        }
        if self.pixels_sha256 != before.pixels_sha256 {
            changes.push("the training images are others".to_owned());
        }
        changes
    }
}

fn bytes(image: &Image) -> Vec<u8> {
    image.pixels().iter().copied().collect()
}

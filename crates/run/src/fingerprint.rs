//! What a run's training data was, so that a resume notices when it has changed.

use std::path::Path;

use interfuse_data::conversations::Turn;
use interfuse_data::{Collections, Image, Source, evenly};
use interfuse_parameters::durable::write_file;
use interfuse_parameters::sha256::{self, hexadecimal};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Context as _, Result};

/// Images whose pixels are looked at, spread evenly: reading all would take as long as training does.
const LOOKED_AT: usize = 32;
/// Conversations of each collection that are looked at, spread evenly.
const CONVERSATIONS_LOOKED_AT: usize = 2000;

/// What two data sets are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFingerprint {
    /// How many images.
    pub images: usize,
    /// SHA-256 of the names and captions of all images, in their order.
    pub captions_sha256: String,
    /// SHA-256 of the sizes and pixels of some images.
    pub pixels_sha256: String,
    /// SHA-256 of the blocks that images lie in, where an epoch goes through them one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_sha256: Option<String>,
    /// How many utterances, and SHA-256 of their names, transcripts and units; absent where there is no speech.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speech: Option<(usize, String)>,
    /// SHA-256 of each collection of texts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<String>,
    /// How many conversations, and SHA-256 of what is said in them; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversations: Option<(usize, String)>,
}

impl DataFingerprint {
    /// Of everything that is trained on.
    pub fn of(data: &Collections) -> Self {
        let speech = data.speech().next().is_some().then(|| of_speech(data));
        let texts = data.text_sets().map(|(_, set)| set.sha256.clone()).collect();
        let conversations = data.conversations().next().is_some().then(|| of_conversations(data));
        let images = match &data.images {
            Some(images) => Self::of_images(images.train.as_ref()),
            None => Self::of_nothing(),
        };
        Self { speech, texts, conversations, ..images }
    }

    fn of_nothing() -> Self {
        let none = || hexadecimal(Sha256::new());
        let (captions_sha256, pixels_sha256) = (none(), none());
        let order_sha256 = None;
        Self {
            images: 0,
            captions_sha256,
            pixels_sha256,
            order_sha256,
            speech: None,
            texts: vec![],
            conversations: None,
        }
    }

    /// Of images alone.
    pub fn of_images(source: &dyn Source) -> Self {
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
        let (captions_sha256, pixels_sha256) = (hexadecimal(captions), hexadecimal(pixels));
        let order_sha256 = source.blocks().map(|blocks| sha256::of_bytes(format!("{blocks:?}").as_bytes()));
        Self { images: source.len(), captions_sha256, pixels_sha256, order_sha256, ..Self::of_nothing() }
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
        if self.order_sha256 != before.order_sha256 {
            let changed = "the order of training images (data.source.order, interleave, window, or how many each block has): the \
                           rest of the epoch may have some images again and others not";
            changes.push(changed.to_owned());
        }
        if self.texts != before.texts {
            changes.push("the training texts are others".to_owned());
        }
        if self.conversations != before.conversations {
            changes.push("the training conversations are others".to_owned());
        }
        if self.speech != before.speech {
            changes.push("the training speech is another: clips, transcripts or units".to_owned());
        }
        changes
    }
}

/// How many utterances, and a hash of all of them.
fn of_speech(data: &Collections) -> (usize, String) {
    let (mut count, mut hash) = (0, Sha256::new());
    for utterance in data.speech().flat_map(|(_, set)| set.train.iter()) {
        count += 1;
        hash.update(&utterance.name);
        hash.update([0]);
        hash.update(utterance.text.as_deref().unwrap_or_default());
        hash.update([1]);
        utterance.units.iter().for_each(|unit| hash.update(unit.to_le_bytes()));
    }
    (count, hexadecimal(hash))
}

/// How many conversations, and a hash of what is said in some of each collection.
fn of_conversations(data: &Collections) -> (usize, String) {
    let (mut count, mut hash) = (0, Sha256::new());
    for (_, set) in data.conversations() {
        count += set.train.len();
        for index in evenly(CONVERSATIONS_LOOKED_AT, set.train.len()) {
            hash.update(set.train.name(index));
            let Ok(turns) = set.train.outline(index) else { continue };
            for text in turns.iter().flat_map(Turn::texts) {
                hash.update([0]);
                hash.update(text);
            }
        }
    }
    (count, hexadecimal(hash))
}

fn bytes(image: &Image) -> Vec<u8> {
    image.pixels().iter().copied().collect()
}

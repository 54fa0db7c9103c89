//! From a captioned image to a document: which caption, which order, mirrored or not.
//!
//! ```text
//! caption first:  BOS caption BOI [image] EOI EOS
//! image first:    BOS BOI [image] EOI caption EOS
//! no caption:     BOS BOI [image]
//! ```
//!
//! A document that lost its caption ends with its image. It begins as one with the image first does, so if it went on with an
//! end, the model would learn that captions are often empty.
//!
//! A run draws from one endless stream of documents, numbered from 0; every document is a function of the seed and its
//! number alone. The number is the sample's id, and so the key of its noise.

use std::sync::Arc;

use interfuse_sequence::{LatentImage, Sample, Segment};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::latents::ImageLatents;
use crate::order::{EpochOrder, Stream, chance, generator};
use crate::source::Source;
use crate::special_tokens::SpecialTokens;
use crate::tokenizer::Tokenizer;

/// How documents are made of captioned images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DocumentConfig {
    /// Fraction of documents whose image comes before its caption (Transfusion, section 4.1: 0.2).
    pub image_first: f64,
    /// Fraction of caption-first documents that lose their caption, for classifier-free guidance.
    pub caption_dropout: f64,
}

impl Default for DocumentConfig {
    fn default() -> Self {
        Self { image_first: 0.2, caption_dropout: 0.1 }
    }
}

impl DocumentConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<(), DataError> {
        for (key, fraction) in
            [("documents.image_first", self.image_first), ("documents.caption_dropout", self.caption_dropout)]
        {
            if !(0.0..=1.0).contains(&fraction) {
                return Err(DataError::config(key, "a fraction from 0 to 1", fraction));
            }
        }
        Ok(())
    }
}

/// Lanes of the model that a document's parts go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentLanes {
    /// The lane of captions.
    pub text: usize,
    /// The lane of images.
    pub image: usize,
}

/// An endless, reproducible stream of documents.
pub struct Documents {
    source: Box<dyn Source>,
    tokenizer: Tokenizer,
    latents: ImageLatents,
    lanes: DocumentLanes,
    config: DocumentConfig,
    horizontal_flip: f64,
    seed: u64,
    order: EpochOrder,
}

/// What makes documents of a source.
pub struct DocumentParts {
    /// The images and captions.
    pub source: Box<dyn Source>,
    /// Captions to ids.
    pub tokenizer: Tokenizer,
    /// The latents of its images.
    pub latents: ImageLatents,
}

impl Documents {
    /// A stream over a source.
    pub fn new(
        parts: DocumentParts,
        lanes: DocumentLanes,
        config: DocumentConfig,
        horizontal_flip: f64,
        seed: u64,
    ) -> Self {
        let DocumentParts { source, tokenizer, latents } = parts;
        let order = EpochOrder::new(source.len(), seed);
        Self { source, tokenizer, latents, lanes, config, horizontal_flip, seed, order }
    }

    /// The images and captions.
    pub fn source(&self) -> &dyn Source {
        self.source.as_ref()
    }

    /// Captions to ids.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The document of a number. Every epoch has each image once, in an order of its own.
    ///
    /// # Errors
    /// When its image or its caption is bad: skip it and count it.
    pub fn document(&mut self, number: u64) -> Result<Sample, DataError> {
        let index = self.index_of(number);
        let mut rng = generator(self.seed, number, Stream::Document);
        let captions = self.source.captions(index);
        let caption = &captions[below(captions.len(), &mut rng)];
        let image_first = chance(self.config.image_first, &mut rng);
        let captioned = image_first || !chance(self.config.caption_dropout, &mut rng);
        let mirrored = chance(self.horizontal_flip, &mut rng);

        let ids = if captioned { self.tokenizer.encode(caption)? } else { vec![] };
        let latents = self.latents.of(self.source.as_ref(), index, mirrored)?;
        let x_0 = Arc::new(latents.sample(&mut generator(self.seed, number, Stream::Latents)));
        let image = LatentImage { x_0, precedes_caption: image_first };
        let mut segments = self.segments(ids, image);
        if !captioned {
            segments.pop();
        }
        Ok(Sample { id: number, segments })
    }

    /// The image of a document.
    pub fn index_of(&mut self, number: u64) -> usize {
        self.order.index_of(number)
    }

    /// The caption-first document of an image, without any random choice: what held-out losses are measured on. Latents are
    /// the posterior's means.
    ///
    /// # Errors
    /// When its image or its caption is bad.
    pub fn plain_document(&self, index: usize) -> Result<Sample, DataError> {
        let ids = self.tokenizer.encode(&self.source.captions(index)[0])?;
        let x_0 = Arc::new(self.latents.of(self.source.as_ref(), index, false)?.mean);
        let image = LatentImage { x_0, precedes_caption: false };
        Ok(Sample { id: index as u64, segments: self.segments(ids, image) })
    }

    /// The most tokens that a document may need, markers included.
    ///
    /// # Errors
    /// When a caption cannot be encoded.
    pub fn longest(&self) -> Result<usize, DataError> {
        let mut longest = 0;
        for index in 0..self.source.len() {
            for caption in self.source.captions(index) {
                longest = longest.max(self.tokenizer.encode(caption)?.len());
            }
        }
        Ok(longest + MARKERS)
    }

    fn segments(&self, caption: Vec<u32>, image: LatentImage) -> Vec<Segment> {
        let SpecialTokens { bos, eos, boi, eoi, .. } = self.tokenizer.special();
        let text = |ids: Vec<u32>| Segment::Tokens { modality: self.lanes.text, ids };
        let (before, after) = match image.precedes_caption {
            true => (vec![bos, boi], [vec![eoi], caption, vec![eos]].concat()),
            false => ([vec![bos], caption, vec![boi]].concat(), vec![eoi, eos]),
        };
        vec![text(before), Segment::Image { modality: self.lanes.image, image }, text(after)]
    }
}

/// BOS, BOI, EOI and EOS.
pub const MARKERS: usize = 4;

fn below(count: usize, rng: &mut ChaCha8Rng) -> usize {
    // The bias of the remainder is below 2^-50 for any number of captions.
    (rng.next_u64() % count.max(1) as u64) as usize
}

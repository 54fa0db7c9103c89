//! From a captioned image to a document: which caption, which order, mirrored or not.
//!
//! ```text
//! caption first:  BOS caption BOI [image] EOI EOS
//! image first:    BOS BOI [image] EOI caption EOS
//! no caption:     BOS BOI [image]
//! ```
//!
//! An image is latents to be denoised, or codes that are learned one by one as words are.
//!
//! A document that lost its caption ends with its image. It begins as one with the image first does, so if it went on with an
//! end, the model would learn that captions are often empty.
//!
//! A run draws from one endless stream of documents, numbered from 0; every document is a function of the seed and its
//! number alone. The number is the sample's id, and so the key of its noise.

use std::sync::{Arc, OnceLock};

use interfuse_sequence::{Sample, SequenceFormat};
use serde::{Deserialize, Serialize};

use crate::assembly::{Assembly, Element, Ending, ImageLane};
use crate::error::DataError;
use crate::latents::ImageLatents;
use crate::order::{EpochOrder, Stream, below, chance, generator};
use crate::sources::{Source, View};
use crate::text::Tokenizer;

/// How documents are made of captioned images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DocumentConfig {
    /// Fraction, from 0 to 1, of documents whose image comes before its caption (Transfusion, section 4.1: 0.2).
    pub image_first: f64,
    /// Fraction, from 0 to 1, of caption-first documents that lose their caption, for classifier-free guidance.
    pub caption_dropout: f64,
    /// The next-token modality that carries captions; if absent the only one with a vocabulary of its own, and needed where
    /// there are several.
    pub captions: Option<String>,
    /// The modality that carries images; if absent the denoise modality, or where the codec has codes the one that shares the
    /// captions' vocabulary.
    pub images: Option<String>,
    /// The next-token modality that carries units of speech and shares the captions' vocabulary; if absent the only one that
    /// does and carries nothing else.
    pub speech: Option<String>,
    /// Captions are cut after so many tokens, at least 1: one long caption would otherwise size every sequence.
    pub max_caption_tokens: usize,
    /// Whether what follows an image that is denoised sees a clean copy of it, and not its noise (BAGEL, 2505.14683). Every such
    /// image then has its rows twice: noised, which has the loss, and clean. An image that ends its document has no copy. Not for
    /// images that are codes.
    pub clean_copies: bool,
}

impl Default for DocumentConfig {
    fn default() -> Self {
        Self {
            image_first: 0.2,
            caption_dropout: 0.1,
            captions: None,
            images: None,
            speech: None,
            max_caption_tokens: 256,
            clean_copies: false,
        }
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
        match self.max_caption_tokens {
            0 => Err(DataError::config("documents.max_caption_tokens", "at least 1", 0)),
            _ => Ok(()),
        }
    }
}

/// Lanes of the model that a document's parts go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentLanes {
    /// The lane of captions.
    pub captions: usize,
    /// The lane of images.
    pub images: usize,
}

/// An endless stream of documents, numbered from 0, each a function of its number: what a loader packs.
pub trait DocumentStream: Send {
    /// The document of a number.
    ///
    /// # Errors
    /// When what it is made of is bad: skip it and count it.
    fn document(&mut self, number: u64) -> Result<Sample, DataError>;

    /// After how many documents everything has come up once.
    fn epoch(&self) -> usize;

    /// What the document of a number is made of, by which a bad one is named only once.
    fn index_of(&mut self, number: u64) -> usize;

    /// The rows that documents need in each lane, of as many documents as are to be reckoned with; the longest is among them.
    fn rows(&self, format: &SequenceFormat) -> Vec<Vec<usize>>;

    /// How many of its texts are cut because they are too long, and how many there are.
    fn cut(&self) -> (usize, usize) {
        (0, 0)
    }

    /// How often all of each collection has come up before the document of a number, in the order of the collections; 1.25 is
    /// once, and a quarter of it again.
    fn epochs(&self, next: u64) -> Vec<f64> {
        vec![next as f64 / self.epoch().max(1) as f64]
    }

    /// Whether what the document of a number is made of came up before, in an earlier epoch of its collection.
    fn is_repeated(&self, number: u64) -> bool {
        number >= self.epoch() as u64
    }
}

/// An endless, reproducible stream of documents.
pub struct Documents {
    source: Arc<dyn Source>,
    tokenizer: Tokenizer,
    latents: ImageLatents,
    first_code: Option<u32>,
    lanes: DocumentLanes,
    config: DocumentConfig,
    horizontal_flip: f64,
    seed: u64,
    order: EpochOrder,
    /// Of all captions, once someone has asked.
    text_rows: OnceLock<TextRows>,
}

/// What makes documents of a source.
pub struct DocumentParts {
    /// The images and captions.
    pub source: Arc<dyn Source>,
    /// Captions to ids.
    pub tokenizer: Tokenizer,
    /// The latents of its images.
    pub latents: ImageLatents,
    /// Where latents are ids of codes, the id that code 0 has in the vocabulary.
    pub first_code: Option<u32>,
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
        let DocumentParts { source, tokenizer, latents, first_code } = parts;
        let order = EpochOrder::of(&source, seed);
        let text_rows = OnceLock::new();
        Self { source, tokenizer, latents, first_code, lanes, config, horizontal_flip, seed, order, text_rows }
    }

    /// The images and captions.
    pub fn source(&self) -> &dyn Source {
        self.source.as_ref()
    }

    /// Where captions and images go.
    pub fn lanes(&self) -> DocumentLanes {
        self.lanes
    }

    /// Captions to ids.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The document of an image in one order, without any random choice: what held-out losses are measured on. Latents are
    /// the posterior's means, and the caption is the first.
    ///
    /// # Errors
    /// When its image or its caption is bad.
    pub fn plain_document(&self, index: usize, image_first: bool) -> Result<Sample, DataError> {
        let caption = Element::Text(self.ids(index, &self.source.caption(index)?)?);
        let image = Element::Image(self.latents.of(self.source.as_ref(), index, View::default())?.mean);
        let elements = if image_first { vec![image, caption] } else { vec![caption, image] };
        Ok(Sample { id: index as u64, segments: self.assembly().segments(elements, Ending::Closed) })
    }

    /// Whether any document has a caption.
    pub fn are_captioned(&self) -> bool {
        self.config.image_first > 0.0 || self.config.caption_dropout < 1.0
    }

    /// The rows of text that a document needs, markers included, of every caption that can be encoded.
    pub fn text_rows(&self) -> &TextRows {
        self.text_rows.get_or_init(|| self.measure_texts())
    }

    fn measure_texts(&self) -> TextRows {
        let mut rows = TextRows::default();
        for index in 0..self.source.len() {
            for caption in self.source.captions(index).unwrap_or_default() {
                let Ok(ids) = self.tokenizer.encode(&caption) else { continue };
                let kept = ids.len().min(self.config.max_caption_tokens);
                rows.cut += usize::from(kept < ids.len());
                rows.lengths.push(kept + MARKERS);
            }
        }
        rows
    }

    /// The ids of a caption of an image, cut where it is too long.
    fn ids(&self, index: usize, caption: &str) -> Result<Vec<u32>, DataError> {
        let mut ids =
            self.tokenizer.encode(caption).map_err(|error| DataError::caption(self.source.name(index), error))?;
        ids.truncate(self.config.max_caption_tokens);
        Ok(ids)
    }

    fn assembly(&self) -> Assembly {
        Assembly {
            special: self.tokenizer.special(),
            text: self.lanes.captions,
            images: Some(self.image_lane()),
            speech: None,
        }
    }

    fn image_lane(&self) -> ImageLane {
        let clean_copies = self.config.clean_copies;
        ImageLane { lane: self.lanes.images, first_code: self.first_code, clean_copies }
    }

    /// How often the rows of its image are in the longest document.
    pub fn most_copies(&self) -> usize {
        self.image_lane().copies(false, true)
    }
}

impl DocumentStream for Documents {
    fn document(&mut self, number: u64) -> Result<Sample, DataError> {
        let index = self.index_of(number);
        let mut rng = generator(self.seed, number, Stream::Document);
        let captions = self.source.captions(index)?;
        let caption = &captions[below(captions.len(), &mut rng)];
        let image_first = chance(self.config.image_first, &mut rng);
        let captioned = image_first || !chance(self.config.caption_dropout, &mut rng);
        let view = View::drawn(self.source.as_ref(), self.horizontal_flip, &mut rng);

        let latents = self.latents.of(self.source.as_ref(), index, view)?;
        let image = Element::Image(latents.sample(&mut generator(self.seed, number, Stream::Latents)));
        let elements = match captioned {
            true if image_first => vec![image, Element::Text(self.ids(index, caption)?)],
            true => vec![Element::Text(self.ids(index, caption)?), image],
            false => vec![image],
        };
        let ending = if captioned { Ending::Closed } else { Ending::Open };
        Ok(Sample { id: number, segments: self.assembly().segments(elements, ending) })
    }

    fn epoch(&self) -> usize {
        self.source.len()
    }

    /// Every epoch has each image once, in an order of its own.
    fn index_of(&mut self, number: u64) -> usize {
        self.order.index_of(number)
    }

    fn rows(&self, format: &SequenceFormat) -> Vec<Vec<usize>> {
        let of = |text: usize, copies: usize| {
            let mut rows = vec![0; format.modalities.len()];
            rows[self.lanes.captions] = text;
            rows[self.lanes.images] = copies * format.rows_per_image();
            rows
        };
        if !self.are_captioned() {
            return vec![of(OPENING, 1)];
        }
        // Of as many captions as there are image-first documents, evenly spread, the image may have a copy.
        let image_first = |index: usize| {
            let before = |index: usize| (index as f64 * self.config.image_first).ceil();
            before(index + 1) > before(index)
        };
        let copies = |index| self.image_lane().copies(false, image_first(index));
        let lengths = self.text_rows().lengths.iter().enumerate();
        let rows: Vec<_> = lengths.map(|(index, &text)| of(text, copies(index))).collect();
        if rows.is_empty() { vec![of(MARKERS, copies(0))] } else { rows }
    }

    fn cut(&self) -> (usize, usize) {
        let TextRows { lengths, cut } = self.text_rows();
        (*cut, lengths.len())
    }
}

/// Rows of text that documents need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextRows {
    /// Of every caption, markers included, cut where it is too long.
    pub lengths: Vec<usize>,
    /// How many captions are longer than `documents.max_caption_tokens`.
    pub cut: usize,
}

impl TextRows {
    /// The most that a document needs.
    pub fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(MARKERS)
    }
}

/// BOS and BOI.
const OPENING: usize = 2;
/// BOS, BOI, EOI and EOS.
pub const MARKERS: usize = 4;

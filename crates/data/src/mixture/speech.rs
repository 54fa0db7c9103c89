//! Documents of speech: what is said and how it sounds, in either order or sound alone, with an image where there is one.
//!
//! ```text
//! to speak:      BOS text BEGIN [units] END EOS
//! to transcribe: BOS BEGIN [units] END text EOS
//! to go on:      BOS BEGIN [units] END
//! ```
//!
//! Speech alone begins as speech with a transcript does, so nothing is said of what follows it, as after an image without its
//! caption.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use interfuse_sequence::{Sample, SequenceFormat};
use interfuse_vae::Codec;
use ndarray::Array3;

use super::config::SpeechConfig;
use super::utterances::Utterance;
use crate::assembly::{Assembly, Element, Ending, ImageLane, UnitIds};
use crate::documents::DocumentStream;
use crate::error::DataError;
use crate::images::{Framing, Image};
use crate::order::{EpochOrder, Stream, chance, generator};
use crate::text::Tokenizer;

/// An endless, reproducible stream of documents of speech.
pub struct SpeechDocuments {
    utterances: Arc<[Utterance]>,
    tokenizer: Tokenizer,
    assembly: Assembly,
    config: SpeechConfig,
    images: Option<ClipImages>,
    max_text_tokens: usize,
    seed: u64,
    order: EpochOrder,
}

/// The images that belong to clips, encoded when they are first asked for.
pub struct ClipImages {
    lane: ImageLane,
    codec: Arc<dyn Codec>,
    framing: Framing,
    kept: Vec<OnceLock<Array3<f32>>>,
}

impl ClipImages {
    /// Of images that are framed alike, for a lane.
    pub fn new(codec: Arc<dyn Codec>, framing: Framing, lane: ImageLane) -> Self {
        Self { lane, codec, framing, kept: vec![] }
    }

    fn of(&self, index: usize, path: &Path) -> Result<Array3<f32>, DataError> {
        if let Some(latents) = self.kept.get(index).and_then(OnceLock::get) {
            return Ok(latents.clone());
        }
        let image = Image::open(path, self.framing.shape.channels)?;
        let image = image.framed(&self.framing).map_err(|error| error.of_image(&path.display().to_string()))?;
        let latents = self.codec.encode(image.to_unit_range()).map_err(|error| {
            DataError::malformed(path.display().to_string(), "an image that the codec takes", error.to_string())
        })?;
        if let Some(slot) = self.kept.get(index) {
            let _ = slot.set(latents.mean.clone());
        }
        Ok(latents.mean)
    }
}

/// Where the parts of a document of speech go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpeechLanes {
    /// The lane of transcripts and markers.
    pub text: usize,
    /// The lane of units.
    pub units: usize,
    /// The ids of units.
    pub ids: UnitIds,
}

impl SpeechDocuments {
    /// A stream over utterances, at least one. `max_text_tokens` is where transcripts are cut.
    pub fn new(
        utterances: Arc<[Utterance]>,
        tokenizer: Tokenizer,
        lanes: SpeechLanes,
        (config, max_text_tokens): (SpeechConfig, usize),
        seed: u64,
    ) -> Self {
        let assembly = Assembly {
            special: tokenizer.special(),
            text: lanes.text,
            images: None,
            speech: Some((lanes.units, lanes.ids)),
        };
        let order = EpochOrder::new(utterances.len(), seed);
        Self { utterances, tokenizer, assembly, config, images: None, max_text_tokens, seed, order }
    }

    /// With the images of those clips that have one.
    #[must_use]
    pub fn with_images(mut self, mut images: ClipImages) -> Self {
        self.assembly.images = Some(images.lane);
        images.kept = std::iter::repeat_with(OnceLock::new).take(self.utterances.len()).collect();
        self.images = Some(images);
        self
    }

    /// The utterances.
    pub fn utterances(&self) -> &[Utterance] {
        &self.utterances
    }

    /// The document of an utterance without any random choice and without an image: what held-out losses are measured on.
    ///
    /// # Errors
    /// When its transcript cannot be encoded.
    pub fn plain_document(&self, index: usize, speech_first: bool) -> Result<Sample, DataError> {
        let utterance = &self.utterances[index];
        let (elements, ending) = in_order(utterance, self.text(utterance)?, speech_first);
        Ok(Sample { id: index as u64, segments: self.assembly.segments(elements, ending) })
    }

    /// The ids of a transcript, cut where it is too long; none where there is no transcript.
    fn text(&self, utterance: &Utterance) -> Result<Option<Vec<u32>>, DataError> {
        let Some(text) = &utterance.text else { return Ok(None) };
        let mut ids = self.tokenizer.encode(text).map_err(|error| DataError::caption(utterance.name.clone(), error))?;
        ids.truncate(self.max_text_tokens);
        Ok(Some(ids))
    }

    fn image(&self, index: usize) -> Result<Option<Element>, DataError> {
        match (&self.images, &self.utterances[index].image) {
            (Some(images), Some(path)) => Ok(Some(Element::Image(images.of(index, path)?))),
            _ => Ok(None),
        }
    }
}

/// Speech and what is said, if that is told, in one order; and how a document of them ends.
fn in_order(utterance: &Utterance, text: Option<Vec<u32>>, speech_first: bool) -> (Vec<Element>, Ending) {
    let units = Element::Units(utterance.units.clone());
    match text {
        Some(text) if speech_first => (vec![units, Element::Text(text)], Ending::Closed),
        Some(text) => (vec![Element::Text(text), units], Ending::Closed),
        None => (vec![units], Ending::Open),
    }
}

impl DocumentStream for SpeechDocuments {
    fn document(&mut self, number: u64) -> Result<Sample, DataError> {
        let index = self.index_of(number);
        let mut rng = generator(self.seed, number, Stream::Document);
        let alone = chance(self.config.speech_alone, &mut rng);
        let speech_first = chance(self.config.speech_first, &mut rng);
        let image_first = chance(0.5, &mut rng);

        let utterance = &self.utterances[index];
        let text = if alone { None } else { self.text(utterance)? };
        let (mut elements, ending) = in_order(utterance, text, speech_first);
        if let Some(image) = self.image(index)? {
            let place = if image_first { 0 } else { elements.len() };
            elements.insert(place, image);
        }
        Ok(Sample { id: number, segments: self.assembly.segments(elements, ending) })
    }

    fn epoch(&self) -> usize {
        self.utterances.len()
    }

    fn index_of(&mut self, number: u64) -> usize {
        self.order.index_of(number)
    }

    fn rows(&self, format: &SequenceFormat) -> Vec<Vec<usize>> {
        let of = |(index, utterance): (usize, &Utterance)| {
            let mut rows = vec![0; format.modalities.len()];
            let text = self.text(utterance).ok().flatten().map_or(0, |ids| ids.len());
            let has_image = self.images.is_some() && utterance.image.is_some();
            // BOS, BEGIN, END and EOS; BOI and EOI.
            rows[self.assembly.text] = text + 4 + if has_image { 2 } else { 0 };
            if let Some((lane, _)) = self.assembly.speech {
                rows[lane] = utterance.units.len();
            }
            if let Some(images) = self.assembly.images.filter(|_| has_image) {
                // Half of the images stand before the clip.
                rows[images.lane] = images.copies(false, index.is_multiple_of(2)) * format.rows_per_image();
            }
            rows
        };
        self.utterances.iter().enumerate().map(of).collect()
    }

    fn cut(&self) -> (usize, usize) {
        let texts = self.utterances.iter().filter_map(|utterance| utterance.text.as_ref());
        let lengths: Vec<usize> = texts.filter_map(|text| Some(self.tokenizer.encode(text).ok()?.len())).collect();
        (lengths.iter().filter(|length| **length > self.max_text_tokens).count(), lengths.len())
    }
}

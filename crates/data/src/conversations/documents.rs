//! From a conversation to a document.

use std::sync::{Arc, OnceLock};

use interfuse_sequence::{Sample, SequenceFormat};
use interfuse_vae::Codec;
use ndarray::Array3;

use super::config::ConversationsConfig;
use super::{Conversations, Speaker, Turn, TurnPart};
use crate::assembly::{Assembly, Element, Ending, ImageLane, Piece};
use crate::documents::{DocumentLanes, DocumentStream};
use crate::error::DataError;
use crate::images::Image;
use crate::order::{EpochOrder, Stream, generator, uniform};
use crate::sources::evenly;
use crate::text::Tokenizer;

/// Conversations whose rows are counted to know how long documents are.
const COUNTED: usize = 4000;
/// The most bytes of latents that are kept in memory: 256 MiB.
const BUDGET: usize = 256 << 20;

/// What makes documents of conversations.
#[derive(Clone)]
pub struct ConversationParts {
    /// The conversations.
    pub conversations: Arc<dyn Conversations>,
    /// Words to ids.
    pub tokenizer: Tokenizer,
    /// Images to latents.
    pub codec: Arc<dyn Codec>,
    /// Where latents are ids of codes, the id that code 0 has in the vocabulary.
    pub first_code: Option<u32>,
    /// Texts are cut after so many tokens.
    pub max_text_tokens: usize,
    /// See [`crate::DocumentConfig::clean_copies`].
    pub clean_copies: bool,
}

/// An endless, reproducible stream of documents of conversations.
pub struct ConversationDocuments {
    parts: ConversationParts,
    assembly: Assembly,
    config: ConversationsConfig,
    seed: u64,
    order: EpochOrder,
    /// Conversations with latents in place of images, as long as all fit into memory.
    kept: Vec<OnceLock<Vec<Turn<Array3<f32>>>>>,
    /// Whether a text is cut, and the rows of text and images, of some conversations; once someone has asked.
    measured: OnceLock<Vec<Measured>>,
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    is_cut: bool,
    text: usize,
    /// Times that an image lies in the document, clean copies among them.
    images: usize,
}

/// What a document loses, for guidance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    Nothing,
    /// All words of the user's.
    Instructions,
    /// Everything before the model's last turn.
    Context,
}

impl ConversationDocuments {
    /// A stream over conversations.
    pub fn new(parts: ConversationParts, lanes: DocumentLanes, config: ConversationsConfig, seed: u64) -> Self {
        let assembly = Assembly {
            special: parts.tokenizer.special(),
            text: lanes.captions,
            images: Some(ImageLane {
                lane: lanes.images,
                first_code: parts.first_code,
                clean_copies: parts.clean_copies,
            }),
            speech: None,
        };
        let count = parts.conversations.len();
        let kept = std::iter::repeat_with(OnceLock::new).take(count).collect();
        let order = EpochOrder::new(count, seed);
        Self { parts, assembly, config, seed, order, kept, measured: OnceLock::new() }
    }

    /// The conversations.
    pub fn conversations(&self) -> &dyn Conversations {
        self.parts.conversations.as_ref()
    }

    /// The document of a conversation with all that it holds and without any random choice: what held-out losses are measured
    /// on.
    ///
    /// # Errors
    /// When it cannot be read, encoded or decoded.
    pub fn plain_document(&self, index: usize) -> Result<Sample, DataError> {
        self.made(index as u64, index, self.encoded(index)?, Dropped::Nothing)
    }

    fn made(
        &self,
        id: u64,
        index: usize,
        turns: Vec<Turn<Array3<f32>>>,
        dropped: Dropped,
    ) -> Result<Sample, DataError> {
        let mut pieces = vec![];
        let last = turns.len().saturating_sub(1);
        for (place, turn) in turns.into_iter().enumerate() {
            if dropped == Dropped::Context && place < last {
                continue;
            }
            let given = turn.speaker == Speaker::User;
            for part in turn.parts {
                let element = match part {
                    TurnPart::Text(_) if given && dropped == Dropped::Instructions => continue,
                    TurnPart::Text(text) => Element::Text(self.ids(index, &text)?),
                    TurnPart::Image(latents) => Element::Image(latents),
                };
                pieces.push(Piece { element, given });
            }
            if place < last {
                pieces.push(Piece { element: Element::Text(vec![self.assembly.special.eos]), given });
            }
        }
        // Without what was asked, nothing is said of how it ends, as of an image without its caption.
        let ending = if dropped == Dropped::Context { Ending::Open } else { Ending::Closed };
        Ok(Sample { id, segments: self.assembly.segments_of(pieces, ending) })
    }

    /// The turns with latents in place of images.
    fn encoded(&self, index: usize) -> Result<Vec<Turn<Array3<f32>>>, DataError> {
        if let Some(turns) = self.kept[index].get() {
            return Ok(turns.clone());
        }
        let turns = with_images(self.parts.conversations.turns(index)?, |image| self.latents(index, &image))?;
        let bytes = turns.iter().flat_map(Turn::images).map(|latents| 4 * latents.len()).sum::<usize>();
        if bytes.saturating_mul(self.kept.len()) <= BUDGET {
            // Two threads may encode the same images at once; the results are equal, so either may stay.
            let _ = self.kept[index].set(turns.clone());
        }
        Ok(turns)
    }

    fn latents(&self, index: usize, image: &Image) -> Result<Array3<f32>, DataError> {
        let encoded = self.parts.codec.encode(image.to_unit_range());
        encoded.map(|latents| latents.mean).map_err(|error| {
            let name = self.parts.conversations.name(index);
            DataError::malformed(name, "an image that the codec takes", error.to_string())
        })
    }

    fn ids(&self, index: usize, text: &str) -> Result<Vec<u32>, DataError> {
        let ids = self.parts.tokenizer.encode(text);
        let mut ids = ids.map_err(|error| DataError::caption(self.parts.conversations.name(index), error))?;
        ids.truncate(self.parts.max_text_tokens);
        Ok(ids)
    }

    /// What a document loses: only one that ends with an image of the model's can be guided.
    fn dropped(&self, turns: &[Turn<Array3<f32>>], number: u64) -> Dropped {
        if turns.len() < 2 || turns.last().is_none_or(|turn| turn.images().next().is_none()) {
            return Dropped::Nothing;
        }
        let ConversationsConfig { instruction_dropout, context_dropout, .. } = self.config;
        let drawn = uniform(&mut generator(self.seed, number, Stream::Document));
        match drawn {
            drawn if drawn < context_dropout => Dropped::Context,
            drawn if drawn < context_dropout + instruction_dropout => Dropped::Instructions,
            _ => Dropped::Nothing,
        }
    }

    /// Images as often as they lie in the document of some turns.
    fn images_with_copies(&self, turns: &[Turn<()>]) -> usize {
        let Some(lane) = self.assembly.images else { return 0 };
        let parts = turns.iter().flat_map(|turn| turn.parts.iter().map(|part| (turn.speaker, part)));
        let parts: Vec<_> = parts.collect();
        let images = parts.iter().enumerate().filter(|(_, (_, part))| matches!(part, TurnPart::Image(())));
        images.map(|(place, (speaker, _))| lane.copies(*speaker == Speaker::User, place + 1 < parts.len())).sum()
    }

    fn measured(&self) -> &[Measured] {
        self.measured.get_or_init(|| {
            let chosen = evenly(COUNTED, self.parts.conversations.len());
            chosen.filter_map(|index| self.measure(index)).collect()
        })
    }

    fn measure(&self, index: usize) -> Option<Measured> {
        let turns = self.parts.conversations.outline(index).ok()?;
        let images = turns.iter().flat_map(Turn::images).count();
        // BOS, an EOS for each turn, and BOI and EOI for each image.
        let text = 1 + turns.len() + 2 * images;
        let mut measured = Measured { is_cut: false, text, images: self.images_with_copies(&turns) };
        for text in turns.iter().flat_map(Turn::texts) {
            let length = self.parts.tokenizer.encode(text).ok()?.len();
            measured.is_cut |= length > self.parts.max_text_tokens;
            measured.text += length.min(self.parts.max_text_tokens);
        }
        Some(measured)
    }
}

/// The same turns with other images.
fn with_images<I, O>(
    turns: Vec<Turn<I>>,
    mut image: impl FnMut(I) -> Result<O, DataError>,
) -> Result<Vec<Turn<O>>, DataError> {
    let mut of_part = |part| {
        Ok(match part {
            TurnPart::Text(text) => TurnPart::Text(text),
            TurnPart::Image(found) => TurnPart::Image(image(found)?),
        })
    };
    let of_turn = |Turn { speaker, parts }: Turn<I>| {
        Ok(Turn { speaker, parts: parts.into_iter().map(&mut of_part).collect::<Result<_, DataError>>()? })
    };
    turns.into_iter().map(of_turn).collect()
}

impl DocumentStream for ConversationDocuments {
    fn document(&mut self, number: u64) -> Result<Sample, DataError> {
        let index = self.index_of(number);
        let turns = self.encoded(index)?;
        let dropped = self.dropped(&turns, number);
        self.made(number, index, turns, dropped)
    }

    fn epoch(&self) -> usize {
        self.parts.conversations.len()
    }

    fn index_of(&mut self, number: u64) -> usize {
        self.order.index_of(number)
    }

    fn rows(&self, format: &SequenceFormat) -> Vec<Vec<usize>> {
        let of = |measured: &Measured| {
            let mut rows = vec![0; format.modalities.len()];
            rows[self.assembly.text] = measured.text;
            if let Some(images) = self.assembly.images {
                rows[images.lane] += measured.images * format.rows_per_image();
            }
            rows
        };
        self.measured().iter().map(of).collect()
    }

    fn cut(&self) -> (usize, usize) {
        let measured = self.measured();
        (measured.iter().filter(|measured| measured.is_cut).count(), measured.len())
    }
}

#[cfg(test)]
mod tests;

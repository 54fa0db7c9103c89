//! Documents of text alone, cut into pieces that fit a sequence.
//!
//! ```text
//! BOS text EOS        the last piece of a text, or a whole one
//! BOS text            a piece that the text goes on after; nothing is said of its end
//! ```

use std::sync::{Arc, OnceLock};

use interfuse_corpora::{Corpus, Texts};
use interfuse_sequence::{Sample, SequenceFormat};

use super::config::TextsConfig;
use super::masked::Masks;
use crate::assembly::{Assembly, Element, Ending};
use crate::documents::DocumentStream;
use crate::error::DataError;
use crate::order::EpochOrder;
use crate::sources::evenly;
use crate::text::Tokenizer;

/// Pieces whose tokens are counted to know how long documents are.
const COUNTED: usize = 4000;

/// A collection of texts, opened once.
#[derive(Clone)]
pub struct TextSet {
    /// What the model learns from.
    pub train: Arc<Pieces>,
    /// What it is measured on; where nothing is held out, the very pieces of `train`.
    pub held_out: Arc<Pieces>,
    /// What was left out, a sentence for each reason.
    pub skipped: Vec<String>,
    /// SHA-256 of all texts and their split.
    pub sha256: String,
}

/// Texts in pieces of at most so many bytes, each cut behind white space where there is some.
pub struct Pieces {
    texts: Texts,
    places: Vec<Place>,
}

/// Where a piece lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    text: u32,
    start: u32,
    end: u32,
    is_last: bool,
}

impl TextSet {
    /// Opens a corpus; `key` is where its settings stand.
    ///
    /// # Errors
    /// When its files are missing or malformed, or no text is left.
    pub fn open(config: &TextsConfig, key: &str) -> Result<Self, DataError> {
        let corpus: Corpus = config.corpus.open(&format!("{key}.corpus"))?;
        let train = Arc::new(Pieces::new(corpus.train().clone(), config.document_bytes)?);
        if train.is_empty() {
            return Err(DataError::Empty { searched: format!("`{key}.corpus` has no text for training") });
        }
        let held_out = Pieces::new(corpus.held_out().clone(), config.document_bytes)?;
        let held_out = if held_out.is_empty() { Arc::clone(&train) } else { Arc::new(held_out) };
        Ok(Self { train, held_out, skipped: corpus.skipped().to_vec(), sha256: corpus.record().sha256.clone() })
    }

    /// Whether nothing was held out.
    pub fn held_out_is_train(&self) -> bool {
        Arc::ptr_eq(&self.train, &self.held_out)
    }
}

impl Pieces {
    fn new(texts: Texts, most: usize) -> Result<Self, DataError> {
        let mut places = vec![];
        for number in 0..texts.len() {
            let text = texts.text(number)?;
            let mut start = 0;
            while start < text.len() {
                let end = cut(&text, start, most);
                let is_last = end == text.len();
                places.push(Place { text: number as u32, start: start as u32, end: end as u32, is_last });
                start = end;
            }
        }
        Ok(Self { texts, places })
    }

    /// How many pieces there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A piece, and whether its text ends with it.
    ///
    /// # Errors
    /// When its file cannot be read, or is another than when it was opened.
    pub fn piece(&self, index: usize) -> Result<(String, bool), DataError> {
        let Place { text, start, end, is_last } = self.places[index];
        let whole = self.texts.text(text as usize)?;
        let piece = whole.get(start as usize..end as usize).unwrap_or_default();
        Ok((piece.to_string(), is_last))
    }
}

/// Where the piece that begins at `start` ends: after at most `most` bytes, behind white space if there is some in its second
/// half, never within a character.
fn cut(text: &str, start: usize, most: usize) -> usize {
    if text.len() - start <= most {
        return text.len();
    }
    let end = text.floor_char_boundary(start + most);
    // A character may be longer than what a piece may have.
    let end = if end <= start { text.ceil_char_boundary(start + 1) } else { end };
    let space = text[start..end].rfind(char::is_whitespace).map(|place| text.ceil_char_boundary(start + place + 1));
    space.filter(|space| *space > start + most / 2).unwrap_or(end)
}

/// An endless, reproducible stream of documents of text.
pub struct TextDocuments {
    pieces: Arc<Pieces>,
    tokenizer: Tokenizer,
    assembly: Assembly,
    max_tokens: usize,
    /// Of the documents that are trained on, where some are masked.
    masks: Option<Masks>,
    order: EpochOrder,
    /// Tokens of some pieces, evenly chosen, before they are cut; once someone has asked.
    lengths: OnceLock<Vec<usize>>,
}

impl TextDocuments {
    /// A stream over pieces, at least one, for a lane.
    ///
    /// # Errors
    /// Documents are masked and the tokenizer has no masks.
    pub fn new(
        pieces: Arc<Pieces>,
        tokenizer: Tokenizer,
        lane: usize,
        config: &TextsConfig,
        seed: u64,
    ) -> Result<Self, DataError> {
        let masks = match (config.causal_masking > 0.0, tokenizer.first_mask()) {
            (false, _) => None,
            (true, Some(first)) => Some(Masks::new(config.causal_masking, first, seed)),
            (true, None) => {
                let expected = "a tokenizer with <mask:0> to <mask:15>, which a run has from its beginning or never";
                return Err(DataError::config("data.mixture.content.causal_masking", expected, "one without masks"));
            }
        };
        let assembly = Assembly { special: tokenizer.special(), text: lane, images: None, speech: None };
        let order = EpochOrder::new(pieces.len(), seed);
        let (max_tokens, lengths) = (config.max_tokens, OnceLock::new());
        Ok(Self { pieces, tokenizer, assembly, max_tokens, masks, order, lengths })
    }

    /// The pieces.
    pub fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    /// The ids of a piece, and whether its text ends with them.
    fn ids(&self, index: usize) -> Result<(Vec<u32>, Ending), DataError> {
        let (text, is_last) = self.pieces.piece(index)?;
        let mut ids = self.tokenizer.encode(&text)?;
        let ending = if is_last && ids.len() <= self.max_tokens { Ending::Closed } else { Ending::Open };
        ids.truncate(self.max_tokens);
        Ok((ids, ending))
    }

    /// The document of a piece, which is not masked: what held-out losses are measured on.
    ///
    /// # Errors
    /// When it cannot be read or has no ids.
    pub fn plain_document(&self, index: usize) -> Result<Sample, DataError> {
        let (ids, ending) = self.ids(index)?;
        Ok(Sample { id: index as u64, segments: self.assembly.segments(vec![Element::Text(ids)], ending) })
    }

    fn lengths(&self) -> &[usize] {
        self.lengths.get_or_init(|| {
            let of = |index: usize| Some(self.tokenizer.encode(&self.pieces.piece(index).ok()?.0).ok()?.len());
            evenly(COUNTED, self.pieces.len()).filter_map(of).collect()
        })
    }
}

impl DocumentStream for TextDocuments {
    fn document(&mut self, number: u64) -> Result<Sample, DataError> {
        let index = self.index_of(number);
        let Some(masks) = &self.masks else { return Ok(Sample { id: number, ..self.plain_document(index)? }) };
        let (ids, ending) = self.ids(index)?;
        Ok(Sample { id: number, segments: masks.segments(ids, number, &self.assembly, ending)? })
    }

    fn epoch(&self) -> usize {
        self.pieces.len()
    }

    fn index_of(&mut self, number: u64) -> usize {
        self.order.index_of(number)
    }

    fn rows(&self, format: &SequenceFormat) -> Vec<Vec<usize>> {
        let [usual, most] = match &self.masks {
            Some(_) => [Masks::USUAL_ROWS, Masks::MOST_ROWS],
            None => [0, 0],
        };
        let of = |tokens: usize, of_masks: usize| {
            let mut rows = vec![0; format.modalities.len()];
            // BOS and EOS.
            rows[self.assembly.text] = tokens.min(self.max_tokens) + of_masks + 2;
            rows
        };
        // Those that were not counted may be as long as any may be.
        let counted = self.lengths().iter().map(|tokens| of(*tokens, usual));
        counted.chain([of(self.max_tokens, most)]).collect()
    }

    fn cut(&self) -> (usize, usize) {
        let lengths = self.lengths();
        (lengths.iter().filter(|tokens| **tokens > self.max_tokens).count(), lengths.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_whole_text_and_never_too_long() {
        for text in ["", "one two three four five", "ünïcödé wörds ünd möre", "nospacesatallinthistext", "🧑🏿‍🚀🧑🏿‍🚀"]
        {
            for most in 1..12 {
                let (mut start, mut whole) = (0, String::new());
                while start < text.len() {
                    let end = cut(text, start, most);
                    assert!(end > start && (end - start <= most || text[start..end].chars().count() == 1));
                    whole.push_str(&text[start..end]);
                    start = end;
                }
                assert_eq!(whole, text);
            }
        }
        assert_eq!(cut("one two three", 0, 10), 8, "behind white space");
    }

    #[test]
    fn texts_become_documents_of_pieces() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in
            [("a.txt", "alpha beta gamma delta epsilon"), ("b.txt", "zeta eta"), ("c.txt", "iota kappa")]
        {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let text =
            format!("corpus = {{ kind = 'folder', path = {:?}, held_out = 0.0 }}\ndocument_bytes = 16", folder.path());
        let config: TextsConfig = toml::from_str(&text).unwrap();
        let set = TextSet::open(&config, "data.mixture[0].content").unwrap();
        assert!(set.held_out_is_train() && set.train.len() >= 4);
        let tokenizer = Tokenizer::train(["alpha beta gamma delta"].into_iter(), 261).unwrap();
        let special = tokenizer.special();
        let mut documents = TextDocuments::new(Arc::clone(&set.train), tokenizer.clone(), 0, &config, 3).unwrap();
        let (mut ends, mut bytes) = (0, 0);
        for number in 0..documents.epoch() as u64 {
            let sample = documents.document(number).unwrap();
            let ids = sample.segments[0].ids().unwrap().to_vec();
            assert_eq!((ids[0], sample.segments.len()), (special.bos, 1));
            ends += usize::from(ids.last() == Some(&special.eos));
            bytes += tokenizer.decode(&ids).unwrap().len();
        }
        assert_eq!(ends, 3, "every text ends once");
        assert_eq!(bytes, 30 + 8 + 10, "an epoch has all of it");
    }
}

//! All that a run's documents are made of, opened once.

use super::config::{ContentConfig, SpeechConfig, TextsConfig};
use super::texts::TextSet;
use super::utterances::SpeechSet;
use crate::config::DataConfig;
use crate::conversations::{ConversationSet, ConversationsConfig};
use crate::error::DataError;
use crate::sources::{DataSet, evenly};

/// The collections of a run.
#[derive(Clone)]
pub struct Collections {
    /// The captioned images, where there are any.
    pub images: Option<DataSet>,
    /// The collections in the order of the configuration; the images alone where it has no mixture.
    pub parts: Vec<Collection>,
}

/// One of them.
#[derive(Clone)]
pub struct Collection {
    /// What the configuration calls it; `images` where it has no mixture.
    pub name: String,
    /// Beside those of the others.
    pub weight: f64,
    /// The same at the end of the run.
    pub late_weight: f64,
    /// What it holds.
    pub content: Content,
}

/// What a collection holds.
#[derive(Clone)]
pub enum Content {
    /// [`Collections::images`].
    Images,
    /// Speech, and how documents are made of it.
    Speech(SpeechConfig, SpeechSet),
    /// Texts alone, and how they are cut.
    Texts(TextsConfig, TextSet),
    /// Conversations, and what their documents lose for guidance.
    Conversations(ConversationsConfig, ConversationSet),
}

/// Images whose captions a tokenizer is made of at most.
const IMAGES_FOR_THE_TOKENIZER: usize = 1_000_000;
/// Pieces of texts or conversations that a tokenizer is made of at most, of each collection.
const FOR_THE_TOKENIZER: usize = 10_000;

impl Collections {
    /// Opens everything that a configuration names.
    ///
    /// # Errors
    /// When a value is outside its range, files are missing or malformed, or a collection is empty.
    pub fn open(config: &DataConfig) -> Result<Self, DataError> {
        config.validate()?;
        let images = config.has_images().then(|| crate::sources::open(config)).transpose()?;
        let mut parts = vec![];
        for (place, part) in config.mixture.iter().enumerate() {
            let key = format!("data.mixture[{place}].content");
            let content = match &part.content {
                ContentConfig::Images => Content::Images,
                ContentConfig::Speech(config) => Content::Speech(config.clone(), SpeechSet::open(config)?),
                ContentConfig::Texts(config) => Content::Texts(config.clone(), TextSet::open(config, &key)?),
                ContentConfig::Conversations(settings) => {
                    let set = ConversationSet::open(settings, config.framing().of_one_size(), &key)?;
                    Content::Conversations(settings.clone(), set)
                }
            };
            let late_weight = part.late_weight.unwrap_or(part.weight);
            parts.push(Collection { name: part.name.clone(), weight: part.weight, late_weight, content });
        }
        if parts.is_empty() {
            let (name, content) = ("images".into(), Content::Images);
            parts.push(Collection { name, weight: 1.0, late_weight: 1.0, content });
        }
        Self { images, parts }.checked()
    }

    /// One vocabulary has one alphabet of units.
    fn checked(self) -> Result<Self, DataError> {
        let known: Vec<_> = self.speech().collect();
        let hash = |set: &SpeechSet| set.codec.as_ref().map(|codec| codec.hash().to_string());
        for pair in known.windows(2) {
            let [(first, one), (second, other)] = pair else { continue };
            if (one.alphabet, hash(one)) != (other.alphabet, hash(other)) {
                let alphabet = one.alphabet;
                let expected =
                    format!("the {alphabet} units of `{}` in `{}` too, made by one codec", first.name, second.name);
                let found = format!("{}, or those of another codec", other.alphabet);
                return Err(DataError::config("data.mixture", expected, found));
            }
        }
        drop(known);
        Ok(self)
    }

    /// The collections of speech.
    pub fn speech(&self) -> impl Iterator<Item = (&Collection, &SpeechSet)> {
        self.parts.iter().filter_map(|part| match &part.content {
            Content::Speech(_, set) => Some((part, set)),
            Content::Images | Content::Texts(..) | Content::Conversations(..) => None,
        })
    }

    /// The collections of texts alone.
    pub fn text_sets(&self) -> impl Iterator<Item = (&Collection, &TextSet)> {
        self.parts.iter().filter_map(|part| match &part.content {
            Content::Texts(_, set) => Some((part, set)),
            Content::Images | Content::Speech(..) | Content::Conversations(..) => None,
        })
    }

    /// The collections of conversations.
    pub fn conversations(&self) -> impl Iterator<Item = (&Collection, &ConversationSet)> {
        self.parts.iter().filter_map(|part| match &part.content {
            Content::Conversations(_, set) => Some((part, set)),
            Content::Images | Content::Speech(..) | Content::Texts(..) => None,
        })
    }

    /// Whether documents have images.
    pub fn have_images(&self) -> bool {
        self.images.is_some() || self.conversations().next().is_some()
    }

    /// Whether some of the documents are masked, so that the vocabulary needs masks.
    pub fn are_masked(&self) -> bool {
        let is_masked =
            |part: &Collection| matches!(&part.content, Content::Texts(texts, _) if texts.causal_masking > 0.0);
        self.parts.iter().any(is_masked)
    }

    /// Training texts of which a tokenizer is made: all captions and transcripts, and what is said in conversations and
    /// pieces of other texts, spread evenly.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        let captions = self.images.iter().flat_map(|images| {
            let source = &images.train;
            evenly(IMAGES_FOR_THE_TOKENIZER, source.len()).flat_map(|index| source.captions(index).unwrap_or_default())
        });
        let transcripts = self.speech().flat_map(|(_, set)| set.train.iter().filter_map(|each| each.text.clone()));
        let pieces = self.text_sets().flat_map(|(_, set)| {
            let chosen = evenly(FOR_THE_TOKENIZER, set.train.len());
            chosen.filter_map(|index| Some(set.train.piece(index).ok()?.0))
        });
        let said = self.conversations().flat_map(|(_, set)| set.texts(FOR_THE_TOKENIZER));
        captions.chain(transcripts).chain(pieces).chain(said)
    }

    /// What was left out when they were opened, and what will be cut, a line each: the first few, and how many more.
    pub fn left_out(&self) -> Vec<String> {
        let images = self.images.iter().flat_map(|images| crate::sources::left_out(images.train.as_ref()));
        let speech = self.speech().flat_map(|(part, set)| {
            let skipped = crate::sources::named(&set.skipped);
            let cut = (set.cut > 0).then(|| format!("{} utterances are cut after max_units", set.cut));
            skipped.into_iter().chain(cut).map(|line| format!("{}: {line}", part.name)).collect::<Vec<_>>()
        });
        let texts = self.text_sets().flat_map(|(part, set)| {
            crate::sources::named(&set.skipped).into_iter().map(|line| format!("{}: {line}", part.name))
        });
        let conversations = self.conversations().flat_map(|(part, set)| {
            crate::sources::named(&set.skipped).into_iter().map(|line| format!("{}: {line}", part.name))
        });
        images.chain(speech).chain(texts).chain(conversations).collect()
    }
}

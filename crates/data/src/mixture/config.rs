//! `[[data.mixture]]`: several collections that a run draws its documents from.
//!
//! ```toml
//! [[data.mixture]]
//! name = "captioned"
//! weight = 1.0
//! content = { kind = "images" }              # those of [data.source]
//!
//! [[data.mixture]]
//! name = "voices"
//! weight = 1.0
//! content = { kind = "speech", clips = { kind = "telephone-prompts" }, units = "units/prompts" }
//!
//! [[data.mixture]]
//! name = "books"
//! weight = 1.0
//! content = { kind = "texts", corpus = { kind = "rust-books" } }
//!
//! [[data.mixture]]
//! name = "edits"
//! weight = 1.0
//! content = { kind = "conversations", source = { kind = "shape-edits" } }
//! ```

use std::path::PathBuf;

use interfuse_corpora::CorpusConfig;
use interfuse_speech::clips::ClipSource;
use interfuse_speech::units::CODEC_FILE;
use serde::{Deserialize, Serialize};

use crate::conversations::ConversationsConfig;
use crate::error::DataError;
use crate::images::ImageShape;

/// What the weights of a mixture are fractions of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MixtureUnit {
    /// Of documents.
    #[default]
    Documents,
    /// Of rows of the sequence, which a document of the collection has so many of on average.
    Tokens,
}

/// One of the collections of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixtureConfig {
    /// Of letters, digits, `_` and `-`; no two alike. Held-out losses are named after it.
    pub name: String,
    /// How much of it is learned, above 0, beside the weights of the others; only their ratios matter.
    #[serde(default = "one")]
    pub weight: f64,
    /// The weight in its place at the end of the run, from 0, beside `data.late_fraction`; the same if absent. Transfusion ends
    /// with more of its best images (2408.11039).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_weight: Option<f64>,
    /// What it holds.
    pub content: ContentConfig,
}

/// What a collection holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ContentConfig {
    /// The captioned images of `[data.source]`.
    Images,
    /// Clips of speech with what is said in them, as units.
    Speech(SpeechConfig),
    /// Texts alone: prose, source code, molecules, or one's own files.
    Texts(TextsConfig),
    /// Edits of images, questions about them, conversations, and documents of several images.
    Conversations(ConversationsConfig),
}

/// Options of `kind = "texts"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextsConfig {
    /// Which texts.
    pub corpus: CorpusConfig,
    /// Texts are cut into pieces of at most so many bytes, from 16 to 1,048,576, each of which is a document.
    #[serde(default = "usual_bytes")]
    pub document_bytes: usize,
    /// Pieces are cut after so many tokens, at least 1.
    #[serde(default = "most_tokens")]
    pub max_tokens: usize,
    /// Fraction, from 0 to 1, of documents that are learned by the causally masked objective of CM3 (2201.07520): spans of them
    /// move to their end, and masks stand where they were. `<mask:0>` to `<mask:15>` join the vocabulary.
    #[serde(default)]
    pub causal_masking: f64,
}

/// Options of `kind = "speech"`. Units are made of `clips` by `units`, or come from `unit_file`: with the transcripts of `clips`
/// or alone, without any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpeechConfig {
    /// The clips and their transcripts.
    #[serde(default)]
    pub clips: Option<ClipSource>,
    /// The unit codec that encodes them, or by which `unit_file` was made before: its file, or the folder that it lies in.
    #[serde(default)]
    pub units: Option<PathBuf>,
    /// Units that another program, or `interfuse speech units encode`, made: a text file with one utterance a line.
    #[serde(default)]
    pub unit_file: Option<PathBuf>,
    /// Whether equal neighbors become one unit.
    #[serde(default = "yes")]
    pub deduplicate: bool,
    /// Fraction, from 0 to below 1, of the different transcripts that training does not see.
    #[serde(default = "some")]
    pub held_out: f64,
    /// Fraction, from 0 to 1, of documents whose speech comes before its transcript.
    #[serde(default = "half")]
    pub speech_first: f64,
    /// Fraction, from 0 to 1, of documents that are speech alone.
    #[serde(default = "some")]
    pub speech_alone: f64,
    /// Whether an image that belongs to a clip, of sources that have such, stands in its document, before or after the rest.
    #[serde(default)]
    pub with_images: bool,
    /// Speech is cut after so many units, at least 1.
    #[serde(default = "most_units")]
    pub max_units: usize,
}

fn one() -> f64 {
    1.0
}

fn half() -> f64 {
    0.5
}

fn some() -> f64 {
    0.1
}

fn yes() -> bool {
    true
}

fn most_units() -> usize {
    1024
}

fn usual_bytes() -> usize {
    1024
}

fn most_tokens() -> usize {
    512
}

impl TextsConfig {
    /// Checks every value; `key` is where it stands.
    fn validate(&self, key: &str) -> Result<(), DataError> {
        self.corpus.validate(&format!("{key}.corpus"))?;
        if !(16..=1 << 20).contains(&self.document_bytes) {
            let expected = "from 16 to 1048576 bytes";
            return Err(DataError::config(&format!("{key}.document_bytes"), expected, self.document_bytes));
        }
        if !(0.0..=1.0).contains(&self.causal_masking) {
            let key = format!("{key}.causal_masking");
            return Err(DataError::config(&key, "a fraction from 0 to 1", self.causal_masking));
        }
        match self.max_tokens {
            0 => Err(DataError::config(&format!("{key}.max_tokens"), "at least 1", 0)),
            // A span of the only token of a document would leave nothing that it could be told by.
            1 if self.causal_masking > 0.0 => {
                let expected = "at least 2 where `causal_masking` is above 0";
                Err(DataError::config(&format!("{key}.max_tokens"), expected, 1))
            }
            _ => Ok(()),
        }
    }
}

impl SpeechConfig {
    /// The file of the unit codec, if one is named by itself or by its folder.
    pub fn codec_file(&self) -> Option<PathBuf> {
        let path = self.units.as_ref()?;
        Some(if path.is_dir() { path.join(CODEC_FILE) } else { path.clone() })
    }

    /// Checks every value; `key` is where it stands.
    fn validate(&self, key: &str) -> Result<(), DataError> {
        let key = |name: &str| format!("{key}.{name}");
        match (&self.clips, &self.units, &self.unit_file) {
            (Some(_), Some(_), None) | (_, _, Some(_)) => {}
            (Some(_), None, None) => {
                let expected = "a unit codec for the clips, or `unit_file` with their units";
                return Err(DataError::config(&key("units"), expected, "neither"));
            }
            (None, _, None) => {
                let expected = "clips of speech, or `unit_file` with units";
                return Err(DataError::config(&key("clips"), expected, "neither"));
            }
        }
        if !(0.0..1.0).contains(&self.held_out) {
            return Err(DataError::config(&key("held_out"), "a fraction from 0 to below 1", self.held_out));
        }
        for (name, fraction) in [("speech_first", self.speech_first), ("speech_alone", self.speech_alone)] {
            if !(0.0..=1.0).contains(&fraction) {
                return Err(DataError::config(&key(name), "a fraction from 0 to 1", fraction));
            }
        }
        match self.max_units {
            0 => Err(DataError::config(&key("max_units"), "at least 1", 0)),
            _ => Ok(()),
        }
    }
}

impl MixtureConfig {
    /// Whether it holds the captioned images.
    pub fn is_images(&self) -> bool {
        matches!(self.content, ContentConfig::Images)
    }

    /// Its speech, if it holds any.
    pub fn speech(&self) -> Option<&SpeechConfig> {
        match &self.content {
            ContentConfig::Speech(config) => Some(config),
            ContentConfig::Images | ContentConfig::Texts(_) | ContentConfig::Conversations(_) => None,
        }
    }

    /// Its conversations, if it holds any.
    pub fn conversations(&self) -> Option<&ConversationsConfig> {
        match &self.content {
            ContentConfig::Conversations(config) => Some(config),
            ContentConfig::Images | ContentConfig::Speech(_) | ContentConfig::Texts(_) => None,
        }
    }
}

/// Checks a mixture for images of a shape, before anything is opened.
///
/// # Errors
/// Names the key, what was expected and what was found.
pub(crate) fn validate(mixture: &[MixtureConfig], shape: ImageShape) -> Result<(), DataError> {
    for (place, part) in mixture.iter().enumerate() {
        let key = format!("data.mixture[{place}]");
        let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if part.name.is_empty() || !part.name.chars().all(of_name) {
            let expected = "a name of letters, digits, `_` and `-`";
            return Err(DataError::config(&format!("{key}.name"), expected, format!("{:?}", part.name)));
        }
        if mixture[..place].iter().any(|other| other.name == part.name) {
            return Err(DataError::config(
                &format!("{key}.name"),
                "a name of its own",
                format!("`{}` again", part.name),
            ));
        }
        if !(part.weight > 0.0 && part.weight.is_finite()) {
            return Err(DataError::config(&format!("{key}.weight"), "a finite number above 0", part.weight));
        }
        if let Some(weight) = part.late_weight.filter(|weight| !(*weight >= 0.0 && weight.is_finite())) {
            return Err(DataError::config(&format!("{key}.late_weight"), "a finite number from 0", weight));
        }
        let key = format!("{key}.content");
        match &part.content {
            ContentConfig::Images => {}
            ContentConfig::Speech(speech) => speech.validate(&key)?,
            ContentConfig::Texts(texts) => texts.validate(&key)?,
            ContentConfig::Conversations(conversations) => conversations.validate(&key, shape)?,
        }
    }
    if !mixture.is_empty() && mixture.iter().all(|part| part.late_weight == Some(0.0)) {
        return Err(DataError::config("data.mixture", "a late_weight above 0 of at least one part", "none"));
    }
    if mixture.iter().filter(|part| part.is_images()).count() > 1 {
        let expected = "at most one part of kind `images`, for there is one [data.source]";
        return Err(DataError::config("data.mixture", expected, "more"));
    }
    Ok(())
}

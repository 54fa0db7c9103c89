//! Documents in which someone asks and the model answers, each with texts and images in any order: edits of an image, questions
//! about one, conversations, and documents that the model writes and draws alone.
//!
//! ```text
//! an edit:      BOS BOI [image] EOI make it red EOS   BOI [image] EOI EOS
//! a question:   BOS BOI [image] EOI which colour is it? EOS   red EOS
//! ```
//!
//! A turn ends with EOS, as in BAGEL (2505.14683). What the user brings is *given*: no word of it is learned, and its images
//! are clean. What the model says and draws is learned as in any other document. A document of one turn of the model's is
//! interleaved as Transfusion's are (2408.11039): all texts are learned and all images denoised, and what follows an image
//! sees it noised.

mod config;
mod documents;
mod files;
mod shapes;

use std::sync::Arc;

pub use self::config::{ConversationSource, ConversationsConfig};
pub use self::documents::{ConversationDocuments, ConversationParts};
pub use self::files::ConversationFilesConfig;
pub use self::shapes::{SceneAttribute, ShapeEditsConfig, ShapeQuestionsConfig};
use crate::error::DataError;
use crate::images::{Framing, Image};
use crate::sources::evenly;

/// Who says or shows something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The one who asks; what is brought is given.
    User,
    /// The model that is trained.
    Model,
}

/// What one of them says and shows before the other goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn<I = Image> {
    /// Whose it is.
    pub speaker: Speaker,
    /// In reading order, at least one.
    pub parts: Vec<TurnPart<I>>,
}

/// A text or an image of a turn.
#[derive(Clone, Debug, PartialEq)]
pub enum TurnPart<I = Image> {
    /// Words.
    Text(String),
    /// An image.
    Image(I),
}

impl<I> Turn<I> {
    /// Its texts.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            TurnPart::Text(text) => Some(text.as_str()),
            TurnPart::Image(_) => None,
        })
    }

    /// Its images.
    pub fn images(&self) -> impl Iterator<Item = &I> {
        self.parts.iter().filter_map(|part| match part {
            TurnPart::Text(_) => None,
            TurnPart::Image(image) => Some(image),
        })
    }
}

/// Conversations, numbered from 0. Methods that take an `index` panic when it is not below [`Conversations::len`], as slices do.
pub trait Conversations: Send + Sync {
    /// How many there are, at least one.
    fn len(&self) -> usize;

    /// Never true of those that a configuration opened.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A stable name.
    fn name(&self, index: usize) -> String;

    /// The turns without their images. The last one is the model's.
    ///
    /// # Errors
    /// When they cannot be read. The others are not affected: skip it and count it.
    fn outline(&self, index: usize) -> Result<Vec<Turn<()>>, DataError>;

    /// The turns with their images, each in the shape that the configuration asks for.
    ///
    /// # Errors
    /// As [`Conversations::outline`], and when an image cannot be decoded.
    fn turns(&self, index: usize) -> Result<Vec<Turn>, DataError>;

    /// The caption of a scene of shapes that the image of the last turn shows, where that is known.
    fn scene(&self, index: usize) -> Option<String> {
        let _ = index;
        None
    }
}

/// A collection of conversations, opened once.
#[derive(Clone)]
pub struct ConversationSet {
    /// What the model learns from.
    pub train: Arc<dyn Conversations>,
    /// What it is measured on; where nothing could be held out, the very conversations of `train`.
    pub held_out: Arc<dyn Conversations>,
    /// What was left out, a sentence for each reason.
    pub skipped: Vec<String>,
}

impl ConversationSet {
    /// Opens the conversations of a configuration, whose images are framed alike.
    ///
    /// # Errors
    /// When files are missing or malformed, or nothing is left.
    pub fn open(config: &ConversationsConfig, framing: Framing, key: &str) -> Result<Self, DataError> {
        match &config.source {
            ConversationSource::ShapeEdits(edits) => Ok(edits.open(framing.shape)),
            ConversationSource::ShapeQuestions(questions) => Ok(questions.open(framing.shape)),
            ConversationSource::Files(files) => files.open(framing, key),
        }
    }

    /// Whether nothing was held out.
    pub fn held_out_is_train(&self) -> bool {
        Arc::ptr_eq(&self.train, &self.held_out)
    }

    /// Texts of at most `most` training conversations, spread evenly.
    pub fn texts(&self, most: usize) -> impl Iterator<Item = String> {
        let outlines = evenly(most, self.train.len()).filter_map(|index| self.train.outline(index).ok());
        outlines.flat_map(|turns| turns.iter().flat_map(Turn::texts).map(str::to_owned).collect::<Vec<_>>())
    }
}

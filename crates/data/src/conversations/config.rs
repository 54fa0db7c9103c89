//! Options of a collection of conversations.

use serde::{Deserialize, Serialize};

use super::files::ConversationFilesConfig;
use super::shapes::{ShapeEditsConfig, ShapeQuestionsConfig};
use crate::error::DataError;
use crate::images::ImageShape;

/// Options of `kind = "conversations"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConversationsConfig {
    /// Which conversations.
    pub source: ConversationSource,
    /// Fraction, from 0 to 1, of the documents that end with an image of the model's which lose all words of the user's, for
    /// guidance by the words (InstructPix2Pix, 2211.09800, section 3.2.1: 0.05).
    #[serde(default = "usual_dropout")]
    pub instruction_dropout: f64,
    /// Fraction, from 0 to 1, of the same documents which lose everything before the model's last turn, for guidance by the
    /// user's images.
    #[serde(default = "usual_dropout")]
    pub context_dropout: f64,
}

fn usual_dropout() -> f64 {
    0.05
}

/// The kinds of conversations, chosen by the key `kind`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ConversationSource {
    /// Coloured shapes, of which one attribute is to be changed.
    ShapeEdits(ShapeEditsConfig),
    /// Coloured shapes, of which one attribute is asked for.
    ShapeQuestions(ShapeQuestionsConfig),
    /// The user's own edits, conversations or interleaved documents.
    Files(ConversationFilesConfig),
}

impl ConversationsConfig {
    /// Checks every value, for images of a shape; `key` is where it stands.
    pub(crate) fn validate(&self, key: &str, shape: ImageShape) -> Result<(), DataError> {
        for (name, fraction) in
            [("instruction_dropout", self.instruction_dropout), ("context_dropout", self.context_dropout)]
        {
            if !(0.0..=1.0).contains(&fraction) {
                return Err(DataError::config(&format!("{key}.{name}"), "a fraction from 0 to 1", fraction));
            }
        }
        let both = self.instruction_dropout + self.context_dropout;
        if both > 1.0 {
            let key = format!("{key}.context_dropout");
            return Err(DataError::config(&key, "at most 1 together with instruction_dropout", both));
        }
        let key = format!("{key}.source");
        match &self.source {
            ConversationSource::ShapeEdits(edits) => edits.validate(&key, shape),
            ConversationSource::ShapeQuestions(questions) => questions.validate(&key, shape),
            ConversationSource::Files(files) => files.validate(&key),
        }
    }
}

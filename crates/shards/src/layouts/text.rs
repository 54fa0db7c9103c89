//! A text, such as a document of a web crawl.

use serde::{Deserialize, Serialize};

use super::{Shape, Source, owned};
use crate::error::ShardError;
use crate::example::{Example, Part};

/// Fields of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextLayout {
    /// The text: the first of these fields that is there.
    pub text: Vec<String>,
}

impl Default for TextLayout {
    fn default() -> Self {
        Self { text: owned(["text", "txt", "content"]) }
    }
}

impl Shape for TextLayout {
    fn fields(&self) -> (Vec<Vec<String>>, Vec<String>) {
        (vec![self.text.clone()], vec![])
    }

    fn fill(&self, source: &mut Source<'_>, example: &mut Example) -> Result<(), ShardError> {
        let value = source.required(&self.text)?;
        let text = source.text(self.text.first().map_or("text", String::as_str), value)?;
        if text.trim().is_empty() {
            return Err(source.malformed("a text that is not blank", "a blank one"));
        }
        example.parts.push(Part::Text(text));
        Ok(())
    }
}

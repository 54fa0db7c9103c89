//! An image and its captions, as img2dataset writes them into tars and as data sets on the hub hold them in Parquet.

use serde::{Deserialize, Serialize};

use super::{Shape, Source, owned, trimmed};
use crate::error::ShardError;
use crate::example::{Example, Part};
use crate::value::Value;

/// Fields of a captioned image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptionedLayout {
    /// The image: the first of these fields that is there. In a tar without any of them, the first member that is an image.
    pub image: Vec<String>,
    /// Fields with captions, each a text or a list of texts. All that are there give captions, equal ones once; if the list is
    /// empty, the first of `txt`, `caption`, `text`, `captions`, `sentences` and `prompt` does.
    pub captions: Vec<String>,
    /// Whether an image without a caption is used.
    pub uncaptioned: bool,
}

impl Default for CaptionedLayout {
    fn default() -> Self {
        Self { image: owned(["image", "jpg", "img"]), captions: vec![], uncaptioned: false }
    }
}

/// Where captions lie if nothing is set.
const CAPTIONS: [&str; 6] = ["txt", "caption", "text", "captions", "sentences", "prompt"];

impl Shape for CaptionedLayout {
    fn fields(&self) -> (Vec<Vec<String>>, Vec<String>) {
        let captions = if self.captions.is_empty() { owned(CAPTIONS) } else { self.captions.clone() };
        match self.uncaptioned {
            true => (vec![self.image.clone()], captions),
            false => (vec![self.image.clone(), captions], vec![]),
        }
    }

    fn fill(&self, source: &mut Source<'_>, example: &mut Example) -> Result<(), ShardError> {
        let value = self.describe(source, example)?;
        match source.image(value, 0)? {
            Some(image) => example.parts.push(Part::Image(image)),
            None => return Err(source.malformed("an image with bytes", "none")),
        }
        Ok(())
    }
}

impl CaptionedLayout {
    /// Fills in the captions; hands back the field with the image, whose bytes need not have been read.
    pub(super) fn describe(&self, source: &mut Source<'_>, example: &mut Example) -> Result<Value, ShardError> {
        example.captions = self.captions(source)?;
        let named = self.image.iter().find_map(|name| source.record.value.take(name));
        match named.or_else(|| source.first_image()) {
            Some(value) => Ok(value),
            None => source.required(&self.image),
        }
    }

    fn captions(&self, source: &mut Source<'_>) -> Result<Vec<String>, ShardError> {
        let mut captions: Vec<String> = vec![];
        let names = if self.captions.is_empty() { owned(CAPTIONS) } else { self.captions.clone() };
        for name in &names {
            let Some(value) = source.record.value.take(name) else { continue };
            let values = match value {
                Value::List(values) => values,
                value => vec![value],
            };
            for value in values.into_iter().filter(|value| *value != Value::Null) {
                let text = trimmed(source.text(name, value)?);
                if !text.is_empty() && !captions.contains(&text) {
                    captions.push(text);
                }
            }
            if self.captions.is_empty() && !captions.is_empty() {
                break;
            }
        }
        if captions.is_empty() && !self.uncaptioned {
            source.required(&names)?;
            return Err(source.malformed("a caption that is not blank", "none"));
        }
        Ok(captions)
    }
}

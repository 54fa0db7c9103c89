//! Interleaved documents as MMC4 has them (Zhu et al., 2023): sentences in `text_list`, and in `image_info` for each image the
//! sentence that it belongs to.
//!
//! An image stands before its sentence, as OpenFlamingo reads them; those of one sentence are in the order of the list.

use serde::{Deserialize, Serialize};

use super::{MissingImages, Shape, Source, owned};
use crate::error::ShardError;
use crate::example::{Example, Part};
use crate::value::Value;

/// Fields of an interleaved document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mmc4Layout {
    /// The list of sentences: the first of these fields that is there.
    pub sentences: Vec<String>,
    /// The list of images: the first of these fields that is there.
    pub images: Vec<String>,
    /// In an image, its bytes or name: the first of these fields that is there.
    pub image: Vec<String>,
    /// In an image, the number of its sentence, from 0.
    pub sentence: String,
    /// What to do about an image that is missing.
    pub missing: MissingImages,
}

impl Default for Mmc4Layout {
    fn default() -> Self {
        Self {
            sentences: owned(["text_list"]),
            images: owned(["image_info"]),
            image: owned(["bytes", "image", "image_name"]),
            sentence: "matched_text_index".into(),
            missing: MissingImages::default(),
        }
    }
}

impl Shape for Mmc4Layout {
    fn fields(&self) -> (Vec<Vec<String>>, Vec<String>) {
        (vec![self.sentences.clone(), self.images.clone()], vec![])
    }

    fn fill(&self, source: &mut Source<'_>, example: &mut Example) -> Result<(), ShardError> {
        let sentences = source.required(&self.sentences)?;
        let sentences = source.list("text_list", sentences)?;
        let images = source.required(&self.images)?;
        let images = source.list("image_info", images)?;
        let mut before: Vec<Vec<(usize, Value)>> = sentences.iter().map(|_| vec![]).collect();
        for (place, mut image) in images.into_iter().enumerate() {
            let index =
                image.get(&self.sentence).and_then(Value::integer).and_then(|index| usize::try_from(index).ok());
            let Some(images) = index.and_then(|index| before.get_mut(index)) else {
                let found = image.get(&self.sentence).map_or("nothing".into(), Value::described);
                let expected =
                    format!("a sentence below {} under `{}` of image {place}", sentences.len(), self.sentence);
                return Err(source.malformed(expected, found));
            };
            let named = self.image.iter().find_map(|name| image.take(name));
            images.push((place, named.unwrap_or_default()));
        }
        for (sentence, images) in sentences.into_iter().zip(before) {
            for (place, image) in images {
                source.push_image(image, place, self.missing, example)?;
            }
            let text = source.text("text_list", sentence)?;
            if !text.trim().is_empty() {
                example.parts.push(Part::Text(text));
            }
        }
        source.check_interleaved(example)
    }
}

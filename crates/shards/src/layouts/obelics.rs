//! Interleaved documents as OBELICS has them (Laurençon et al., 2023): `images` and `texts` of one length, and at each place
//! one of the two is null.
//!
//! An image is bytes, a struct `{bytes, path}`, or a name: that of a tar's member, of a file in the folder of images, or an
//! address, for which the member numbered by its place among the images is taken.

use serde::{Deserialize, Serialize};

use super::{MissingImages, Shape, Source, owned};
use crate::error::ShardError;
use crate::example::{Example, Part};
use crate::value::Value;

/// Fields of an interleaved document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObelicsLayout {
    /// The list of images: the first of these fields that is there.
    pub images: Vec<String>,
    /// The list of texts: the first of these fields that is there.
    pub texts: Vec<String>,
    /// What to do about an image that is missing.
    pub missing: MissingImages,
}

impl Default for ObelicsLayout {
    fn default() -> Self {
        Self { images: owned(["images"]), texts: owned(["texts"]), missing: MissingImages::default() }
    }
}

impl Shape for ObelicsLayout {
    fn fields(&self) -> (Vec<Vec<String>>, Vec<String>) {
        (vec![self.images.clone(), self.texts.clone()], vec![])
    }

    fn fill(&self, source: &mut Source<'_>, example: &mut Example) -> Result<(), ShardError> {
        let images = source.required(&self.images)?;
        let images = source.list("images", images)?;
        let texts = source.required(&self.texts)?;
        let texts = source.list("texts", texts)?;
        if images.len() != texts.len() {
            let found = format!("{} images and {} texts", images.len(), texts.len());
            return Err(source.malformed("lists of images and texts of one length", found));
        }
        let mut place = 0;
        for (image, text) in images.into_iter().zip(texts) {
            match (image, text) {
                (Value::Null, Value::Null) => {}
                (Value::Null, text) => {
                    let text = source.text("texts", text)?;
                    if !text.trim().is_empty() {
                        example.parts.push(Part::Text(text));
                    }
                }
                (image, Value::Null) => {
                    source.push_image(image, place, self.missing, example)?;
                    place += 1;
                }
                (_, text) => {
                    return Err(source.malformed(
                        "an image or a text at each place",
                        format!("an image beside {}", text.described()),
                    ));
                }
            }
        }
        source.check_interleaved(example)
    }
}

impl Source<'_> {
    /// Adds an image, or counts it where it is missing and may be.
    pub(super) fn push_image(
        &mut self,
        value: Value,
        place: usize,
        missing: MissingImages,
        example: &mut Example,
    ) -> Result<(), ShardError> {
        let described = value.described();
        match (self.image(value, place)?, missing) {
            (Some(image), _) => example.parts.push(Part::Image(image)),
            (None, MissingImages::LeaveOut) => example.images_left_out += 1,
            (None, MissingImages::Refuse) => {
                return Err(
                    self.malformed(format!("bytes of image {place}"), format!("{described}, which nothing has"))
                );
            }
        }
        Ok(())
    }

    /// That a document holds something, and if it had images not only texts.
    pub(super) fn check_interleaved(&self, example: &Example) -> Result<(), ShardError> {
        if example.parts.is_empty() || (example.images_left_out > 0 && example.images() == 0) {
            let found = format!("{} images left out and no other", example.images_left_out);
            return Err(self.malformed("a document with texts and images", found));
        }
        Ok(())
    }
}

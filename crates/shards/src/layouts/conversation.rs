//! Images and what is said about them, as LLaVA has them (Liu et al., 2023): turns in `conversations`, and `<image>` in a turn
//! where the next image stands.

use serde::{Deserialize, Serialize};

use super::{Shape, Source, owned, trimmed};
use crate::error::ShardError;
use crate::example::{Example, Part, Turn};
use crate::value::Value;

/// Fields of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConversationLayout {
    /// The image or the list of images, where there are any: the first of these fields that is there.
    pub images: Vec<String>,
    /// The list of turns: the first of these fields that is there.
    pub turns: Vec<String>,
    /// In a turn, who speaks: the first of these fields that is there.
    pub from: Vec<String>,
    /// In a turn, what is said: the first of these fields that is there.
    pub said: Vec<String>,
    /// What stands in a turn for an image.
    pub placeholder: String,
}

impl Default for ConversationLayout {
    fn default() -> Self {
        Self {
            images: owned(["image", "images", "jpg", "png", "webp"]),
            turns: owned(["conversations", "messages"]),
            from: owned(["from", "role"]),
            said: owned(["value", "content"]),
            placeholder: "<image>".into(),
        }
    }
}

impl Shape for ConversationLayout {
    fn fields(&self) -> (Vec<Vec<String>>, Vec<String>) {
        (vec![self.turns.clone()], self.images.clone())
    }

    fn fill(&self, source: &mut Source<'_>, example: &mut Example) -> Result<(), ShardError> {
        let turns = source.required(&self.turns)?;
        let turns = source.list("conversations", turns)?;
        let images = match source.take(&self.images) {
            Some(Value::List(images)) => images,
            Some(image) => vec![image],
            None => vec![],
        };
        let given = images.len();
        let mut images = images.into_iter().enumerate();
        let mut places = 0;
        for (number, mut turn) in turns.into_iter().enumerate() {
            let start = example.parts.len();
            let (Some(from), Some(said)) = (first(&mut turn, &self.from), first(&mut turn, &self.said)) else {
                return Err(source.malformed(format!("who speaks and what is said in turn {number}"), turn.described()));
            };
            let (from, said) = (source.text("from", from)?, source.text("value", said)?);
            for (piece, text) in said.split(self.placeholder.as_str()).enumerate() {
                if piece > 0 {
                    places += 1;
                    let Some((place, image)) = images.next() else { continue };
                    let described = image.described();
                    let found = source.image(image, place)?;
                    let missing = || {
                        source.malformed(format!("bytes of image {place}"), format!("{described}, which nothing has"))
                    };
                    example.parts.push(Part::Image(found.ok_or_else(missing)?));
                }
                let text = trimmed(text.to_string());
                if !text.is_empty() {
                    example.parts.push(Part::Text(text));
                }
            }
            example.turns.push(Turn { from, parts: start..example.parts.len() });
        }
        if places != given {
            return Err(source.malformed(
                format!("`{}` once for each of {given} images", self.placeholder),
                format!("{places} of them"),
            ));
        }
        match example.parts.is_empty() {
            true => Err(source.malformed("a conversation in which something is said", "nothing")),
            false => Ok(()),
        }
    }
}

fn first(turn: &mut Value, names: &[String]) -> Option<Value> {
    names.iter().find_map(|name| turn.take(name))
}

//! The message that is answered.

use serde_json::Value;

use crate::api::error::ApiError;
use crate::api::fields::{expected, too_long};
use crate::api::media;
use crate::app::App;
use crate::engine::{Piece, Raster};

/// The most images of a message.
const MOST_IMAGES: usize = 8;

/// The words and images of a message, in reading order; words that are blank are left out.
#[derive(Debug)]
pub(super) struct Message(Vec<Piece>);

impl Message {
    /// The words and images of a message's `content`.
    pub(super) async fn of_content(app: &App, content: &Value) -> Result<Self, ApiError> {
        const NAME: &str = "messages.content";
        let mut pieces = vec![];
        match content {
            Value::Null => {}
            Value::String(text) => pieces.push(Piece::Text(text.clone())),
            Value::Array(parts) => {
                for part in parts {
                    pieces.push(piece(app, part).await?);
                    if pieces.iter().filter(|piece| matches!(piece, Piece::Image(_))).count() > MOST_IMAGES {
                        return Err(ApiError::field(
                            NAME,
                            format!("expected at most {MOST_IMAGES} images, found more"),
                        ));
                    }
                }
            }
            other => return Err(expected(NAME, "words or a list of parts", other)),
        }
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.trim().is_empty()));
        let message = Self(pieces);
        let (found, most) = (message.words().len(), app.config.max_prompt);
        if found > most { Err(too_long(NAME, found, most)) } else { Ok(message) }
    }

    /// All words, line by line.
    pub(super) fn words(&self) -> String {
        let words = self.0.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.trim()),
            Piece::Image(_) => None,
        });
        words.collect::<Vec<_>>().join("\n")
    }

    pub(super) fn images(&self) -> usize {
        self.0.iter().filter(|piece| matches!(piece, Piece::Image(_))).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The image of a message that has one.
    pub(super) fn only_image(self) -> Result<Raster, ApiError> {
        let mut images = self.0.into_iter().filter_map(|piece| match piece {
            Piece::Image(image) => Some(image),
            Piece::Text(_) => None,
        });
        match (images.next(), images.next()) {
            (Some(image), None) => Ok(image),
            _ => Err(ApiError::field("messages.content", "expected one image, found more")),
        }
    }

    pub(super) fn into_pieces(self) -> Vec<Piece> {
        self.0
    }

    /// Its images, and then all its words.
    pub(super) fn images_first(self) -> Vec<Piece> {
        let words = self.words();
        let images = self.0.into_iter().filter(|piece| matches!(piece, Piece::Image(_)));
        images.chain((!words.is_empty()).then_some(Piece::Text(words))).collect()
    }

    /// The same with the images that an answer of this server has beside its content; `images` is null where it has none.
    pub(super) async fn with_images(mut self, app: &App, images: &Value) -> Result<Self, ApiError> {
        for part in images.as_array().into_iter().flatten() {
            self.0.push(piece(app, part).await?);
            if self.images() > MOST_IMAGES {
                let found = format!("expected at most {MOST_IMAGES} images, found more");
                return Err(ApiError::field("messages.images", found));
            }
        }
        Ok(self)
    }
}

async fn piece(app: &App, part: &Value) -> Result<Piece, ApiError> {
    match part["type"].as_str() {
        Some("text") => match part["text"].as_str() {
            Some(text) => Ok(Piece::Text(text.into())),
            None => Err(expected("messages.content.text", "words", &part["text"])),
        },
        Some("image_url") => {
            const NAME: &str = "messages.content.image_url";
            // Some clients give the URL itself in place of an object around it.
            let url = part["image_url"]["url"].as_str().or_else(|| part["image_url"].as_str());
            let url = url.ok_or_else(|| expected(NAME, "an object with a `url`", &part["image_url"]))?;
            Ok(Piece::Image(media::of_data_url(app, NAME, url).await?))
        }
        _ => Err(expected("messages.content.type", "\"text\" or \"image_url\"", &part["type"])),
    }
}

//! The messages of a request.

use serde_json::Value;

use super::message::Message;
use crate::api::error::ApiError;
use crate::api::fields::expected;
use crate::app::App;
use crate::engine::Piece;

/// The messages of a request, those of the system left out, of which the last one of the user is answered.
#[derive(Debug)]
pub(super) struct Conversation(Vec<Value>);

impl Conversation {
    /// `messages` is a list of what has a role.
    pub(super) fn of(messages: Option<Value>) -> Result<Self, ApiError> {
        let Some(messages) = messages else {
            return Err(ApiError::field("messages", "expected a list of messages, found nothing"));
        };
        let Value::Array(mut list) = messages else {
            return Err(expected("messages", "a list of messages", &messages));
        };
        for message in &list {
            let role = &message["role"];
            match role.as_str() {
                Some("user" | "system" | "developer" | "assistant" | "tool") => {}
                _ => return Err(expected("messages.role", "\"user\", \"system\" or \"assistant\"", role)),
            }
        }
        list.retain(|message| !matches!(message["role"].as_str(), Some("system" | "developer")));
        Ok(Self(list))
    }

    /// The last message of the user.
    pub(super) async fn last_of_user(&self, app: &App) -> Result<Message, ApiError> {
        let last = self.0.iter().rev().find(|message| message["role"] == "user");
        let Some(last) = last else {
            return Err(ApiError::field("messages", "expected a message of the role \"user\", found none"));
        };
        Message::of_content(app, &last["content"]).await
    }

    /// Whether the user shows an image anywhere.
    pub(super) fn shows_images(&self) -> bool {
        let of_user = self.0.iter().filter(|message| message["role"] == "user");
        let mut parts = of_user.filter_map(|message| message["content"].as_array()).flatten();
        parts.any(|part| part["type"] == "image_url")
    }

    /// All messages as turns: the user's and the model's one after the other, the first and the last of them the user's.
    pub(super) async fn turns(&self, app: &App) -> Result<Vec<Vec<Piece>>, ApiError> {
        let mut turns = vec![];
        for (place, message) in self.0.iter().enumerate() {
            let wanted = if place % 2 == 0 { "user" } else { "assistant" };
            if message["role"] != wanted {
                let name = format!("messages[{place}].role");
                let role = format!("\"{wanted}\", for the user and the assistant speak in turn and the user begins");
                return Err(expected(&name, &role, &message["role"]));
            }
            let found = Message::of_content(app, &message["content"]).await?;
            let pieces = match wanted {
                "user" => found.images_first(),
                _ => found.with_images(app, &message["images"]).await?.into_pieces(),
            };
            // An answer may be empty, and comes back as it was given.
            if pieces.is_empty() && wanted == "user" {
                let name = format!("messages[{place}].content");
                return Err(ApiError::field(&name, "expected words or an image, found nothing"));
            }
            turns.push(pieces);
        }
        match turns.len() % 2 {
            1 => Ok(turns),
            _ => Err(ApiError::field("messages", "expected the last of them to be the user's, found the assistant's")),
        }
    }
}

//! Answers of a conversation, whole or bit by bit.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::image_part;
use crate::api::error::ApiError;
use crate::api::media;
use crate::api::stream::{Frames, Source, response};
use crate::app::{App, now};
use crate::engine::{Document, EngineError, Piece, Raster};
use crate::queue::{Event, News, Outcome, Ticket};

/// The pieces of an outcome, and whether they were cut.
fn document(outcome: Outcome) -> Document {
    match outcome {
        Outcome::Image(image) => Document { pieces: vec![Piece::Image(image)], is_cut: false },
        Outcome::Document(document) => document,
    }
}

fn reason(is_cut: bool) -> &'static str {
    if is_cut { "length" } else { "stop" }
}

/// Waits for everything.
pub(super) async fn whole(app: &App, mut ticket: Ticket) -> Result<Response, ApiError> {
    let mut documents: Vec<Option<Document>> = vec![None; ticket.count()];
    while documents.contains(&None) {
        if let Event { item, news: News::Done(outcome) } = ticket.next().await?
            && let Some(place) = documents.get_mut(item)
        {
            *place = Some(document(outcome?));
        }
    }
    drop(ticket);
    let mut choices = vec![];
    for (index, document) in documents.into_iter().flatten().enumerate() {
        let finish = reason(document.is_cut);
        let message = message(document.pieces).await?;
        choices.push(json!({ "index": index, "message": message, "logprobs": null, "finish_reason": finish }));
    }
    let mut answer = head(app, app.next_answer(), "chat.completion");
    answer["choices"] = Value::Array(choices);
    Ok(Json(answer).into_response())
}

fn head(app: &App, number: u64, object: &str) -> Value {
    json!({
        "id": format!("chatcmpl-{number}"),
        "object": object,
        "created": now(),
        "model": app.description.id,
    })
}

async fn message(pieces: Vec<Piece>) -> Result<Value, ApiError> {
    let (mut words, mut images) = (vec![], vec![]);
    for piece in pieces {
        match piece {
            Piece::Text(text) => words.push(text),
            Piece::Image(image) => images.push(image_part(&media::png(image).await?)),
        }
    }
    let mut message = json!({ "role": "assistant", "content": words.join("\n"), "refusal": null });
    if !images.is_empty() {
        message["images"] = Value::Array(images);
    }
    Ok(message)
}

/// Answers as they are written.
pub(super) fn stream(app: Arc<App>, ticket: Ticket) -> Response {
    let told = vec![Told::default(); ticket.count()];
    let (left, number) = (ticket.count(), app.next_answer());
    response(ChatStream { app, ticket, number, told, left, is_open: false })
}

/// How much of an answer was told.
#[derive(Debug, Clone, Default)]
struct Told {
    /// What was told last; words after an image begin a line.
    pieces: Vec<Piece>,
}

impl Told {
    fn words(&mut self, words: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push_str(words),
            _ => self.pieces.push(Piece::Text(words.into())),
        }
    }

    /// What is left of a final document after what was told, which should be its beginning.
    fn rest(&self, pieces: Vec<Piece>) -> Result<Vec<Piece>, EngineError> {
        let astray = || EngineError::Failed("the model told other words than it returned".into());
        let mut rest = vec![];
        for (index, piece) in pieces.into_iter().enumerate() {
            match (self.pieces.get(index), piece) {
                (None, piece) => rest.push(piece),
                (Some(Piece::Text(told)), Piece::Text(text)) => match text.strip_prefix(told.as_str()) {
                    Some("") => {}
                    Some(words) => rest.push(Piece::Text(words.into())),
                    None => return Err(astray()),
                },
                (Some(Piece::Image(_)), Piece::Image(_)) => {}
                _ => return Err(astray()),
            }
        }
        Ok(rest)
    }
}

struct ChatStream {
    app: Arc<App>,
    ticket: Ticket,
    number: u64,
    told: Vec<Told>,
    /// Answers that are not at their end.
    left: usize,
    is_open: bool,
}

impl Source for ChatStream {
    async fn next(&mut self) -> Result<Option<Frames>, ApiError> {
        let mut frames = Frames::default();
        if !self.is_open {
            self.is_open = true;
            for index in 0..self.told.len() {
                self.chunk(&mut frames, index, json!({ "role": "assistant", "content": "" }), None);
            }
            return Ok(Some(frames));
        }
        if self.left == 0 {
            return Ok(None);
        }
        let Event { item, news } = self.ticket.next().await?;
        match news {
            News::Preview { .. } => {}
            News::Words(words) => self.words(&mut frames, item, &words),
            News::Drew(image) => self.image(&mut frames, item, image).await?,
            News::Done(outcome) => {
                let Document { pieces, is_cut } = document(outcome?);
                let rest = self.told.get(item).map_or(Ok(vec![]), |told| told.rest(pieces))?;
                for piece in rest {
                    match piece {
                        Piece::Text(words) => self.words(&mut frames, item, &words),
                        Piece::Image(image) => self.image(&mut frames, item, image).await?,
                    }
                }
                self.chunk(&mut frames, item, json!({}), Some(reason(is_cut)));
                self.left -= 1;
                if self.left == 0 {
                    frames.done();
                }
            }
        }
        Ok(Some(frames))
    }
}

impl ChatStream {
    fn words(&mut self, frames: &mut Frames, item: usize, words: &str) {
        let Some(told) = self.told.get_mut(item) else { return };
        // Stretches of words stand on lines of their own, as in a whole answer.
        let follows_image = matches!(told.pieces.last(), Some(Piece::Image(_)));
        let is_later = told.pieces.iter().any(|piece| matches!(piece, Piece::Text(_)));
        told.words(words);
        let content = if follows_image && is_later { format!("\n{words}") } else { words.to_string() };
        self.chunk(frames, item, json!({ "content": content }), None);
    }

    async fn image(&mut self, frames: &mut Frames, item: usize, image: Raster) -> Result<(), ApiError> {
        let part = image_part(&media::png(image.clone()).await?);
        if let Some(told) = self.told.get_mut(item) {
            told.pieces.push(Piece::Image(image));
        }
        self.chunk(frames, item, json!({ "images": [part] }), None);
        Ok(())
    }

    fn chunk(&self, frames: &mut Frames, index: usize, delta: Value, finish: Option<&str>) {
        let mut chunk = head(&self.app, self.number, "chat.completion.chunk");
        chunk["choices"] = json!([{ "index": index, "delta": delta, "logprobs": null, "finish_reason": finish }]);
        frames.plain(&chunk);
    }
}

//! `POST /v1/chat/completions`.
//!
//! The last message of the user is answered. What it asks for follows from what it holds, or from `modalities` where that is
//! given:
//!
//! | the message | `modalities` | answer |
//! |---|---|---|
//! | an image | absent or `["text"]` | its caption |
//! | an image and words | absent or `["text"]` | an answer to them, or where the model answers none the caption |
//! | words, behind a message of the user with an image | absent or `["text"]` | an answer, where the model answers any |
//! | words | `["text"]` | an answer, where the model answers any |
//! | words | absent or `["image"]` | their image |
//! | words and an image | `["image"]` | the image, edited |
//! | anything | `["text", "image"]` | a document of words and images, which begins with the message |
//! | nothing, or words where the model does not draw | absent | a document |
//!
//! An answer to words has all messages before them as its context, the model's own among them; those of the system are not read.
//! Everything else is made of the last message alone.
//!
//! Images of an answer are in `message.images`, each as `{"type": "image_url", "image_url": {"url": "data:image/png;base64,…"}}`.

mod answer;
mod conversation;
mod message;

use std::sync::Arc;

use axum::extract::State;
use axum::http::Request;
use axum::response::Response;
use serde_json::{Value, json};

use super::error::ApiError;
use super::fields::{Fields, expected};
use super::{body, images, model};
use crate::app::App;
use crate::engine::{CaptionSettings, DrawSettings, Drawing, Edit, Piece, Question, WriteSettings, Writing};
use crate::queue::{Previews, Task};
use conversation::Conversation;
use message::Message;

/// Settings of a request.
struct Ask {
    count: u64,
    seed: u64,
    images: DrawSettings,
    temperature: Option<f64>,
    top_p: Option<f64>,
    max_tokens: Option<usize>,
    modalities: Option<Modalities>,
    streams: bool,
}

/// What the answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Modalities {
    text: bool,
    image: bool,
}

/// `POST /v1/chat/completions`
pub(crate) async fn complete(
    State(app): State<Arc<App>>,
    request: Request<axum::body::Body>,
) -> Result<Response, ApiError> {
    let (parts, incoming) = request.into_parts();
    let mut fields = body::read_json(&app, &parts.headers, incoming).await?;
    model::check(&app, &mut fields)?;
    let messages = fields.take("messages");
    let ask = Ask::take(&app, &mut fields)?;
    fields.finish()?;
    let conversation = Conversation::of(messages)?;
    let message = conversation.last_of_user(&app).await?;
    let tasks = match ask.is_question(&app, &message, &conversation) {
        true => answer(&ask, conversation.turns(&app).await?),
        false => tasks(&app, &ask, message)?,
    };
    let ticket = app.submit(tasks, Previews::NONE)?;
    match ask.streams {
        true => Ok(answer::stream(app, ticket)),
        false => answer::whole(&app, ticket).await,
    }
}

impl Ask {
    fn take(app: &App, fields: &mut Fields) -> Result<Self, ApiError> {
        let limit = 1..=1 << 20;
        let max_tokens = match fields.whole("max_completion_tokens", limit.clone())? {
            None => fields.whole("max_tokens", limit)?,
            some => {
                fields.ignore(&["max_tokens"]);
                some
            }
        };
        let top_p = fields.number("top_p", 0.0..=1.0)?;
        if top_p == Some(0.0) {
            return Err(expected("top_p", "a probability above 0, to 1", &json!(0)));
        }
        let ask = Self {
            count: fields.whole("n", 1..=app.config.max_images as u64)?.unwrap_or(1),
            seed: images::seed(fields)?,
            images: images::settings(app, fields)?,
            temperature: fields.number("temperature", 0.0..=2.0)?,
            top_p,
            max_tokens: max_tokens.map(|tokens| tokens as usize),
            modalities: modalities(fields)?,
            streams: fields.flag("stream")?,
        };
        refuse_others(fields)?;
        Ok(ask)
    }

    /// Whether it asks for an answer in words to words, from a model that answers any.
    fn is_question(&self, app: &App, message: &Message, conversation: &Conversation) -> bool {
        let asks_for_words = match self.modalities {
            None => conversation.shows_images(),
            Some(modalities) => modalities == Modalities { text: true, image: false },
        };
        asks_for_words && app.description.abilities.answers && !message.words().is_empty()
    }

    fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        let seed = self.seed;
        (0..self.count).map(move |answer| seed.wrapping_add(answer))
    }
}

fn modalities(fields: &mut Fields) -> Result<Option<Modalities>, ApiError> {
    let Some(value) = fields.take("modalities") else { return Ok(None) };
    let mut found = Modalities { text: false, image: false };
    for modality in value.as_array().map(Vec::as_slice).unwrap_or_default() {
        match modality.as_str() {
            Some("text") => found.text = true,
            Some("image") => found.image = true,
            _ => return Err(expected("modalities", "\"text\" or \"image\"", modality)),
        }
    }
    match found.text || found.image {
        true => Ok(Some(found)),
        false => Err(expected("modalities", "a list of \"text\" and \"image\"", &value)),
    }
}

/// Fields of OpenAI that the model has no answer to may only say what holds anyway.
fn refuse_others(fields: &mut Fields) -> Result<(), ApiError> {
    let zero = [json!(0), json!(0.0)];
    fields.only("frequency_penalty", &zero)?;
    fields.only("presence_penalty", &zero)?;
    fields.only("logprobs", &[json!(false)])?;
    fields.only("stop", &[json!([])])?;
    fields.only("tools", &[json!([])])?;
    fields.only("tool_choice", &[json!("none"), json!("auto")])?;
    fields.only("logit_bias", &[json!({})])?;
    fields.only("response_format", &[json!({ "type": "text" })])?;
    fields.ignore(&["user", "metadata", "store", "service_tier", "stream_options", "parallel_tool_calls"]);
    fields.ignore(&["safety_identifier", "prompt_cache_key", "reasoning_effort", "verbosity"]);
    Ok(())
}

/// What is asked of the engine.
fn tasks(app: &App, ask: &Ask, message: Message) -> Result<Vec<Task>, ApiError> {
    let abilities = app.description.abilities;
    let cannot = |task| Err(ApiError::cannot(&app.description.id, task));
    let (words, has_image) = (message.words(), message.images() > 0);
    let wants = |text, image| ask.modalities == Some(Modalities { text, image });
    let by_itself = ask.modalities.is_none();
    if has_image && (by_itself || wants(true, false)) {
        return if abilities.captions { caption(ask, message) } else { cannot("caption images") };
    }
    if has_image && wants(false, true) {
        return if abilities.edits { edit(ask, words, message) } else { cannot("edit images") };
    }
    let draws = by_itself && abilities.draws && !words.is_empty();
    if draws || wants(false, true) {
        let drawing = |seed| Task::Draw(ask.images, Drawing { prompt: words.clone(), seed });
        return if abilities.draws { Ok(ask.seeds().map(drawing).collect()) } else { cannot("draw images") };
    }
    if !abilities.writes {
        return cannot("write by itself; expected an image to caption or words to draw");
    }
    if !message.is_empty() && !abilities.continues {
        return cannot("write on where a message ends; expected a message without content");
    }
    Ok(write(ask, message))
}

fn caption(ask: &Ask, message: Message) -> Result<Vec<Task>, ApiError> {
    let image = message.only_image()?;
    let settings = CaptionSettings { max_tokens: ask.max_tokens };
    Ok(ask.seeds().map(|_| Task::Caption(settings, image.clone())).collect())
}

fn answer(ask: &Ask, turns: Vec<Vec<Piece>>) -> Vec<Task> {
    let settings = CaptionSettings { max_tokens: ask.max_tokens };
    let question = Question { turns };
    ask.seeds().map(|_| Task::Answer(settings, question.clone())).collect()
}

fn edit(ask: &Ask, prompt: String, message: Message) -> Result<Vec<Task>, ApiError> {
    let image = message.only_image()?;
    let change = |seed| Edit { image: image.clone(), mask: None, prompt: prompt.clone(), seed };
    Ok(ask.seeds().map(|seed| Task::Edit(ask.images, change(seed))).collect())
}

fn write(ask: &Ask, message: Message) -> Vec<Task> {
    let settings = WriteSettings {
        temperature: ask.temperature,
        top_p: ask.top_p,
        max_tokens: ask.max_tokens,
        images: ask.images,
    };
    let beginning: Vec<Piece> = message.into_pieces();
    ask.seeds().map(|seed| Task::Write(settings, Writing { beginning: beginning.clone(), seed })).collect()
}

/// An image of an answer.
fn image_part(base64: &str) -> Value {
    json!({ "type": "image_url", "image_url": { "url": super::media::data_url(base64) } })
}

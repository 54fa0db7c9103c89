//! `POST /v1/images/generations` and `POST /v1/images/edits`.
//!
//! Besides OpenAI's fields there are `seed`, `guidance` and `steps`; images of one request have seeds that follow one another.
//! `partial_images` may be as large as `steps`.

mod form;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Request;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::error::ApiError;
use super::fields::Fields;
use super::stream::{Frames, Source, response};
use super::{body, media, model};
use crate::app::{App, now};
use crate::engine::{DrawSettings, Drawing, Edit, ImageSize, Raster};
use crate::queue::{Event, News, Outcome, Previews, Task, Ticket};

/// Settings of a request for images.
struct Order {
    prompt: String,
    count: u64,
    seed: u64,
    settings: DrawSettings,
    /// Whether images come as data URLs.
    as_url: bool,
    streams: bool,
    previews: Previews,
}

impl Order {
    /// Of a request that may choose among `sizes` beside the model's own.
    fn take(app: &App, fields: &mut Fields, sizes: &[ImageSize]) -> Result<Self, ApiError> {
        model::check(app, fields)?;
        let prompt = fields.text("prompt", app.config.max_prompt)?;
        let prompt = prompt.ok_or_else(|| ApiError::field("prompt", "expected words, found nothing"))?;
        let order = Self {
            prompt,
            count: fields.whole("n", 1..=app.config.max_images as u64)?.unwrap_or(1),
            seed: seed(fields)?,
            settings: DrawSettings { size: size(app, fields, sizes)?, ..settings(app, fields)? },
            as_url: fields.choice("response_format", &["b64_json", "url"])? == Some("url"),
            streams: fields.flag("stream")?,
            previews: Previews(fields.whole("partial_images", 0..=app.config.max_steps as u64)?.unwrap_or(0) as usize),
        };
        fields.only("output_format", &[json!("png")])?;
        fields.only("background", &[json!("opaque"), json!("auto")])?;
        fields.ignore(&["quality", "style", "user", "moderation", "output_compression", "input_fidelity"]);
        Ok(order)
    }

    fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        let seed = self.seed;
        (0..self.count).map(move |image| seed.wrapping_add(image))
    }
}

/// The seed of a request; 0 if absent, so that the same request has the same answer.
pub(super) fn seed(fields: &mut Fields) -> Result<u64, ApiError> {
    Ok(fields.whole("seed", 0..=u64::MAX)?.unwrap_or(0))
}

/// The size that a request asks for, one of `sizes` or the model's own; none where that is it.
fn size(app: &App, fields: &mut Fields, sizes: &[ImageSize]) -> Result<Option<ImageSize>, ApiError> {
    let own = std::iter::once(app.description.size());
    let names: Vec<Value> = own.chain(sizes.iter().copied()).map(|size| json!(size.to_string())).collect();
    let wanted = fields.only("size", &[&names[..], &[json!("auto")]].concat())?;
    Ok(sizes.iter().copied().find(|size| wanted.as_ref().is_some_and(|wanted| *wanted == json!(size.to_string()))))
}

/// How images are generated, or as the model does it by itself.
pub(super) fn settings(app: &App, fields: &mut Fields) -> Result<DrawSettings, ApiError> {
    let defaults = app.description.defaults;
    let steps = fields.whole("steps", 1..=app.config.max_steps as u64)?;
    Ok(DrawSettings {
        steps: steps.map_or(defaults.steps, |steps| steps as usize),
        guidance: fields.number("guidance", 0.0..=100.0)?.unwrap_or(defaults.guidance),
        size: None,
    })
}

/// `POST /v1/images/generations`
pub(crate) async fn generate(
    State(app): State<Arc<App>>,
    request: Request<axum::body::Body>,
) -> Result<Response, ApiError> {
    let (parts, incoming) = request.into_parts();
    let mut fields = body::read_json(&app, &parts.headers, incoming).await?;
    let order = Order::take(&app, &mut fields, &app.description.sizes)?;
    fields.finish()?;
    if !app.description.abilities.draws {
        return Err(ApiError::cannot(&app.description.id, "draw images"));
    }
    let drawing = |seed| Task::Draw(order.settings, Drawing { prompt: order.prompt.clone(), seed });
    let tasks = order.seeds().map(drawing).collect();
    answer(app, order, tasks, "image_generation").await
}

/// `POST /v1/images/edits`
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    request: Request<axum::body::Body>,
) -> Result<Response, ApiError> {
    let (parts, incoming) = request.into_parts();
    let form = form::read(&app, &parts.headers, incoming).await?;
    if !app.description.abilities.edits {
        return Err(ApiError::cannot(&app.description.id, "edit images"));
    }
    let mut fields = Fields::of_form(form.texts);
    let order = Order::take(&app, &mut fields, &[])?;
    fields.finish()?;
    let Some(image) = form.image else {
        return Err(ApiError::field("image", "expected a file, found nothing"));
    };
    let image = media::of_file(&app, "image", image, app.description.image.channels).await?;
    let mask = match form.mask {
        Some(mask) => Some(mask_for(&app, mask, &image).await?),
        None => None,
    };
    let change = |seed| {
        let edit = Edit { image: image.clone(), mask: mask.clone(), prompt: order.prompt.clone(), seed };
        Task::Edit(order.settings, edit)
    };
    let tasks = order.seeds().map(change).collect();
    answer(app, order, tasks, "image_edit").await
}

/// OpenAI's masks are transparent where the image may change, and on white that is white.
async fn mask_for(app: &App, mask: Vec<u8>, image: &Raster) -> Result<Raster, ApiError> {
    let mask = media::of_file(app, "mask", mask, 1).await?;
    let (expected, found) = ([image.width(), image.height()], [mask.width(), mask.height()]);
    if expected != found {
        let [[w, h], [x, y]] = [expected, found];
        return Err(ApiError::field("mask", format!("expected {w} x {h} pixels, as the image has, found {x} x {y}")));
    }
    Ok(mask)
}

async fn answer(app: Arc<App>, order: Order, tasks: Vec<Task>, event: &'static str) -> Result<Response, ApiError> {
    let previews = if order.streams { order.previews } else { Previews::NONE };
    let mut ticket = app.submit(tasks, previews)?;
    if order.streams {
        let left = ticket.count();
        return Ok(response(ImageStream { app, order, ticket, left, event, partial: 0 }));
    }
    let mut images: Vec<Option<Raster>> = vec![None; ticket.count()];
    while images.contains(&None) {
        if let Event { item, news: News::Done(outcome) } = ticket.next().await?
            && let Some(place) = images.get_mut(item)
        {
            *place = Some(image_of(outcome?)?);
        }
    }
    drop(ticket);
    let mut data = vec![];
    for (image, seed) in images.into_iter().flatten().zip(order.seeds()) {
        let base64 = media::png(image).await?;
        data.push(match order.as_url {
            true => json!({ "url": media::data_url(&base64), "seed": seed }),
            false => json!({ "b64_json": base64, "seed": seed }),
        });
    }
    let mut answer = described(&app, &order);
    answer["created"] = json!(now());
    answer["data"] = Value::Array(data);
    Ok(Json(answer).into_response())
}

fn image_of(outcome: Outcome) -> Result<Raster, ApiError> {
    match outcome {
        Outcome::Image(image) => Ok(image),
        Outcome::Document(_) => Err(crate::engine::EngineError::Failed("the model returned no image".into()).into()),
    }
}

/// What all answers say of their images.
fn described(app: &App, order: &Order) -> Value {
    let size = order.settings.size.unwrap_or(app.description.size()).to_string();
    json!({ "background": "opaque", "output_format": "png", "quality": "auto", "size": size })
}

/// Images of one request as they become ready, with those before them.
struct ImageStream {
    app: Arc<App>,
    order: Order,
    ticket: Ticket,
    /// Images that are not ready.
    left: usize,
    event: &'static str,
    /// Intermediate images so far.
    partial: u64,
}

impl Source for ImageStream {
    async fn next(&mut self) -> Result<Option<Frames>, ApiError> {
        if self.left == 0 {
            return Ok(None);
        }
        let Event { item, news } = self.ticket.next().await?;
        let (kind, image) = match news {
            News::Done(outcome) => ("completed", image_of(outcome?)?),
            News::Preview { done, of, image } => {
                let mut data = self.of_item(item, "partial_image");
                data["partial_image_index"] = json!(self.partial);
                data["step"] = json!(done);
                data["steps"] = json!(of);
                self.partial += 1;
                return self.frame(data, image).await.map(Some);
            }
            News::Words(_) | News::Drew(_) => return Ok(Some(Frames::default())),
        };
        self.left -= 1;
        let data = self.of_item(item, kind);
        self.frame(data, image).await.map(Some)
    }
}

impl ImageStream {
    fn of_item(&self, item: usize, kind: &str) -> Value {
        let mut data = described(&self.app, &self.order);
        data["type"] = json!(format!("{}.{kind}", self.event));
        data["created_at"] = json!(now());
        data["index"] = json!(item);
        data["seed"] = json!(self.order.seed.wrapping_add(item as u64));
        data
    }

    async fn frame(&self, mut data: Value, image: Raster) -> Result<Frames, ApiError> {
        data["b64_json"] = Value::String(media::png(image).await?);
        let mut frames = Frames::default();
        let name = data["type"].as_str().unwrap_or_default().to_string();
        frames.named(&name, &data);
        Ok(frames)
    }
}

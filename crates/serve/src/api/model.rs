//! `GET /v1/models`, `GET /v1/models/{id}` and the name of the model in requests.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::error::ApiError;
use super::fields::Fields;
use crate::app::App;

/// Takes the field `model`, which names the served model or is absent.
pub(super) fn check(app: &App, fields: &mut Fields) -> Result<(), ApiError> {
    match fields.text("model", 4096)? {
        Some(found) if found != app.description.id => Err(unknown(app, &found)),
        _ => Ok(()),
    }
}

fn unknown(app: &App, found: &str) -> ApiError {
    let found: String = found.chars().take(80).collect();
    let message = format!("model: expected `{}`, found {found:?}", app.description.id);
    let error = ApiError::new(StatusCode::NOT_FOUND, message).with_code("model_not_found");
    ApiError { param: Some("model".into()), ..error }
}

/// `GET /v1/models`
pub(crate) async fn list(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({ "object": "list", "data": [described(&app)] }))
}

/// `GET /v1/models/{id}`
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    match id {
        Ok(Path(id)) if id == app.description.id => Ok(Json(described(&app))),
        Ok(Path(id)) => Err(unknown(&app, &id)),
        Err(error) => Err(ApiError::new(StatusCode::BAD_REQUEST, error.body_text())),
    }
}

fn described(app: &App) -> Value {
    let description = &app.description;
    json!({
        "id": description.id,
        "object": "model",
        "created": 0,
        "owned_by": "interfuse",
        "abilities": description.abilities,
    })
}

/// `GET /status`: what the page has to know of the model, and how busy it is.
pub(crate) async fn status(State(app): State<Arc<App>>) -> Json<Value> {
    let config = &app.config;
    Json(json!({
        "model": app.description,
        "limits": {
            "images": config.max_images,
            "steps": config.max_steps,
            "prompt": config.max_prompt,
            "body": config.max_body,
            "pixels": config.max_pixels,
        },
        "training": app.training.is_some(),
        "load": app.queue.load(),
    }))
}

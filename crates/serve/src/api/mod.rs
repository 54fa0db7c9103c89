//! The interface in OpenAI's form, and what the page asks for besides.

mod body;
mod chat;
pub(crate) mod error;
mod fields;
mod images;
mod media;
mod model;
mod stream;
mod training;

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post};

use crate::app::App;
use error::ApiError;

/// All routes but those of the page.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/images/generations", post(images::generate))
        .route("/v1/images/edits", post(images::edit))
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/models", get(model::list))
        // Names of models may have slashes in them.
        .route("/v1/models/{*id}", get(model::one))
        .route("/status", get(model::status))
        .route("/training", get(training::state))
        .route("/training/preview.png", get(training::preview))
}

/// The answer where there is nothing.
pub(crate) async fn nothing_here(uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(80).collect();
    ApiError::new(StatusCode::NOT_FOUND, format!("there is nothing at {path}")).with_code("unknown_path")
}

/// The answer where there is something, but not for this method.
pub(crate) async fn other_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method, which `Allow` names")
        .with_code("method_not_allowed")
}

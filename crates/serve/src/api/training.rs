//! `GET /training` and `GET /training/preview.png`: a training run while it goes on.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::error::ApiError;
use crate::app::App;
use crate::training::{Training, curves};

fn of(app: &App) -> Result<Arc<dyn Training>, ApiError> {
    let none = || ApiError::new(StatusCode::NOT_FOUND, "no training run is watched here").with_code("no_training");
    app.training.clone().ok_or_else(none)
}

/// Reads files on a thread that may wait for them.
async fn read<T: Send + 'static>(
    training: Arc<dyn Training>,
    what: impl FnOnce(&dyn Training) -> Result<T, crate::training::TrainingError> + Send + 'static,
) -> Result<T, ApiError> {
    let failed =
        |message: String| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message).with_code("unreadable_run");
    match tokio::task::spawn_blocking(move || what(&*training)).await {
        Ok(read) => read.map_err(|error| failed(error.to_string())),
        Err(_) => Err(failed("the training run could not be read".into())),
    }
}

/// `GET /training?after=STEP`: the state, and the points of the curves after a step.
pub(crate) async fn state(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Result<Json<Value>, ApiError> {
    let training = of(&app)?;
    let after = after(query.as_deref().unwrap_or_default())?;
    let answer = read(training, move |training| {
        let status = training.status()?;
        let curves = curves::of(training.metrics(after)?);
        Ok(json!({ "status": status, "curves": curves }))
    });
    Ok(Json(answer.await?))
}

/// The step of the query, if it has one.
fn after(query: &str) -> Result<Option<u64>, ApiError> {
    let mut after = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("after", step)) => {
                let wrong = || ApiError::field("after", "expected a step, a whole number from 0");
                after = Some(step.parse().map_err(|_| wrong())?);
            }
            // The page asks for a preview by its step, so that it is not taken for an older one.
            Some(("step", _)) => {}
            _ => return Err(ApiError::new(StatusCode::BAD_REQUEST, "the query: expected `after=STEP`")),
        }
    }
    Ok(after)
}

/// `GET /training/preview.png`: the newest preview.
pub(crate) async fn preview(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let preview = read(of(&app)?, |training| training.preview()).await?;
    let none = || ApiError::new(StatusCode::NOT_FOUND, "the training run has no preview yet").with_code("no_preview");
    let preview = preview.ok_or_else(none)?;
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("image/png"));
    Ok(([kind], preview.png).into_response())
}

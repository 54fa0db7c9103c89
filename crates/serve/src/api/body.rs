//! The body of a request: all of it, in time, and no larger than allowed.

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use super::error::ApiError;
use super::fields::Fields;
use crate::app::App;

/// Reads a whole body.
pub(crate) async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > app.config.max_body as u64) {
        return Err(too_large(app));
    }
    match tokio::time::timeout(app.config.read_timeout(), collect(app, body)).await {
        Ok(read) => read,
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not arrive within {} seconds", app.config.read_timeout),
        )),
    }
}

async fn collect(app: &App, mut body: Body) -> Result<Bytes, ApiError> {
    let mut read = BytesMut::new();
    // What all bodies together take up is bounded too; the room is given back with the permit.
    let mut room = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::new(StatusCode::BAD_REQUEST, format!("the body could not be read to its end: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > app.config.max_body {
            return Err(too_large(app));
        }
        app.uploads.take(&mut room, data.len())?;
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

fn too_large(app: &App) -> ApiError {
    let limit = app.config.max_body;
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body: expected at most {limit} bytes, found more"))
}

/// Reads a JSON object. Its type has to be said: a page of another site cannot say it without asking first.
pub(crate) async fn read_json(app: &App, headers: &HeaderMap, body: Body) -> Result<Fields, ApiError> {
    expect_type(headers, "application/json")?;
    Fields::of_json(&read(app, headers, body).await?)
}

/// Checks the type of a body, whatever its parameters.
pub(crate) fn expect_type(headers: &HeaderMap, expected: &str) -> Result<(), ApiError> {
    let found = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("none");
    let kind = found.split(';').next().unwrap_or_default().trim();
    match kind.eq_ignore_ascii_case(expected) {
        true => Ok(()),
        false => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("Content-Type: expected {expected}, found {}", kind.chars().take(80).collect::<String>()),
        )),
    }
}

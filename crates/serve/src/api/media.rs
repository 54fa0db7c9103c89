//! Images in and out: data URLs, base64 and PNG, on threads that may take their time.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::ApiError;
use crate::app::App;
use crate::engine::Raster;

/// An image as PNG in base64.
pub(crate) async fn png(image: Raster) -> Result<String, ApiError> {
    let written = tokio::task::spawn_blocking(move || image.to_png().map(|file| STANDARD.encode(file))).await;
    match written {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        Err(_) => Err(interrupted()),
    }
}

/// The data URL of a PNG in base64.
pub(crate) fn data_url(base64: &str) -> String {
    format!("data:image/png;base64,{base64}")
}

/// The image of a field that holds a data URL. Nothing is ever fetched for a client.
pub(crate) async fn of_data_url(app: &App, name: &str, url: &str) -> Result<Raster, ApiError> {
    const EXPECTED: &str = "expected an image as `data:image/png;base64,…`; nothing is fetched from elsewhere";
    let base64 = url
        .strip_prefix("data:image/")
        .and_then(|rest| rest.split_once(','))
        .filter(|(kind, _)| kind.ends_with(";base64") && kind.len() <= 40)
        .map(|(_, base64)| base64);
    let Some(base64) = base64 else { return Err(ApiError::field(name, EXPECTED)) };
    let file = STANDARD.decode(base64).map_err(|error| ApiError::field(name, format!("not base64: {error}")))?;
    of_file(app, name, file, app.description.image.channels).await
}

/// The image of a field that holds a file.
pub(crate) async fn of_file(app: &App, name: &str, file: Vec<u8>, channels: u8) -> Result<Raster, ApiError> {
    let limit = app.config.max_pixels;
    let read = tokio::task::spawn_blocking(move || Raster::decode(&file, channels, limit)).await;
    match read {
        Ok(read) => read.map_err(|error| ApiError::field(name, error)),
        // A decoder that panics has met a file that it should have refused.
        Err(_) => Err(ApiError::field(name, "the image cannot be read")),
    }
}

fn interrupted() -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the image could not be written")
}

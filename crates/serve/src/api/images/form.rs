//! The form of a request for edits.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use multer::Multipart;

use crate::api::body;
use crate::api::error::ApiError;
use crate::app::App;

/// What was sent.
#[derive(Debug, Default)]
pub(super) struct Form {
    pub(super) image: Option<Vec<u8>>,
    pub(super) mask: Option<Vec<u8>>,
    pub(super) texts: Vec<(String, String)>,
}

/// The most parts of a form; OpenAI's has fewer.
const MOST_PARTS: usize = 32;

/// Reads a form whole. What files are called is of no interest: nothing is written anywhere.
pub(super) async fn read(app: &App, headers: &HeaderMap, incoming: Body) -> Result<Form, ApiError> {
    body::expect_type(headers, "multipart/form-data")?;
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind).map_err(torn)?;
    let bytes = body::read(app, headers, incoming).await?;
    let once = futures_util::stream::once(async move { Ok::<_, std::convert::Infallible>(bytes) });
    let mut parts = Multipart::new(once, boundary);
    let mut form = Form::default();
    for _ in 0..MOST_PARTS {
        let Some(part) = parts.next_field().await.map_err(torn)? else { return Ok(form) };
        let name = part.name().unwrap_or_default().to_string();
        let data = part.bytes().await.map_err(torn)?;
        match name.as_str() {
            "image" | "image[]" if form.image.is_some() => {
                return Err(ApiError::field("image", "expected one image, found more"));
            }
            "image" | "image[]" => form.image = Some(data.to_vec()),
            "mask" => form.mask = Some(data.to_vec()),
            _ => match String::from_utf8(data.to_vec()) {
                Ok(text) => form.texts.push((name, text)),
                Err(_) => return Err(ApiError::field(&shortened(&name), "expected words, found bytes that are none")),
            },
        }
    }
    Err(ApiError::new(StatusCode::BAD_REQUEST, format!("the form: expected at most {MOST_PARTS} parts, found more")))
}

fn torn(error: multer::Error) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, format!("the form cannot be read: {error}"))
}

fn shortened(name: &str) -> String {
    name.chars().take(80).collect()
}

//! Answers that come bit by bit, as server-sent events.

use std::future::Future;
use std::pin::Pin;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::error::ApiError;

/// Events that are on their way together.
#[derive(Debug, Default)]
pub(crate) struct Frames(String);

impl Frames {
    /// An event with a name.
    pub(crate) fn named(&mut self, name: &str, data: &Value) {
        self.0.push_str(&format!("event: {name}\ndata: {data}\n\n"));
    }

    /// An event without one.
    pub(crate) fn plain(&mut self, data: &Value) {
        self.0.push_str(&format!("data: {data}\n\n"));
    }

    /// What closes a stream of a conversation.
    pub(crate) fn done(&mut self) {
        self.0.push_str("data: [DONE]\n\n");
    }
}

/// Something that yields events until it has none.
pub(crate) trait Source: Send + Sized + 'static {
    /// The next events; none at the end. May wait, and may yield an empty list.
    fn next(&mut self) -> impl Future<Output = Result<Option<Frames>, ApiError>> + Send;
}

/// The response of a source. When the client goes, the source is dropped, and what it waits for with it.
pub(crate) fn response<S: Source>(source: S) -> Response {
    let stream = futures_util::stream::unfold(Some(source), |source| -> Pin<Box<dyn Future<Output = _> + Send>> {
        Box::pin(async move {
            let mut source = source?;
            match source.next().await {
                Ok(Some(frames)) => Some((Ok::<_, std::convert::Infallible>(frames.0), Some(source))),
                Ok(None) => None,
                Err(error) => {
                    let mut frames = Frames::default();
                    frames.named("error", &error.body());
                    Some((Ok(frames.0), None))
                }
            }
        })
    });
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    let never = HeaderValue::from_static("no-store");
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, never)];
    (StatusCode::OK, headers, Body::from_stream(stream)).into_response()
}

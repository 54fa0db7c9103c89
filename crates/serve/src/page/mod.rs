//! The page at `/`: plain HTML, CSS and JavaScript, which lie in the program as they lie here.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::app::App;

const FILES: [(&str, &str, &str); 13] = [
    ("/", "text/html; charset=utf-8", include_str!("index.html")),
    ("/style.css", "text/css; charset=utf-8", include_str!("style.css")),
    ("/app.js", SCRIPT, include_str!("app.js")),
    ("/client.js", SCRIPT, include_str!("client.js")),
    ("/controls.js", SCRIPT, include_str!("controls.js")),
    ("/gallery.js", SCRIPT, include_str!("gallery.js")),
    ("/draw.js", SCRIPT, include_str!("draw.js")),
    ("/compare.js", SCRIPT, include_str!("compare.js")),
    ("/read.js", SCRIPT, include_str!("read.js")),
    ("/write.js", SCRIPT, include_str!("write.js")),
    ("/chart.js", SCRIPT, include_str!("chart.js")),
    ("/training.js", SCRIPT, include_str!("training.js")),
    ("/icon.svg", "image/svg+xml", include_str!("icon.svg")),
];
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files of the page. They hold nothing of the model, so they are given without a key, for which the page then asks.
pub(crate) fn routes() -> Router<Arc<App>> {
    FILES.into_iter().fold(Router::new(), |router, (path, kind, text)| {
        router.route(path, get(move || async move { file(kind, text) }))
    })
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text)
}

//! What is wrong with a request, in OpenAI's form:
//!
//! ```json
//! {"error": {"message": "…", "type": "invalid_request_error", "param": "steps", "code": null}}
//! ```

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::engine::EngineError;
use crate::queue::{Refusal, Silence};

/// What a client is told instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// The field at fault.
    pub(crate) param: Option<String>,
    pub(crate) code: Option<&'static str>,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: None, retry_after: None }
    }

    /// A field is not as it should be; `message` says what was expected and what was found.
    pub(crate) fn field(name: &str, message: impl std::fmt::Display) -> Self {
        let error = Self::new(StatusCode::BAD_REQUEST, format!("{name}: {message}"));
        Self { param: Some(name.into()), ..error }
    }

    /// The model cannot do what is asked.
    pub(crate) fn cannot(model: &str, task: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("the model `{model}` cannot {task}")).with_code("unsupported_task")
    }

    #[must_use]
    pub(crate) fn with_code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    pub(crate) fn body(&self) -> Value {
        json!({ "error": {
            "message": self.message,
            "type": kind(self.status),
            "param": self.param,
            "code": self.code,
        } })
    }
}

fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => "timeout_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full { retry_after } => Self {
                retry_after: Some(retry_after),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too many requests wait already; ask again later")
                    .with_code("queue_full")
            },
            Refusal::Closed => ending(),
        }
    }
}

impl From<Silence> for ApiError {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::TimedOut => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "the time for this request was over before it was answered; its computation was stopped",
            )
            .with_code("timeout"),
            Silence::Halted => ending(),
        }
    }
}

fn ending() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the server is about to end").with_code("ending")
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Refused(message) => Self::new(StatusCode::BAD_REQUEST, message).with_code("refused_by_model"),
            EngineError::Failed(message) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, message).with_code("model_failed")
            }
            EngineError::Stopped => {
                Self::from(EngineError::Failed("the model stopped, though nobody told it to".into()))
            }
        }
    }
}

//! How a request is refused: OpenAI's error object, which its clients know how to read.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request was not answered with a verdict. **No verdict is not a safe verdict.**
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// A short name for programs, such as `queue_full`.
    pub(crate) code: &'static str,
    /// For people. Never holds a checked text.
    pub(crate) message: String,
    /// The field of the request that is wrong, if it is one.
    pub(crate) param: Option<&'static str>,
}

/// Seconds that a refused client is asked to wait.
const RETRY_AFTER_SECONDS: &str = "1";

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            param: None,
        }
    }

    /// A request that cannot be answered as it is.
    pub(crate) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        Self {
            param: Some(param),
            ..Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
        }
    }

    pub(crate) fn queue_full() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "queue_full",
            "too many texts wait to be checked; send this again after a second",
        )
    }

    /// `type` in OpenAI's shape.
    fn kind(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            429 => "rate_limit_error",
            400..500 => "invalid_request_error",
            _ => "server_error",
        }
    }

    /// The body: `{"error": {message, type, param, code}}`.
    pub(crate) fn body(&self) -> serde_json::Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind(),
            "param": self.param,
            "code": self.code,
        }})
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        if matches!(self.status.as_u16(), 429 | 503) {
            let after = HeaderValue::from_static(RETRY_AFTER_SECONDS);
            response.headers_mut().insert(header::RETRY_AFTER, after);
        }
        // For the log and the metrics, which count errors by their code.
        response.extensions_mut().insert(ErrorCode(self.code));
        response
    }
}

/// The code of the error that a response tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorCode(pub(crate) &'static str);

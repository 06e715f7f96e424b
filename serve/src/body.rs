//! The body of a request, as JSON.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

use crate::error::ApiError;

/// A JSON object, and the bytes that it was read from.
pub(crate) struct JsonObject {
    pub(crate) fields: Map<String, Value>,
    pub(crate) bytes: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for JsonObject {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        // Also what keeps other sites' pages out: a browser asks before it sends JSON elsewhere.
        if !is_json(request.headers()) {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                "expected a body with content-type: application/json",
            ));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(unread)?;
        Self::parse(bytes)
    }
}

impl JsonObject {
    /// Reads an object; the message about what is wrong gives a place, and nothing of the text.
    pub(crate) fn parse(bytes: Bytes) -> Result<Self, ApiError> {
        let parsed = serde_json::from_slice(&bytes);
        let value = parsed.map_err(|cause| {
            let (line, column) = (cause.line(), cause.column());
            bad(format!(
                "the body is not JSON: line {line}, column {column}"
            ))
        })?;
        match value {
            Value::Object(fields) => Ok(Self { fields, bytes }),
            _ => Err(bad("the body is not a JSON object".to_owned())),
        }
    }
}

/// Whether a message says that it is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
        || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn bad(message: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", message)
}

fn unread(cause: BytesRejection) -> ApiError {
    match cause.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "the body is larger than this server takes; send the texts in several requests",
        ),
        _ => bad("the body could not be read to its end".to_owned()),
    }
}

/// The text of a field that may be left out or null.
pub(crate) fn optional_text(
    fields: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<String>, ApiError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(expected(name, "a string", other)),
    }
}

/// A field has the wrong type.
pub(crate) fn expected(name: &'static str, what: &str, found: &Value) -> ApiError {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    ApiError::invalid(name, format!("{name}: expected {what}, found {found}"))
}

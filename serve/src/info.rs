//! What the server says about itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};

use crate::app::App;
use crate::error::ApiError;

/// The description of every address, as OpenAPI 3.1.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");
/// The page for people.
pub(crate) const PAGE: &str = include_str!("page.html");
/// The page may ask this server, and nobody else.
const PAGE_MAY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                        connect-src 'self'; base-uri 'none'; form-action 'none'; \
                        frame-ancestors 'none'";

pub(crate) async fn page() -> Response {
    let may = [
        (header::CONTENT_SECURITY_POLICY, PAGE_MAY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (may, Html(PAGE)).into_response()
}

pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

pub(crate) async fn health(State(app): State<Arc<App>>) -> Response {
    let ready = app.is_ready();
    (status(ready), Json(json!({"live": true, "ready": ready}))).into_response()
}

pub(crate) async fn live() -> Json<Value> {
    Json(json!({"live": true}))
}

pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    let ready = app.is_ready();
    (status(ready), Json(json!({"ready": ready}))).into_response()
}

fn status(ready: bool) -> StatusCode {
    match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

pub(crate) async fn models(State(app): State<Arc<App>>) -> Json<Value> {
    let manifest = app.model.manifest();
    Json(json!({"object": "list", "data": [{
        "id": manifest.name,
        "object": "model",
        "created": app.started,
        "owned_by": "duoguard",
        "categories": manifest.categories,
    }]}))
}

pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    app.metrics.queue.set(app.workers.queue_length() as i64);
    let text = app.metrics.text().map_err(|_| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        ApiError::new(status, "internal", "the metrics cannot be written")
    })?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

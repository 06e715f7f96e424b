//! The proxy: a request's texts are checked before the upstream sees it, and its response before
//! the client does.

mod blocked;
mod response;
mod sse;
mod stream;
pub(crate) mod texts;
pub(crate) mod upstream;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use self::blocked::Kind;
use crate::app::{App, Direction, blocks};
use crate::body::{JsonObject, is_json};
use crate::error::ApiError;
use crate::policy::{Action, BlockedAs, Policy, Unguarded};
use crate::worker::Text;

/// Says which category was flagged in what passed all the same.
const FLAGGED: HeaderName = HeaderName::from_static("x-duoguard-flagged");

pub(crate) async fn chat(app: State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    guarded(app, request, Kind::Chat).await
}

pub(crate) async fn completions(
    app: State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    guarded(app, request, Kind::Completion).await
}

/// Everything else goes to the upstream as it is, and comes back as it is, unless the policy
/// refuses what brings it something unchecked.
pub(crate) async fn pass_on(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    if request.method() == Method::POST
        && let Some(kind) = completion_kind(request.uri().path())
    {
        return guarded(State(app), request, kind).await;
    }
    let only_asks = [Method::GET, Method::HEAD, Method::OPTIONS, Method::DELETE];
    if !only_asks.contains(request.method()) {
        let policy = app.policy();
        if policy.unguarded == Unguarded::Refuse && !policy.audit {
            let message = "this address is not guarded, and the policy refuses such: send a chat \
                           completion or a completion";
            let status = StatusCode::FORBIDDEN;
            return Err(ApiError::new(status, "unguarded_address", message));
        }
        app.metrics.unguarded.inc();
    }
    Ok(send(&app, request).await?.map(Body::new))
}

/// Which completion a path asks for, however it is written: an upstream may read `//`, `%63` and
/// `..` as others do not, and that must not be a way around the guard.
fn completion_kind(path: &str) -> Option<Kind> {
    let path = percent_decode_str(path).decode_utf8_lossy().to_lowercase();
    let mut segments = Vec::new();
    for segment in path.split(['/', '\\']) {
        match segment {
            "" | "." => {}
            ".." => _ = segments.pop(),
            segment => segments.push(segment),
        }
    }
    match segments[..] {
        [.., "chat", "completions"] => Some(Kind::Chat),
        [.., "completions"] => Some(Kind::Completion),
        _ => None,
    }
}

async fn send(app: &App, request: Request) -> Result<axum::http::Response<Incoming>, ApiError> {
    let upstream = app
        .upstream
        .as_ref()
        .ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no upstream"))?;
    upstream.send(request).await
}

/// What was found in the request, and what the response's check needs to know of it.
struct Prompt {
    /// The last text of the user, if responses are judged together with it.
    text: Option<String>,
    /// The flagged category, where it passed all the same.
    flagged: Option<usize>,
}

async fn guarded(
    State(app): State<Arc<App>>,
    request: Request,
    kind: Kind,
) -> Result<Response, ApiError> {
    let policy = app.policy();
    let (mut parts, body) = request.into_parts();
    let whole = Request::from_parts(parts.clone(), body);
    let read = tokio::time::timeout(app.limits.timeout, JsonObject::from_request(whole, &()));
    let object = read.await.map_err(|_| {
        let message = "the body has not come in time";
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message)
    })??;
    let prompt = match policy.prompts.action {
        Action::Pass => Prompt {
            text: prompt_text(&object, kind),
            flagged: None,
        },
        action => match check_prompt(&app, &policy, &object, kind).await {
            Ok(prompt) => match prompt.flagged {
                Some(category) if blocks(&policy, action) => {
                    return Ok(blocked_prompt(&app, &policy, &object, kind, category));
                }
                _ => prompt,
            },
            Err(error) if policy.fail_open || policy.audit => {
                app.metrics.unchecked.inc();
                tracing::warn!(code = error.code, "a prompt passes unchecked");
                Prompt {
                    text: None,
                    flagged: None,
                }
            }
            Err(error) => return Err(error),
        },
    };
    // What is to be read on its way back must not be compressed.
    parts.headers.remove(header::ACCEPT_ENCODING);
    parts.headers.remove(header::CONTENT_LENGTH);
    let onward = Request::from_parts(parts, Body::from(object.bytes));
    let response = send(&app, onward).await?;
    let flagged = prompt.flagged;
    let mut response = guard_response(&app, policy, response, prompt.text, kind).await?;
    if let Some(category) = flagged {
        mark(&app, &mut response, category);
    }
    Ok(response)
}

fn prompt_text(object: &JsonObject, kind: Kind) -> Option<String> {
    match kind {
        Kind::Chat => object
            .fields
            .get("messages")
            .and_then(texts::last_user_text),
        Kind::Completion => {
            let prompt = object.fields.get("prompt")?.as_str();
            prompt.map(str::to_owned)
        }
    }
}

async fn check_prompt(
    app: &App,
    policy: &Policy,
    object: &JsonObject,
    kind: Kind,
) -> Result<Prompt, ApiError> {
    let found = match kind {
        Kind::Chat => texts::chat_texts(&object.fields, &policy.prompts)?,
        Kind::Completion => texts::completion_texts(&object.fields)?,
    };
    let as_text = |prompt: String| Text {
        prompt,
        ..Text::default()
    };
    let found = found.into_iter().map(as_text).collect();
    let judged = app.check(policy, Direction::Prompt, found).await?;
    Ok(Prompt {
        text: prompt_text(object, kind),
        flagged: judged.iter().find_map(|(_, judgement)| judgement.category),
    })
}

fn blocked_prompt(
    app: &App,
    policy: &Policy,
    object: &JsonObject,
    kind: Kind,
    category: usize,
) -> Response {
    let category = app.category(category);
    match policy.prompts.blocked_as {
        BlockedAs::Error => ApiError {
            code: "content_filter",
            ..ApiError::invalid("messages", blocked::reason(Direction::Prompt, category))
        }
        .into_response(),
        BlockedAs::Completion => blocked::completion(app, &object.fields, kind, category),
    }
}

async fn guard_response(
    app: &Arc<App>,
    policy: Arc<Policy>,
    response: axum::http::Response<Incoming>,
    prompt: Option<String>,
    kind: Kind,
) -> Result<Response, ApiError> {
    // An error of the upstream is passed on as it is.
    if policy.responses.action == Action::Pass || !response.status().is_success() {
        return Ok(response.map(Body::new));
    }
    let prompt = prompt.filter(|_| policy.responses.with_prompt);
    let encoded = response.headers().get(header::CONTENT_ENCODING);
    if encoded.is_some_and(|encoding| encoding != "identity") {
        if policy.fail_open || policy.audit {
            app.metrics.unchecked.inc();
            return Ok(response.map(Body::new));
        }
        let message = "the upstream compressed its answer, though it was not asked to: \
                       the answer cannot be checked";
        return Err(ApiError::new(
            StatusCode::BAD_GATEWAY,
            "unchecked_response",
            message,
        ));
    }
    let (mut head, body) = response.into_parts();
    // What is checked may become shorter.
    head.headers.remove(header::CONTENT_LENGTH);
    let kind_of_body = head.headers.get(header::CONTENT_TYPE);
    let is_events = kind_of_body.is_some_and(|v| v.as_bytes().starts_with(b"text/event-stream"));
    if is_events {
        let guard = stream::Guard::new(app.clone(), policy, prompt, kind);
        return Ok(Response::from_parts(head, guard.body(body)));
    }
    let json = is_json(&head.headers);
    let checked = response::check(app, &policy, body, prompt.as_deref(), (kind, json)).await?;
    let mut response = Response::from_parts(head, Body::from(checked.bytes));
    if let Some(category) = checked.flagged {
        mark(app, &mut response, category);
    }
    Ok(response)
}

fn mark(app: &App, response: &mut Response, category: usize) {
    if let Ok(value) = HeaderValue::from_str(app.category(category)) {
        response.headers_mut().insert(FLAGGED, value);
    }
}

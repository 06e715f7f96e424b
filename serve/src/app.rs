//! What every request shares, and which function answers it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use duoguard::{Model, Verdict};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use crate::error::{ApiError, ErrorCode};
use crate::keys::Keys;
use crate::metrics::{ErrorLabels, Metrics, RequestLabels, VerdictLabels};
use crate::moderation::Categories;
use crate::policy::{Action, Judgement, Policy};
use crate::proxy::{self, upstream::Upstream};
use crate::worker::{Text, Workers};
use crate::{Limits, classify, guardrail, info, moderation};

/// What a server is made of.
pub(crate) struct App {
    pub(crate) model: Model,
    pub(crate) categories: Categories,
    pub(crate) workers: Workers,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    pub(crate) keys: Option<Keys>,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) started: u64,
    /// Whether it was asked to stop.
    pub(crate) stopping: AtomicBool,
    /// Whether it takes no more connections.
    pub(crate) closing: AtomicBool,
    pub(crate) policy: RwLock<Arc<Policy>>,
}

/// Whose text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Prompt,
    Response,
}

impl Direction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Response => "response",
        }
    }
}

impl App {
    /// The policy that holds now; a request keeps the one that it began with.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        let policy = self.policy.read().unwrap_or_else(PoisonError::into_inner);
        policy.clone()
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        let mut place = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(policy);
    }

    /// Checks texts: all get a verdict, or the request gets an error.
    pub(crate) async fn check(
        &self,
        policy: &Policy,
        direction: Direction,
        texts: Vec<Text>,
    ) -> Result<Vec<(Verdict, Judgement)>, ApiError> {
        let Limits {
            texts: most,
            tokens,
            ..
        } = self.limits;
        if texts.len() > most {
            return Err(ApiError::invalid(
                "input",
                format!(
                    "{} texts; expected at most {most} in one request",
                    texts.len()
                ),
            ));
        }
        for text in &texts {
            let response = text.response.as_deref().unwrap_or_default();
            for part in [text.prompt.as_str(), response] {
                // A token has at least one byte, so that most texts need not be counted.
                if part.len() > tokens && self.count(part)? > tokens {
                    return Err(ApiError::new(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        "text_too_long",
                        format!("a text of more than {tokens} tokens; send it in parts"),
                    ));
                }
            }
        }
        let verdicts = self.workers.check(texts, &policy.check).await?;
        let judged = verdicts.into_iter().map(|verdict| {
            let judgement = policy.judge(&verdict);
            self.record(policy, direction, &verdict, &judgement);
            (verdict, judgement)
        });
        Ok(judged.collect())
    }

    fn count(&self, text: &str) -> Result<usize, ApiError> {
        let tokens = self.model.tokenize(text);
        let tokens = tokens.map_err(|cause| ApiError::invalid("input", cause.to_string()))?;
        Ok(tokens.len())
    }

    /// Counts a verdict, and logs it if it is unsafe; never the text.
    pub(crate) fn record(
        &self,
        policy: &Policy,
        direction: Direction,
        verdict: &Verdict,
        judgement: &Judgement,
    ) {
        let action = match (judgement.flagged, direction) {
            (false, _) => "none",
            (true, _) if policy.audit => "audit",
            (true, Direction::Prompt) => policy.prompts.action.name(),
            (true, Direction::Response) => policy.responses.action.name(),
        };
        let category = judgement.category.map_or("none", |c| self.category(c));
        let labels = VerdictLabels {
            category: category.to_owned(),
            language: self.known_language(&verdict.language),
            direction: direction.name(),
            action,
        };
        self.metrics.verdicts.get_or_create(&labels).inc();
        self.metrics.tokens.inc_by(verdict.tokens_scored as u64);
        if judgement.flagged {
            let (direction, language) = (direction.name(), &verdict.language);
            let score = verdict.score;
            tracing::info!(category, direction, action, language, score, "unsafe");
        }
    }

    /// A language as a label: one that the model has thresholds for. Clients may name any other.
    fn known_language(&self, tag: &str) -> String {
        let primary = tag.split('-').next().unwrap_or(tag);
        let known = &self.model.manifest().policy.language_thresholds;
        match primary {
            "und" => "und".to_owned(),
            primary if known.contains_key(primary) => primary.to_owned(),
            _ => "other".to_owned(),
        }
    }

    pub(crate) fn category(&self, index: usize) -> &str {
        &self.model.categories()[index]
    }

    /// A name for an answer, unlike all others.
    pub(crate) fn new_id(&self, kind: &str) -> String {
        format!(
            "{kind}-{:016x}{:016x}",
            fastrand::u64(..),
            fastrand::u64(..)
        )
    }
}

/// Whether a flagged text is stopped.
pub(crate) fn blocks(policy: &Policy, action: Action) -> bool {
    action == Action::Block && !policy.audit
}

type Handler = MethodRouter<Arc<App>>;

/// Every address that the server answers itself: its method in OpenAPI's form, the path, whether
/// it is answered without a key, and by what.
pub(crate) fn routes() -> Vec<(&'static str, &'static str, bool, Handler)> {
    vec![
        ("get", "/", true, get(info::page)),
        ("get", "/health", true, get(info::health)),
        ("get", "/health/live", true, get(info::live)),
        ("get", "/health/ready", true, get(info::ready)),
        ("get", "/openapi.json", true, get(info::openapi)),
        ("get", "/metrics", false, get(info::metrics)),
        ("get", "/v1/models", false, get(info::models)),
        ("post", "/v1/moderations", false, post(moderation::answer)),
        ("post", "/v1/classify", false, post(classify::answer)),
        ("post", "/classify", false, post(classify::answer)),
        ("post", guardrail::PATH, false, post(guardrail::answer)),
    ]
}

/// The service. Layers are put on together: each that is put on alone costs every request some
/// boxes.
pub(crate) fn router(app: Arc<App>) -> Router {
    let whole = app.limits.timeout + Duration::from_secs(5);
    let timeout = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, whole);
    let with_key = middleware::from_fn_with_state(app.clone(), authorize);
    let (mut open, mut closed) = (Router::new(), Router::new());
    for (_, path, is_open, handler) in routes() {
        match (path, is_open) {
            // A client that speaks to the upstream asks for the upstream's models.
            ("/v1/models", _) if app.upstream.is_some() => {}
            (_, true) => open = open.route(path, handler),
            (_, false) => closed = closed.route(path, handler),
        }
    }
    let others = match app.upstream {
        Some(_) => Router::new()
            .route(
                "/v1/chat/completions",
                post(proxy::chat).fallback(proxy::pass_on),
            )
            .route(
                "/v1/completions",
                post(proxy::completions).fallback(proxy::pass_on),
            )
            .fallback(proxy::pass_on),
        None => Router::new().fallback(not_found),
    };
    let catch_panic = CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
        tracing::error!("answering a request panicked");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        ApiError::new(status, "internal", "the server failed").into_response()
    });
    open.merge(closed.layer((with_key.clone(), timeout)))
        .merge(others.layer(with_key))
        .method_not_allowed_fallback(method_not_allowed)
        .layer((
            middleware::from_fn_with_state(app.clone(), observe),
            catch_panic,
            DefaultBodyLimit::max(app.limits.body_bytes),
        ))
        .with_state(app)
}

async fn not_found() -> ApiError {
    let message = "no such address; /openapi.json lists those that there are";
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
}

async fn method_not_allowed() -> ApiError {
    let message = "this address has another method; /openapi.json tells which";
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        message,
    )
}

async fn authorize(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let opened = app
        .keys
        .as_ref()
        .is_none_or(|keys| keys.open(request.headers()));
    if opened {
        return next.run(request).await;
    }
    let message = "no key, or one that is not known: send Authorization: Bearer KEY";
    let mut response =
        ApiError::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message).into_response();
    let scheme = HeaderValue::from_static("Bearer");
    response.headers_mut().insert("www-authenticate", scheme);
    response
}

/// Counts and logs each request: its route, not its address, which may hold anything.
async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("other", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let mut response = next.run(request).await;
    if app.closing.load(Ordering::Relaxed) {
        // So that the client sends nothing more on a connection that is about to close.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    let (status, elapsed) = (response.status().as_u16(), start.elapsed());
    app.metrics.request_seconds.observe(elapsed.as_secs_f64());
    app.metrics.queue.set(app.workers.queue_length() as i64);
    let code = response.extensions().get::<ErrorCode>().map(|code| code.0);
    if let Some(code) = code {
        app.metrics
            .errors
            .get_or_create(&ErrorLabels { code })
            .inc();
    }
    let elapsed_ms = elapsed.as_secs_f64() * 1e3;
    tracing::debug!(%method, route, status, code, elapsed_ms, "request");
    let labels = RequestLabels { route, status };
    app.metrics.requests.get_or_create(&labels).inc();
    response
}

impl App {
    /// Whether it takes new texts.
    pub(crate) fn is_ready(&self) -> bool {
        self.workers.are_alive() && !self.stopping.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn openapi_describes_every_route_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(info::OPENAPI).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let described = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(move |method| (method.as_str(), path.as_str()))
        });
        let described: BTreeSet<_> = described.collect();
        let all = routes();
        let there: BTreeSet<_> = all
            .iter()
            .map(|(method, path, ..)| (*method, *path))
            .collect();
        assert_eq!(described, there);
        for (method, path, is_open, _) in &all {
            let needs_key = paths[*path][*method].get("security").is_some();
            assert_eq!(needs_key, !is_open, "{path}");
        }
    }
}

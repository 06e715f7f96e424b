//! The page, and what it asks of the run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State as Extract;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::items::{Item, doubtful};
use super::queue::queue;
use crate::error::TrainError;
use crate::game::reviewed::{REVIEWED_FILE, Review, Verdict, append_review, read_reviews};

const PAGE: &str = include_str!("page.html");
/// The page loads nothing, and speaks to its server alone.
const PAGE_MAY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// What is asked about, and what was answered.
pub(super) struct State {
    run: PathBuf,
    items: Vec<Item>,
    /// Item -> the last answer.
    answers: Mutex<BTreeMap<usize, Verdict>>,
}

/// An answer as the page sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    item: usize,
    verdict: Verdict,
}

type Refusal = (StatusCode, String);

impl State {
    /// The proposals of a run that are worth asking about, with the answers that are there.
    ///
    /// # Errors
    /// A folder without a played round; a file that is damaged.
    pub(super) fn open(run: &Path) -> Result<Arc<Self>, TrainError> {
        let items = queue(doubtful(run)?);
        let mut answers = BTreeMap::new();
        for review in read_reviews(&run.join(REVIEWED_FILE))? {
            let is_of = |item: &Item| item.text == review.text && item.language == review.lang;
            if let Some(item) = items.iter().position(is_of) {
                answers.insert(item, review.verdict);
            }
        }
        Ok(Arc::new(Self {
            run: run.to_owned(),
            items,
            answers: Mutex::new(answers),
        }))
    }

    /// Writes an answer down; of a text that was asked for as harmful the categories are its
    /// seed's.
    fn answer(&self, answer: &Answer) -> Result<usize, Refusal> {
        let Some(item) = self.items.get(answer.item) else {
            let reason = format!(
                "item is {}, expected less than {}",
                answer.item,
                self.items.len()
            );
            return Err((StatusCode::UNPROCESSABLE_ENTITY, reason));
        };
        let keeps_label = item.is_unsafe && answer.verdict == Verdict::Unsafe;
        let review = Review {
            text: item.text.clone(),
            lang: item.language.clone(),
            verdict: answer.verdict,
            categories: match keeps_label {
                true => item.categories.clone(),
                false => Vec::new(),
            },
            group: item.group.clone(),
            kind: item.kind,
            seed_text: item.seed_text.clone(),
            round: item.round,
        };
        // One answer at a time is written.
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        append_review(&self.run.join(REVIEWED_FILE), &review)
            .map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
        answers.insert(answer.item, answer.verdict);
        Ok(answers.len())
    }
}

/// The page's server.
pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/items", get(items))
        .route("/answers", post(answers))
        .with_state(state)
}

/// Refuses whoever calls this machine by another name: a page from elsewhere whose name was made to
/// lead here.
fn check_host(headers: &HeaderMap) -> Result<(), Refusal> {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let name = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
    match name {
        Some("127.0.0.1" | "localhost") => Ok(()),
        _ => {
            let reason = "expected the host 127.0.0.1 or localhost".to_owned();
            Err((StatusCode::FORBIDDEN, reason))
        }
    }
}

async fn page(headers: HeaderMap) -> Result<impl IntoResponse, Refusal> {
    check_host(&headers)?;
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, PAGE_MAY),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    Ok((headers, PAGE))
}

async fn items(
    headers: HeaderMap,
    Extract(state): Extract<Arc<State>>,
) -> Result<Json<Value>, Refusal> {
    check_host(&headers)?;
    let answers = state.answers.lock().unwrap_or_else(PoisonError::into_inner);
    let name = state.run.file_name().map(|name| name.to_string_lossy());
    Ok(Json(
        json!({ "run": name, "items": state.items, "answers": *answers }),
    ))
}

/// A form of another page cannot send JSON, so that nobody else answers here.
async fn answers(
    headers: HeaderMap,
    Extract(state): Extract<Arc<State>>,
    Json(answer): Json<Answer>,
) -> Result<Json<Value>, Refusal> {
    check_host(&headers)?;
    let answered = state.answer(&answer)?;
    Ok(Json(json!({ "answered": answered })))
}

//! `POST /v1/moderations`: OpenAI's shape, with our categories beside theirs.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use duoguard::{Span, Verdict};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::app::{App, Direction};
use crate::body::{JsonObject, expected, optional_text};
use crate::error::ApiError;
use crate::openai_categories::OPENAI_CATEGORIES;
use crate::policy::Judgement;
use crate::worker::Text;

/// More than a result takes in most cases.
const RESULT_BYTES: usize = 4096;

pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    JsonObject { fields, .. }: JsonObject,
) -> Result<Response, ApiError> {
    optional_text(&fields, "model")?;
    let language = language(&fields)?;
    let texts = texts(fields.get("input").unwrap_or(&Value::Null))?;
    let texts = texts.into_iter().map(|prompt| Text {
        prompt,
        response: None,
        language: language.clone(),
    });
    let policy = app.policy();
    let judged = app
        .check(&policy, Direction::Prompt, texts.collect())
        .await?;
    let results = judged
        .iter()
        .map(|(verdict, judgement)| result(&app, verdict, judgement));
    let answer = Answer {
        id: app.new_id("modr"),
        model: &app.model.manifest().name,
        results: results.collect(),
    };
    let mut body = Vec::with_capacity(RESULT_BYTES * judged.len());
    serde_json::to_writer(&mut body, &answer).map_err(|_| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        ApiError::new(status, "internal", "the answer cannot be written")
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// Our own field `language`: a tag, or nothing to have it identified.
pub(crate) fn language(fields: &Map<String, Value>) -> Result<Option<String>, ApiError> {
    let language = optional_text(fields, "language")?;
    let parsed = language
        .as_deref()
        .map(duoguard::parse_language_tag)
        .transpose();
    parsed.map_err(|cause| ApiError::invalid("language", cause.to_string()))
}

/// The texts of `input`: one string, several, or parts of one text. One result each.
fn texts(input: &Value) -> Result<Vec<String>, ApiError> {
    let entries = match input {
        Value::String(text) => return Ok(vec![text.clone()]),
        Value::Array(entries) if !entries.is_empty() => entries,
        Value::Array(_) => return Err(ApiError::invalid("input", "input: no text in it")),
        other => return Err(expected("input", "a string or an array of them", other)),
    };
    if entries.iter().all(Value::is_string) {
        let texts = entries.iter().filter_map(Value::as_str);
        return Ok(texts.map(str::to_owned).collect());
    }
    let parts = entries.iter().map(part).collect::<Result<Vec<_>, _>>()?;
    Ok(vec![parts.join("\n")])
}

/// The text of a part. What is no text is refused: this server cannot judge it.
fn part(part: &Value) -> Result<&str, ApiError> {
    let kind = part.get("type").and_then(Value::as_str);
    match (kind, part.get("text").and_then(Value::as_str)) {
        (Some("text"), Some(text)) => Ok(text),
        (Some("image_url"), _) => Err(ApiError {
            code: "unsupported_input_type",
            ..ApiError::invalid(
                "input",
                "input: this server checks text alone, and an image was sent; send the text only",
            )
        }),
        _ => Err(ApiError::invalid(
            "input",
            "input: expected strings alone, or parts like {\"type\":\"text\",\"text\":\"...\"} alone",
        )),
    }
}

#[derive(Serialize)]
struct Answer<'a, R> {
    id: String,
    model: &'a str,
    results: Vec<R>,
}

/// A result. It is written as it is read: building maps would cost nearly as much as the check of a
/// short text.
#[derive(Serialize)]
struct Moderation<'a, C, S, T> {
    flagged: bool,
    categories: C,
    category_scores: S,
    category_applied_input_types: &'a RawValue,
    duoguard: Details<'a, T>,
}

/// What OpenAI's shape has no place for. Places are bytes of the text.
#[derive(Serialize)]
struct Details<'a, T> {
    category: Option<&'a str>,
    score: f64,
    language: &'a str,
    tokens: usize,
    tokens_scored: usize,
    windows: usize,
    span: Option<[usize; 2]>,
    changes: Vec<Undone>,
    changes_total: usize,
    allowed: bool,
    thresholds: T,
    engine: &'a str,
}

#[derive(Serialize)]
struct Undone {
    kind: &'static str,
    span: [usize; 2],
    count: usize,
}

/// A JSON object: names and values, in this order.
struct ByName<I>(I);

impl<'a, V: Serialize, I: Iterator<Item = (&'a str, V)> + Clone> Serialize for ByName<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.clone())
    }
}

/// The categories of a result: OpenAI's, then those of ours whose name is none of theirs.
pub(crate) struct Categories {
    /// Each with the indices of those of ours that feed it.
    sources: Vec<(String, Vec<usize>)>,
    /// `category_applied_input_types`, which is the same for every text.
    input_types: Box<RawValue>,
}

impl Categories {
    pub(crate) fn new(ours: &[String]) -> serde_json::Result<Self> {
        let theirs = OPENAI_CATEGORIES.iter().map(|(theirs, names)| {
            let sources = names
                .iter()
                .filter_map(|n| ours.iter().position(|o| o == n));
            ((*theirs).to_owned(), sources.collect::<Vec<_>>())
        });
        // Ours of the same name is the only source of theirs.
        let is_theirs = |name: &str| OPENAI_CATEGORIES.iter().any(|(theirs, _)| *theirs == name);
        let others = ours.iter().enumerate().filter(|(_, name)| !is_theirs(name));
        let others = others.map(|(index, name)| (name.clone(), vec![index]));
        let sources: Vec<_> = theirs.chain(others).collect();
        let types = sources.iter().map(|(name, _)| (name.as_str(), ["text"]));
        let input_types = to_raw_value(&ByName(types))?;
        Ok(Self {
            sources,
            input_types,
        })
    }
}

fn result<'a>(app: &'a App, verdict: &'a Verdict, judgement: &'a Judgement) -> impl Serialize + 'a {
    let Categories {
        sources,
        input_types,
    } = &app.categories;
    let above = move |index: usize| {
        judgement.flagged && verdict.scores[index] > judgement.thresholds[index]
    };
    let categories = sources.iter().map(move |(name, sources)| {
        let flagged = sources.iter().any(|&index| above(index));
        (name.as_str(), flagged)
    });
    let scores = sources.iter().map(move |(name, sources)| {
        let scores = sources.iter().map(|&index| verdict.scores[index]);
        (name.as_str(), f64::from(scores.fold(0.0, f32::max)))
    });
    Moderation {
        flagged: judgement.flagged,
        categories: ByName(categories),
        category_scores: ByName(scores),
        category_applied_input_types: input_types,
        duoguard: details(app, verdict, judgement),
    }
}

fn details<'a>(
    app: &'a App,
    verdict: &'a Verdict,
    judgement: &'a Judgement,
) -> Details<'a, impl Serialize> {
    let names = app.model.categories();
    let place = |span: &Span| [span.prompt.start, span.prompt.end];
    let changes = verdict.changes.iter().map(|change| Undone {
        kind: change.kind.name(),
        span: place(&change.span),
        count: change.count,
    });
    let thresholds = names.iter().zip(&judgement.thresholds);
    let thresholds = thresholds.map(|(name, t)| (name.as_str(), f64::from(*t)));
    Details {
        category: judgement.category.map(|index| names[index].as_str()),
        score: f64::from(verdict.score),
        language: &verdict.language,
        tokens: verdict.tokens,
        tokens_scored: verdict.tokens_scored,
        windows: verdict.windows,
        span: verdict.span.as_ref().map(place),
        changes: changes.collect(),
        changes_total: verdict.changes_total,
        allowed: verdict.allowed,
        thresholds: ByName(thresholds),
        engine: app.workers.engine(),
    }
}

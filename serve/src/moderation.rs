//! `POST /v1/moderations`: OpenAI's shape, with our categories beside theirs.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use duoguard::{Span, Verdict};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::app::{App, Direction};
use crate::body::{JsonObject, expected, optional_text};
use crate::error::ApiError;
use crate::openai_categories::OPENAI_CATEGORIES;
use crate::policy::Judgement;
use crate::worker::Text;

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
    Ok(Json(answer).into_response())
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
struct Answer<'a> {
    id: String,
    model: &'a str,
    results: Vec<Moderation<'a>>,
}

/// A result. It is written as it is read: building maps would cost nearly as much as the check of a
/// short text.
#[derive(Serialize)]
struct Moderation<'a> {
    flagged: bool,
    categories: ByName<'a, bool>,
    category_scores: ByName<'a, f64>,
    category_applied_input_types: ByName<'a, [&'static str; 1]>,
    duoguard: Details<'a>,
}

/// What OpenAI's shape has no place for. Places are bytes of the text.
#[derive(Serialize)]
struct Details<'a> {
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
    thresholds: ByName<'a, f64>,
    engine: &'a str,
}

#[derive(Serialize)]
struct Undone {
    kind: &'static str,
    span: [usize; 2],
    count: usize,
}

/// A JSON object, in this order.
struct ByName<'a, T>(Vec<(&'a str, T)>);

impl<T: Serialize> Serialize for ByName<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn result<'a>(app: &'a App, verdict: &'a Verdict, judgement: &Judgement) -> Moderation<'a> {
    let names = app.model.categories();
    let above =
        |index: usize| judgement.flagged && verdict.scores[index] > judgement.thresholds[index];
    let (mut categories, mut scores) = (Vec::new(), Vec::new());
    for (theirs, ours) in OPENAI_CATEGORIES {
        let sources = ours
            .iter()
            .filter_map(|name| names.iter().position(|n| n == name));
        let mut flagged = false;
        let mut score = 0.0_f32;
        for index in sources {
            flagged |= above(index);
            score = score.max(verdict.scores[index]);
        }
        categories.push((*theirs, flagged));
        scores.push((*theirs, f64::from(score)));
    }
    for (index, name) in names.iter().enumerate() {
        // Ours of the same name is the only source of theirs.
        if !OPENAI_CATEGORIES.iter().any(|(theirs, _)| theirs == name) {
            categories.push((name, above(index)));
            scores.push((name, f64::from(verdict.scores[index])));
        }
    }
    Moderation {
        flagged: judgement.flagged,
        category_applied_input_types: ByName(
            categories
                .iter()
                .map(|(name, _)| (*name, ["text"]))
                .collect(),
        ),
        categories: ByName(categories),
        category_scores: ByName(scores),
        duoguard: details(app, verdict, judgement),
    }
}

fn details<'a>(app: &'a App, verdict: &'a Verdict, judgement: &Judgement) -> Details<'a> {
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
        thresholds: ByName(thresholds.collect()),
        engine: app.workers.engine(),
    }
}

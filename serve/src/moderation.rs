//! `POST /v1/moderations`: OpenAI's shape, with our categories beside theirs.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use duoguard::{Span, Verdict};
use serde_json::{Map, Value, json};

use crate::app::{App, Direction};
use crate::body::{JsonObject, expected, optional_text};
use crate::error::ApiError;
use crate::openai_categories::OPENAI_CATEGORIES;
use crate::policy::Judgement;
use crate::worker::Text;

pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    JsonObject { fields, .. }: JsonObject,
) -> Result<Json<Value>, ApiError> {
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
    Ok(Json(json!({
        "id": app.new_id("modr"),
        "model": app.model.manifest().name,
        "results": results.collect::<Vec<_>>(),
    })))
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

fn result(app: &App, verdict: &Verdict, judgement: &Judgement) -> Value {
    let names = app.model.categories();
    let above =
        |index: usize| judgement.flagged && verdict.scores[index] > judgement.thresholds[index];
    let (mut categories, mut scores) = (Map::new(), Map::new());
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
        categories.insert((*theirs).to_owned(), flagged.into());
        scores.insert((*theirs).to_owned(), score.into());
    }
    for (index, name) in names.iter().enumerate() {
        categories.insert(name.clone(), above(index).into());
        scores.insert(name.clone(), verdict.scores[index].into());
    }
    let types = categories
        .keys()
        .map(|name| (name.clone(), json!(["text"])));
    let types: Map<_, _> = types.collect();
    json!({
        "flagged": judgement.flagged,
        "categories": categories,
        "category_scores": scores,
        "category_applied_input_types": types,
        "duoguard": details(app, verdict, judgement),
    })
}

/// What OpenAI's shape has no place for. Places are bytes of the text.
fn details(app: &App, verdict: &Verdict, judgement: &Judgement) -> Value {
    let names = app.model.categories();
    let place = |span: &Span| json!([span.prompt.start, span.prompt.end]);
    let changes = verdict.changes.iter().map(|change| {
        json!({
            "kind": change.kind.name(),
            "span": place(&change.span),
            "count": change.count,
        })
    });
    let thresholds = names.iter().zip(&judgement.thresholds);
    let thresholds = thresholds.map(|(name, t)| (name.clone(), Value::from(*t)));
    json!({
        "category": judgement.category.map(|index| &names[index]),
        "score": verdict.score,
        "language": verdict.language,
        "tokens": verdict.tokens,
        "tokens_scored": verdict.tokens_scored,
        "windows": verdict.windows,
        "span": verdict.span.as_ref().map(place),
        "changes": changes.collect::<Vec<_>>(),
        "changes_total": verdict.changes_total,
        "allowed": verdict.allowed,
        "thresholds": thresholds.collect::<Map<_, _>>(),
        "engine": app.workers.engine(),
    })
}

//! `POST /v1/classify` and `/classify`: the shape of vLLM and SGLang.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::app::{App, Direction};
use crate::body::{JsonObject, expected, optional_text};
use crate::error::ApiError;
use crate::moderation::language;
use crate::worker::Text;

/// The label of a text in which nothing is flagged.
const SAFE: &str = "safe";

pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    JsonObject { fields, .. }: JsonObject,
) -> Result<Json<Value>, ApiError> {
    optional_text(&fields, "model")?;
    let language = language(&fields)?;
    let wrong = |found: &Value| expected("input", "a string or an array of strings", found);
    let inputs = match fields.get("input").unwrap_or(&Value::Null) {
        Value::String(text) => vec![text.as_str()],
        Value::Array(entries) => {
            let texts = entries.iter().map(|e| e.as_str().ok_or_else(|| wrong(e)));
            texts.collect::<Result<_, _>>()?
        }
        other => return Err(wrong(other)),
    };
    let texts = inputs.into_iter().map(|text| Text {
        prompt: text.to_owned(),
        response: None,
        language: language.clone(),
    });
    let policy = app.policy();
    let judged = app
        .check(&policy, Direction::Prompt, texts.collect())
        .await?;
    let tokens: usize = judged.iter().map(|(verdict, _)| verdict.tokens).sum();
    let data = judged
        .iter()
        .enumerate()
        .map(|(index, (verdict, judgement))| {
            // The categories' scores in the order of /v1/models, then what is left for "safe".
            let mut probs = verdict.scores.clone();
            probs.push(1.0 - verdict.score);
            json!({
                "index": index,
                "label": judgement.category.map_or(SAFE, |category| app.category(category)),
                "num_classes": probs.len(),
                "probs": probs,
            })
        });
    Ok(Json(json!({
        "id": app.new_id("classify"),
        "object": "list",
        "created": unix_seconds(),
        "model": app.model.manifest().name,
        "data": data.collect::<Vec<_>>(),
        "usage": {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens},
    })))
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

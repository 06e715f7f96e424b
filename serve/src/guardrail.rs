//! `POST /beta/litellm_basic_guardrail_api`: what LiteLLM's `generic_guardrail_api` asks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};

use crate::app::{App, Direction, blocks};
use crate::body::{JsonObject, expected};
use crate::error::ApiError;
use crate::policy::{Action, Policy};
use crate::proxy::texts::{last_user_text, string_leaves};
use crate::worker::Text;

/// Where LiteLLM asks.
pub(crate) const PATH: &str = "/beta/litellm_basic_guardrail_api";

pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    JsonObject { fields, .. }: JsonObject,
) -> Result<Json<Value>, ApiError> {
    let policy = app.policy();
    let direction = match fields.get("input_type").and_then(Value::as_str) {
        Some("request") => Direction::Prompt,
        Some("response") => Direction::Response,
        _ => {
            return Err(ApiError::invalid(
                "input_type",
                "input_type: expected request or response",
            ));
        }
    };
    let action = match direction {
        Direction::Prompt => policy.prompts.action,
        Direction::Response => policy.responses.action,
    };
    if action == Action::Pass {
        return Ok(passed());
    }
    if !list(&fields, "images")?.is_empty() && blocks(&policy, action) && !policy.fail_open {
        return Ok(blocked(
            "images cannot be checked by this guard, which reads text alone",
        ));
    }
    let texts = texts(&fields, &policy, direction)?;
    let judged = match app.check(&policy, direction, texts).await {
        Err(_) if policy.fail_open || policy.audit => {
            app.metrics.unchecked.inc();
            return Ok(passed());
        }
        judged => judged?,
    };
    let category = judged.iter().find_map(|(_, judgement)| judgement.category);
    Ok(match category {
        Some(category) if blocks(&policy, action) => blocked(&format!(
            "the {} was found unsafe: {}",
            direction.name(),
            app.category(category)
        )),
        _ => passed(),
    })
}

/// What is to be checked: the texts, and by policy the arguments of tool calls.
fn texts(
    fields: &Map<String, Value>,
    policy: &Policy,
    direction: Direction,
) -> Result<Vec<Text>, ApiError> {
    let mut found = Vec::new();
    for text in list(fields, "texts")? {
        let text = text.as_str();
        found.push(text.ok_or_else(|| wrong("texts"))?.to_owned());
    }
    if policy.prompts.tools || direction == Direction::Response {
        let calls = list(fields, "tool_calls")?.iter();
        found.extend(
            calls
                .flat_map(string_leaves)
                .map(|(_, text)| text.to_owned()),
        );
    }
    let messages = fields.get("structured_messages");
    let prompt = match direction {
        Direction::Response if policy.responses.with_prompt => messages.and_then(last_user_text),
        _ => None,
    };
    let as_text = |text: String| match direction {
        Direction::Prompt => Text {
            prompt: text,
            ..Text::default()
        },
        Direction::Response => Text {
            prompt: prompt.clone().unwrap_or_default(),
            response: Some(text),
            language: None,
        },
    };
    Ok(found.into_iter().map(as_text).collect())
}

/// The entries of a list that may be left out or null.
fn list<'a>(fields: &'a Map<String, Value>, name: &'static str) -> Result<&'a [Value], ApiError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(entries)) => Ok(entries),
        Some(other) => Err(expected(name, "an array", other)),
    }
}

fn wrong(name: &'static str) -> ApiError {
    ApiError::invalid(name, format!("{name}: expected an array of strings"))
}

fn passed() -> Json<Value> {
    Json(json!({"action": "NONE", "blocked_reason": null, "texts": null}))
}

fn blocked(reason: &str) -> Json<Value> {
    Json(json!({"action": "BLOCKED", "blocked_reason": reason, "texts": null}))
}

//! Where the texts are in the bodies of OpenAI's completions.

use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::policy::{Messages, Prompts};

/// Fields whose strings are names and not text that a person or a model wrote.
const NAMES: [&str; 7] = [
    "role",
    "id",
    "type",
    "object",
    "finish_reason",
    "name",
    "format",
];

/// Every string in a value that may be text, with the path that leads to it. An entry of an array
/// is named by its field `index`, which is the same in every piece of a stream, or else by its
/// place.
pub(crate) fn string_leaves(value: &Value) -> Vec<(String, &str)> {
    let mut leaves = Vec::new();
    collect(value, String::new(), &mut leaves);
    leaves
}

/// Recursion is as deep as the JSON reader lets a value be: 128.
fn collect<'a>(value: &'a Value, path: String, leaves: &mut Vec<(String, &'a str)>) {
    match value {
        Value::String(text) if !text.is_empty() => leaves.push((path, text)),
        Value::Array(entries) => {
            for (place, entry) in entries.iter().enumerate() {
                let index = entry.get("index").and_then(Value::as_u64);
                let index = index.unwrap_or(place as u64);
                collect(entry, format!("{path}/{index}"), leaves);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                if !NAMES.contains(&name.as_str()) {
                    collect(value, format!("{path}/{name}"), leaves);
                }
            }
        }
        _ => {}
    }
}

/// The text of the last message whose role is `user`.
pub(crate) fn last_user_text(messages: &Value) -> Option<String> {
    let messages = messages.as_array()?;
    let last = messages.iter().rev().find(|m| role(m) == Some("user"))?;
    content(last).ok().flatten()
}

/// The texts of a chat that are to be checked before the upstream sees them.
pub(crate) fn chat_texts(
    fields: &Map<String, Value>,
    prompts: &Prompts,
) -> Result<Vec<String>, ApiError> {
    let messages = fields.get("messages").and_then(Value::as_array);
    let messages = messages.ok_or_else(|| unreadable("messages: expected an array of messages"))?;
    let last = messages.iter().rposition(|m| role(m) == Some("user"));
    let mut texts = Vec::new();
    for (place, message) in messages.iter().enumerate() {
        let is_tool = matches!(role(message), Some("tool" | "function"));
        let all = prompts.messages == Messages::All;
        if (prompts.tools && is_tool) || all || Some(place) == last {
            texts.extend(content(message)?);
        }
        if prompts.tools {
            for field in ["tool_calls", "function_call"] {
                let calls = message.get(field).map(string_leaves).unwrap_or_default();
                texts.extend(calls.into_iter().map(|(_, text)| text.to_owned()));
            }
        }
    }
    Ok(texts)
}

/// The prompts of `/v1/completions`.
pub(crate) fn completion_texts(fields: &Map<String, Value>) -> Result<Vec<String>, ApiError> {
    let mut texts = match fields.get("prompt") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(entries)) if entries.iter().all(Value::is_string) => {
            let texts = entries.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        }
        Some(_) => {
            return Err(unreadable(
                "prompt: expected a string or strings; token ids cannot be checked",
            ));
        }
    };
    match fields.get("suffix") {
        None | Some(Value::Null) => {}
        Some(Value::String(suffix)) => texts.push(suffix.clone()),
        Some(_) => return Err(unreadable("suffix: expected a string")),
    }
    Ok(texts)
}

fn role(message: &Value) -> Option<&str> {
    message.get("role")?.as_str()
}

/// The text of a message; `None` if it has no content, as a message that only calls tools.
fn content(message: &Value) -> Result<Option<String>, ApiError> {
    let wrong = || unreadable("messages: content is neither a string nor an array of parts");
    let parts = match message.get("content") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => return Ok(Some(text.clone())),
        Some(Value::Array(parts)) => parts,
        Some(_) => return Err(wrong()),
    };
    let mut texts = Vec::with_capacity(parts.len());
    for part in parts {
        let kind = part.get("type").and_then(Value::as_str);
        let text = match kind {
            Some("text" | "input_text") => part.get("text"),
            Some("refusal") => part.get("refusal"),
            _ => {
                return Err(unreadable(
                    "messages: a part that is no text, such as an image or a sound, cannot be \
                     checked; send text alone, or run the guard with --fail-open",
                ));
            }
        };
        texts.push(text.and_then(Value::as_str).ok_or_else(wrong)?);
    }
    Ok(Some(texts.join("\n")))
}

/// Something in a request that cannot be checked.
fn unreadable(message: &str) -> ApiError {
    ApiError {
        code: "unchecked_input",
        ..ApiError::invalid("messages", message)
    }
}

#[cfg(test)]
#[path = "texts_tests.rs"]
mod tests;

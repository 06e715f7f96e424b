//! How a block ends: as the users of OpenAI's API expect it. It names the category and never
//! repeats the text.

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::sse;
use crate::app::{App, Direction};
use crate::classify::unix_seconds;

/// Which of OpenAI's two shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completion,
}

impl Kind {
    fn object(self, is_stream: bool) -> &'static str {
        match (self, is_stream) {
            (Self::Chat, false) => "chat.completion",
            (Self::Chat, true) => "chat.completion.chunk",
            (Self::Completion, _) => "text_completion",
        }
    }

    fn id(self) -> &'static str {
        match self {
            Self::Chat => "chatcmpl",
            Self::Completion => "cmpl",
        }
    }
}

/// Why, for people.
pub(crate) fn reason(direction: Direction, category: &str) -> String {
    format!("The {} was found unsafe: {category}.", direction.name())
}

/// Why, for programs: the field `duoguard` of a blocked completion.
fn details(direction: Direction, category: &str) -> Value {
    json!({"action": "block", "direction": direction.name(), "category": category})
}

/// The choice that stands for a blocked one in a whole completion.
pub(crate) fn choice(kind: Kind, index: u64, direction: Direction, category: &str) -> Value {
    match kind {
        Kind::Chat => json!({
            "index": index,
            "message": {
                "role": "assistant",
                "content": "",
                "refusal": reason(direction, category),
            },
            "logprobs": null,
            "finish_reason": "content_filter",
        }),
        Kind::Completion => json!({
            "index": index,
            "text": "",
            "logprobs": null,
            "finish_reason": "content_filter",
        }),
    }
}

/// Puts what programs read into a completion or a chunk of one.
pub(crate) fn add_details(body: &mut Value, direction: Direction, category: &str) {
    if let Value::Object(fields) = body {
        fields.insert("duoguard".to_owned(), details(direction, category));
    }
}

/// The answer to a blocked prompt, streamed if the request asked for a stream.
pub(crate) fn completion(
    app: &App,
    request: &Map<String, Value>,
    kind: Kind,
    category: &str,
) -> Response {
    let head = json!({
        "id": app.new_id(kind.id()),
        "created": unix_seconds(),
        "model": request.get("model").and_then(Value::as_str).unwrap_or_default(),
    });
    if request.get("stream") == Some(&Value::Bool(true)) {
        let events = last_events(kind, &head, &[0], Direction::Prompt, category);
        return ([(header::CONTENT_TYPE, "text/event-stream")], events).into_response();
    }
    let mut body = head;
    body["object"] = kind.object(false).into();
    body["choices"] = json!([choice(kind, 0, Direction::Prompt, category)]);
    body["usage"] = json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0});
    add_details(&mut body, Direction::Prompt, category);
    Json(body).into_response()
}

/// What ends a stream that is blocked: a last chunk for every choice, and the end. `head` is any
/// chunk before, whose id, time and model it takes.
pub(crate) fn last_events(
    kind: Kind,
    head: &Value,
    choices: &[u64],
    direction: Direction,
    category: &str,
) -> Vec<u8> {
    let choices = choices.iter().map(|index| match kind {
        Kind::Chat => json!({
            "index": index,
            "delta": {"refusal": reason(direction, category)},
            "logprobs": null,
            "finish_reason": "content_filter",
        }),
        Kind::Completion => choice(kind, *index, direction, category),
    });
    let mut chunk = json!({
        "id": head["id"],
        "object": kind.object(true),
        "created": head["created"],
        "model": head["model"],
        "choices": choices.collect::<Vec<_>>(),
    });
    add_details(&mut chunk, direction, category);
    [sse::event(&chunk.to_string()), sse::event("[DONE]")].concat()
}

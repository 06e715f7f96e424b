//! A response that comes as a whole.

use axum::body::Bytes;
use axum::http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::Value;

use super::blocked::{self, Kind};
use super::texts::string_leaves;
use crate::app::{App, Direction, blocks};
use crate::error::ApiError;
use crate::policy::Policy;
use crate::worker::Text;

/// The largest whole response, in bytes.
const MAX_RESPONSE_BYTES: usize = 16 << 20;

/// A response's body as the client may see it.
pub(crate) struct Checked {
    pub(crate) bytes: Bytes,
    /// The flagged category, where it passed all the same.
    pub(crate) flagged: Option<usize>,
}

/// Checks a body: the texts of each choice if it is a completion, else all of it as one text.
pub(crate) async fn check(
    app: &App,
    policy: &Policy,
    body: Incoming,
    prompt: Option<&str>,
    (kind, is_json): (Kind, bool),
) -> Result<Checked, ApiError> {
    let collected = Limited::new(body, MAX_RESPONSE_BYTES).collect().await;
    let bytes = collected.map_err(|cause| match cause.is::<LengthLimitError>() {
        true => broken(format!(
            "the upstream's answer has over {MAX_RESPONSE_BYTES} bytes"
        )),
        false => broken("the upstream broke off in the middle of its answer".to_owned()),
    })?;
    let bytes = bytes.to_bytes();
    let mut completion = match is_json {
        true => serde_json::from_slice::<Value>(&bytes).ok(),
        false => None,
    };
    let texts = completion.as_ref().map(choice_texts);
    // What is no completion is judged as it is written.
    let texts = match texts {
        Some(texts) if !texts.is_empty() => texts,
        _ => vec![(0, String::from_utf8_lossy(&bytes).into_owned())],
    };
    let to_check = texts.iter().map(|(_, text)| Text {
        prompt: prompt.unwrap_or_default().to_owned(),
        response: Some(text.clone()),
        language: None,
    });
    let judged = match app
        .check(policy, Direction::Response, to_check.collect())
        .await
    {
        Ok(judged) => judged,
        Err(error) if policy.fail_open || policy.audit => {
            app.metrics.unchecked.inc();
            tracing::warn!(code = error.code, "a response passes unchecked");
            return Ok(Checked {
                bytes,
                flagged: None,
            });
        }
        // The client sent nothing wrong, whatever the reason is.
        Err(error) => {
            return Err(ApiError {
                status: match error.status.is_client_error() && error.status != 429 {
                    true => StatusCode::BAD_GATEWAY,
                    false => error.status,
                },
                ..error
            });
        }
    };
    let places = texts.iter().map(|(place, _)| *place);
    let flagged = places
        .zip(&judged)
        .filter_map(|(place, (_, j))| Some((place, j.category?)));
    let flagged: Vec<_> = flagged.collect();
    let Some(&(_, first)) = flagged.first() else {
        return Ok(Checked {
            bytes,
            flagged: None,
        });
    };
    if !blocks(policy, policy.responses.action) {
        return Ok(Checked {
            bytes,
            flagged: Some(first),
        });
    }
    let choices = completion.as_mut().and_then(|body| body.get_mut("choices"));
    let Some(choices) = choices.and_then(Value::as_array_mut) else {
        let reason = blocked::reason(Direction::Response, app.category(first));
        return Err(ApiError::new(
            StatusCode::BAD_GATEWAY,
            "content_filter",
            reason,
        ));
    };
    for (place, category) in flagged {
        let Some(choice) = choices.get_mut(place) else {
            continue;
        };
        let index = choice
            .get("index")
            .and_then(Value::as_u64)
            .unwrap_or(place as u64);
        *choice = blocked::choice(kind, index, Direction::Response, app.category(category));
    }
    let mut body = completion.unwrap_or_default();
    blocked::add_details(&mut body, Direction::Response, app.category(first));
    Ok(Checked {
        bytes: body.to_string().into(),
        flagged: None,
    })
}

/// The texts of each choice, with the choice's place: what it says and the arguments of the tools
/// that it calls, each by itself.
fn choice_texts(completion: &Value) -> Vec<(usize, String)> {
    let choices = completion.get("choices").and_then(Value::as_array);
    let choices = choices.into_iter().flatten().enumerate();
    let texts = choices.flat_map(|(place, choice)| {
        let said = ["message", "text"]
            .into_iter()
            .filter_map(|field| choice.get(field));
        let leaves = said.flat_map(string_leaves);
        leaves
            .map(move |(_, text)| (place, text.to_owned()))
            .collect::<Vec<_>>()
    });
    texts.collect()
}

fn broken(message: String) -> ApiError {
    ApiError::new(StatusCode::BAD_GATEWAY, "upstream_broken", message)
}

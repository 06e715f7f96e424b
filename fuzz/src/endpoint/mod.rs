//! What an endpoint's answers are read with.

#[allow(dead_code)]
#[path = "../../../trainer/src/endpoint/chat.rs"]
mod chat;
// There is no feature `https` here, and no connection either.
#[allow(dead_code, unexpected_cfgs)]
#[path = "../../../trainer/src/endpoint/client.rs"]
mod client;
#[allow(dead_code)]
#[path = "../../../trainer/src/endpoint/error.rs"]
mod error;
#[allow(dead_code)]
#[path = "../../../trainer/src/endpoint/settings.rs"]
mod settings;

use std::time::Duration;

use ureq::http::{HeaderMap, HeaderValue};

use chat::Completion;

/// The text of a completion that was finished.
pub(crate) fn completion(bytes: &[u8]) -> Result<Option<String>, String> {
    Ok(match client::completion(bytes)? {
        Completion::Finished { text } => Some(text),
        Completion::Cut { .. } | Completion::Refused { .. } | Completion::Failed { .. } => None,
    })
}

/// How long a server wants to be left alone that says so in a header of any bytes; `None` where
/// they cannot stand in a header.
pub fn pause(name: &'static str, value: &[u8]) -> Option<Duration> {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_bytes(value).ok()?);
    Some(client::retry_after(&headers))
}

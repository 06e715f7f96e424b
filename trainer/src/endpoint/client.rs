//! One request and its answer: what was sent back, and whether another try could help.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use ureq::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use ureq::{Agent, Body};

use super::chat::Completion;
use super::error::{EndpointError, refuse};
use super::settings::EndpointSettings;

/// A longer answer is not read: this is hundreds of times what a proposal takes.
pub(super) const MAX_ANSWER_BYTES: u64 = 8 << 20;
/// As much of an error's body is read, and as many characters of it shown.
const MAX_ERROR_BYTES: u64 = 64 << 10;
const SHOWN_CHARS: usize = 300;
/// Seconds until a machine that does not take the connection is given up.
const CONNECT_TIMEOUT_S: f64 = 10.0;

/// Why there is no completion. Reasons name the address and what to do.
#[derive(Debug)]
pub(super) enum RequestError {
    /// It may pass; the server wants to be left alone for so long (zero where it does not say).
    Transient(String, Duration),
    /// This request will not be answered.
    Permanent(String),
    /// No request will.
    Endpoint(String),
}

/// Connections to one address.
pub(super) struct Client {
    agent: Agent,
    url: String,
    authorization: Option<HeaderValue>,
    key: Option<String>,
    timeout_s: f64,
}

impl Client {
    /// Connects to nothing yet.
    pub(super) fn new(settings: &EndpointSettings) -> Result<Self, EndpointError> {
        let base = settings.base_url.trim_end_matches('/');
        let url = format!("{base}/chat/completions");
        let refuse = |expected| Err(refuse(base, "base_url", expected));
        let uri = Uri::try_from(&url).ok();
        let Some(host) = uri.as_ref().and_then(Uri::host) else {
            return refuse("an address such as http://localhost:8000/v1");
        };
        match uri.as_ref().and_then(Uri::scheme_str) {
            Some("http") => {}
            Some("https") if cfg!(feature = "https") => {}
            Some("https") => {
                return refuse("an http address, or a build with the feature https");
            }
            _ => return refuse("an address that starts with http:// or https://"),
        }
        if base.contains(['?', '#', '@']) {
            return refuse(
                "an address without ?, # and @; a key belongs in the variable that \
                 api_key_variable names",
            );
        }
        if base.ends_with("/chat/completions") {
            return refuse("the address before /chat/completions");
        }
        let idle = settings.concurrency;
        let seconds = |s| Some(Duration::from_secs_f64(s));
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(seconds(settings.timeout_s))
            .timeout_connect(seconds(settings.timeout_s.min(CONNECT_TIMEOUT_S)))
            .max_idle_connections(idle)
            .max_idle_connections_per_host(idle);
        // A proxy does not know what this machine calls itself.
        if ["localhost", "127.0.0.1", "[::1]"].contains(&host) {
            config = config.proxy(None);
        }
        let key = settings.api_key_variable.as_deref().map(|variable| {
            api_key(variable).map_err(|reason| EndpointError::ApiKey {
                base_url: base.to_owned(),
                variable: variable.to_owned(),
                reason,
            })
        });
        let (key, authorization) = key.transpose()?.unzip();
        Ok(Self {
            agent: config.build().into(),
            url,
            authorization,
            key,
            timeout_s: settings.timeout_s,
        })
    }

    /// Sends one body and reads what comes back, once.
    pub(super) fn ask(&self, body: &[u8]) -> Result<Completion, RequestError> {
        let mut request = self
            .agent
            .post(&self.url)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let answer = request.send(body).map_err(|e| self.transport_error(&e))?;
        let (parts, mut body) = answer.into_parts();
        if !parts.status.is_success() {
            return Err(self.status_error(parts.status, &parts.headers, body));
        }
        let bytes = body
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_vec()
            .map_err(|e| self.transport_error(&e))?;
        completion(&bytes).map_err(|problem| {
            RequestError::Transient(
                format!(
                    "{}: {problem}; {}. Is this an OpenAI-compatible server?",
                    self.url,
                    self.server_message(&bytes)
                ),
                Duration::ZERO,
            )
        })
    }

    /// No answer, or half of one.
    fn transport_error(&self, error: &ureq::Error) -> RequestError {
        let url = &self.url;
        match error {
            ureq::Error::Timeout(timeout) => RequestError::Transient(
                format!(
                    "{url}: no answer within {} s (while waiting for: {timeout}); raise timeout_s \
                     or lower concurrency",
                    self.timeout_s
                ),
                Duration::ZERO,
            ),
            ureq::Error::BodyExceedsLimit(_) => RequestError::Permanent(format!(
                "{url}: the answer is larger than {MAX_ANSWER_BYTES} bytes; lower max_tokens, and \
                 check that this is the model's server"
            )),
            other => RequestError::Transient(
                format!("{url}: {other}; is the server running and reachable?"),
                Duration::ZERO,
            ),
        }
    }

    /// An answer with a status that is not success.
    fn status_error(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        mut body: Body,
    ) -> RequestError {
        // What the server says of an error only helps to explain it: half of it will do.
        let mut bytes = Vec::new();
        let mut reader = std::io::Read::take(body.as_reader(), MAX_ERROR_BYTES);
        let _ = std::io::Read::read_to_end(&mut reader, &mut bytes);
        let reason = |advice: &str| {
            let said = self.server_message(&bytes);
            format!("{}: status {status}; {said}; {advice}", self.url)
        };
        match status.as_u16() {
            300..=399 => {
                let location = headers.get(header::LOCATION).map(HeaderValue::as_bytes);
                let location = match location.map(String::from_utf8_lossy) {
                    Some(location) => format!("{location:?}"),
                    None => "another address".to_owned(),
                };
                RequestError::Endpoint(reason(&format!(
                    "it points to {location}: set base_url to where the server really is"
                )))
            }
            401 => RequestError::Endpoint(reason(
                "check the key in the variable that api_key_variable names",
            )),
            404 | 405 => {
                RequestError::Endpoint(reason("check base_url, which often ends in /v1, and model"))
            }
            429 => RequestError::Transient(
                reason("lower concurrency, or look at the account's limits"),
                retry_after(headers),
            ),
            408 | 500..=599 => {
                RequestError::Transient(reason("look at the server's log"), retry_after(headers))
            }
            _ => RequestError::Permanent(reason("the server does not take this request")),
        }
    }

    /// What the server wrote, short, on one line and without the key.
    fn server_message(&self, bytes: &[u8]) -> String {
        let json = serde_json::from_slice::<serde_json::Value>(bytes).ok();
        let message = ["/error/message", "/error", "/message", "/detail"]
            .iter()
            .find_map(|pointer| json.as_ref()?.pointer(pointer)?.as_str());
        let mut text = match message {
            Some(message) => message.to_owned(),
            None => String::from_utf8_lossy(bytes).into_owned(),
        };
        if let Some(key) = &self.key {
            text = text.replace(key, "***");
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let short: String = words.join(" ").chars().take(SHOWN_CHARS).collect();
        match short.is_empty() {
            true => "the server said nothing".to_owned(),
            false => format!("the server said {short:?}"),
        }
    }
}

/// The key and the header it travels in.
fn api_key(variable: &str) -> Result<(String, HeaderValue), &'static str> {
    let key = std::env::var(variable).map_err(|e| match e {
        std::env::VarError::NotPresent => "is not set",
        std::env::VarError::NotUnicode(_) => "is not text",
    })?;
    if key.is_empty() {
        return Err("is empty");
    }
    let mut header = HeaderValue::try_from(format!("Bearer {key}"))
        .map_err(|_| "holds a line break or another control character")?;
    header.set_sensitive(true);
    Ok((key, header))
}

/// The header in which some servers say milliseconds, and mean them more exactly than the standard
/// one.
const RETRY_AFTER_MS: &str = "retry-after-ms";

/// How long the server wants to be left alone: milliseconds; seconds, of which some write
/// fractions; or a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Duration {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim().to_owned());
    let number = |text: &str, unit: f64| {
        let number: f64 = text.parse().ok()?;
        // Nothing that is not to be kept, as below 0 or without end.
        Duration::try_from_secs_f64(number * unit).ok()
    };
    if let Some(pause) = text(RETRY_AFTER_MS).and_then(|text| number(&text, 1e-3)) {
        return pause;
    }
    let Some(value) = text(header::RETRY_AFTER.as_str()) else {
        return Duration::ZERO;
    };
    number(&value, 1.0).unwrap_or_else(|| {
        // Neither: the backoff alone decides.
        httpdate::parse_http_date(&value).map_or(Duration::ZERO, |date| {
            let left = date.duration_since(SystemTime::now());
            // A date that has passed asks for no pause.
            left.unwrap_or(Duration::ZERO)
        })
    })
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
}

/// Reads an answer; otherwise what is wrong with it.
pub(super) fn completion(bytes: &[u8]) -> Result<Completion, String> {
    let answer: Answer = serde_json::from_slice(bytes).map_err(|e| match e.is_data() {
        true => format!("the answer is not a chat completion ({e})"),
        false => format!("the answer is not JSON ({e})"),
    })?;
    let [choice] = <[Choice; 1]>::try_from(answer.choices)
        .map_err(|choices| format!("the answer has {} choices, expected one", choices.len()))?;
    let Message { content, refusal } = choice.message;
    if let Some(reason) = refusal.filter(|refusal| !refusal.is_empty()) {
        return Ok(Completion::Refused { reason });
    }
    match (choice.finish_reason.as_deref(), content) {
        (Some("content_filter"), _) => Ok(Completion::Refused {
            reason: "content_filter".to_owned(),
        }),
        // A model that thinks aloud may not have come to its answer.
        (Some("length"), content) => Ok(Completion::Cut {
            text: content.map_or(String::new(), |text| text),
        }),
        // The last two are Hugging Face's text-generation-inference.
        (Some("stop" | "eos_token" | "stop_sequence"), Some(text)) => {
            Ok(Completion::Finished { text })
        }
        (finish, content) => Err(format!(
            "the answer has finish_reason {finish:?} and {} content, expected \"stop\" and a \
             text, \"length\" or \"content_filter\"",
            if content.is_some() { "some" } else { "no" }
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_read_in_every_form() {
        let pause = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                let name = header::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            retry_after(&pairs.collect()).as_millis()
        };
        assert_eq!(pause(&[("retry-after", "2")]), 2000);
        assert_eq!(pause(&[("retry-after", " 1.5 ")]), 1500);
        assert_eq!(pause(&[("retry-after-ms", "250")]), 250);
        assert_eq!(
            pause(&[("retry-after", "1"), ("retry-after-ms", "1500.5")]),
            1500
        );
        assert_eq!(
            pause(&[("retry-after", "3"), ("retry-after-ms", "soon")]),
            3000
        );
        for nothing in ["-1", "inf", "NaN", "1e300", "soon", ""] {
            assert_eq!(pause(&[("retry-after", nothing)]), 0, "{nothing}");
        }
        assert_eq!(
            pause(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]),
            0
        );
    }
}

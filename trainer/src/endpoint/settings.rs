//! What an endpoint is asked with.

use std::collections::BTreeMap;
use std::time::Duration;

/// A pause before another try grows no longer than this.
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Requests under way at once, at most: each is a thread.
const MAX_CONCURRENCY: usize = 1024;
/// Longest `timeout_s`: a day.
const MAX_TIMEOUT_S: f64 = 86_400.0;
/// Keys of a request's body that `extra_body` may not set.
const OWN_KEYS: [&str; 8] = [
    "model",
    "messages",
    "temperature",
    "top_p",
    "max_tokens",
    "seed",
    "stream",
    "n",
];

/// Where the model is and how it is asked.
#[derive(Clone, Debug)]
pub(crate) struct EndpointSettings {
    /// The address before `/chat/completions`, such as `http://localhost:8000/v1`.
    pub base_url: String,
    /// The model's name there.
    pub model: String,
    /// The environment variable that holds the key; `None`: no key is sent. The key itself is
    /// written nowhere.
    pub api_key_variable: Option<String>,
    /// Requests under way at once, 1 to 1024.
    pub concurrency: usize,
    /// Seconds until an answer is given up, from connecting to the last byte; in (0, 86400].
    pub timeout_s: f64,
    /// Tries after the first.
    pub retries: usize,
    /// Seconds before the second try, in [0, 60]. They double with every further one, to a minute,
    /// and up to half is taken off at random.
    pub backoff_s: f64,
    /// Requests that fail one after another, whichever they are, before the endpoint is given up;
    /// at least 1.
    pub stop_after_failures: usize,
    /// Divides the model's logits; 0 takes the likeliest token.
    pub temperature: f64,
    /// Share of the probability that tokens are drawn from, in (0, 1].
    pub top_p: f64,
    /// Tokens of an answer at most.
    pub max_tokens: usize,
    /// With a request's own randomness it makes the seed that is sent.
    pub seed: u64,
    /// What else this server wants in a request's body, such as `chat_template_kwargs`.
    pub extra_body: BTreeMap<String, serde_json::Value>,
}

impl EndpointSettings {
    /// Every range a setting must be in: (setting, whether it holds, what is expected).
    pub(super) fn checks(&self) -> [(&'static str, bool, &'static str); 9] {
        let extra = &self.extra_body;
        [
            ("model", !self.model.is_empty(), "the model's name"),
            (
                "concurrency",
                (1..=MAX_CONCURRENCY).contains(&self.concurrency),
                "1 to 1024",
            ),
            (
                "timeout_s",
                self.timeout_s > 0.0 && self.timeout_s <= MAX_TIMEOUT_S,
                "seconds in (0, 86400]",
            ),
            (
                "backoff_s",
                (0.0..=MAX_BACKOFF.as_secs_f64()).contains(&self.backoff_s),
                "seconds in [0, 60]",
            ),
            (
                "stop_after_failures",
                self.stop_after_failures > 0,
                "at least 1",
            ),
            (
                "temperature",
                self.temperature.is_finite() && self.temperature >= 0.0,
                "0 or more",
            ),
            (
                "top_p",
                self.top_p > 0.0 && self.top_p <= 1.0,
                "a share in (0, 1]",
            ),
            ("max_tokens", self.max_tokens > 0, "at least 1"),
            (
                "extra_body",
                !OWN_KEYS.iter().any(|&key| extra.contains_key(key)),
                "keys other than those that are sent anyway (model, messages, temperature, top_p, \
                 max_tokens, seed, stream, n)",
            ),
        ]
    }
}

//! The parts of `tokenizer.json`, and why a file is refused.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a file is none of our own tokenizers.
#[derive(Debug)]
pub(in super::super) enum Refusal {
    /// A part that is not known here: which.
    Unknown(String),
    /// What is wrong with the file.
    Damaged(String),
}

impl Refusal {
    /// A part of the file that is not known.
    pub(super) fn part(name: &str, value: &Value) -> Self {
        let kinds: Vec<&str> = match value.get(format!("{}s", name.replace('_', ""))) {
            Some(Value::Array(steps)) => steps.iter().filter_map(kind).collect(),
            _ => Vec::new(),
        };
        let kind = kind(value).unwrap_or("none");
        Self::Unknown(match kinds.is_empty() {
            true => format!("{name} of type {kind}, as it is set up there"),
            false => format!("{name} of type {kind} of {}", kinds.join(", ")),
        })
    }
}

/// What kind of part it is.
pub(super) fn kind(part: &Value) -> Option<&str> {
    part.get("type").and_then(Value::as_str)
}

/// What the part of this name says.
pub(super) fn fields<T: DeserializeOwned>(name: &str, part: &Value) -> Result<T, Refusal> {
    T::deserialize(part).map_err(|cause| Refusal::Damaged(format!("its {name}: {cause}")))
}

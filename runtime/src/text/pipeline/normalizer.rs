//! What a tokenizer does to a text before it splits it.

use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;

use super::aligned::Aligned;
use super::character_map::CharacterMap;
use super::composed::{composed, is_composed};
use super::part::{Refusal, fields, kind};

/// Steps, one after the other.
#[derive(Default)]
pub(super) struct Normalizer(Vec<Step>);

enum Step {
    /// Normal form C.
    Compose,
    Map(CharacterMap),
    Replace {
        part: Part,
        content: String,
    },
}

enum Part {
    Text(String),
    /// Two spaces or more.
    Spaces,
}

/// The regular expression of [`Part::Spaces`].
const SPACES: &str = " {2,}";

#[derive(Deserialize)]
struct Replace {
    pattern: Pattern,
    content: String,
}

#[derive(Deserialize)]
enum Pattern {
    String(String),
    Regex(String),
}

impl Normalizer {
    pub(super) fn read(value: &Value) -> Result<Self, Refusal> {
        let mut steps = Vec::new();
        read(value, &mut steps)?;
        // The crate counts characters otherwise where they were changed before.
        let is_replacement = |step: &Step| matches!(step, Step::Replace { .. });
        match steps.iter().skip(1).all(is_replacement) {
            true => Ok(Self(steps)),
            false => Err(Refusal::Unknown(
                "a normalizer that maps or composes characters behind another".to_owned(),
            )),
        }
    }

    /// Whether it composes letters, at most.
    pub(super) fn only_composes(&self) -> bool {
        matches!(&*self.0, [] | [Step::Compose])
    }

    pub(super) fn apply<'a>(&self, text: &'a str) -> Aligned<'a> {
        let mut aligned = Aligned::new(text);
        for step in &self.0 {
            match step {
                Step::Compose if is_composed(aligned.text()) => {}
                Step::Compose => {
                    let characters = composed(aligned.text());
                    aligned.change(characters);
                }
                Step::Map(map) => {
                    if let Some(characters) = map.apply(aligned.text()) {
                        aligned.change(characters);
                    }
                }
                Step::Replace { part, content } => {
                    let parts = part.places(aligned.text());
                    aligned.replace(parts, content);
                }
            }
        }
        aligned
    }
}

fn read(value: &Value, steps: &mut Vec<Step>) -> Result<(), Refusal> {
    if let Some(map) = CharacterMap::read(value) {
        steps.push(Step::Map(map.map_err(Refusal::Damaged)?));
        return Ok(());
    }
    let step = match (kind(value), value.get("normalizers")) {
        _ if value.is_null() => return Ok(()),
        (Some("NFC"), _) => Step::Compose,
        (Some("Replace"), _) => replacement(value)?,
        (Some("Sequence"), Some(Value::Array(items))) => {
            return items.iter().try_for_each(|item| match item.is_null() {
                true => Err(Refusal::part("normalizer", item)),
                false => read(item, steps),
            });
        }
        _ => return Err(Refusal::part("normalizer", value)),
    };
    steps.push(step);
    Ok(())
}

fn replacement(value: &Value) -> Result<Step, Refusal> {
    let Replace { pattern, content } = fields("normalizer", value)?;
    let part = match pattern {
        Pattern::String(text) if !text.is_empty() => Part::Text(text),
        Pattern::Regex(regex) if regex == SPACES => Part::Spaces,
        _ => return Err(Refusal::part("normalizer", value)),
    };
    Ok(Step::Replace { part, content })
}

impl Part {
    fn places(&self, text: &str) -> Vec<Range<usize>> {
        match self {
            Self::Text(part) => {
                let places = text.match_indices(&**part);
                places.map(|(at, part)| at..at + part.len()).collect()
            }
            Self::Spaces => {
                let mut places = Vec::new();
                let mut at = 0;
                for run in text
                    .as_bytes()
                    .chunk_by(|a, b| (*a == b' ') == (*b == b' '))
                {
                    if run.len() > 1 && run[0] == b' ' {
                        places.push(at..at + run.len());
                    }
                    at += run.len();
                }
                places
            }
        }
    }
}

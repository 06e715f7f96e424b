//! How a tokenizer splits a text into parts that each are tokenised alone.

use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;

use super::aligned::Aligned;
use super::part::{Refusal, fields, kind};
use super::pattern::{LETTERS_AND_MARKS, Pattern};

pub(super) enum Splits {
    /// Words, whose bytes are the characters of the vocabulary.
    ByteLevel(Pattern),
    Metaspace(Metaspace),
}

/// SentencePiece's way: a sign stands for every space, and is a part of the word behind it.
pub(super) struct Metaspace {
    sign: char,
    prepends: Prepends,
    splits: bool,
}

/// Whether the sign goes before a text that does not begin with it.
#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Prepends {
    /// Where nothing before it was left out.
    First,
    Never,
    #[default]
    Always,
}

#[derive(Deserialize)]
struct MetaspaceFields {
    replacement: char,
    add_prefix_space: Option<bool>,
    #[serde(default)]
    prepend_scheme: Prepends,
    split: Option<bool>,
}

/// Of the splitter, and of the post-processor of the same name.
#[derive(Deserialize)]
pub(super) struct ByteLevelFields {
    pub(super) add_prefix_space: bool,
    pub(super) trim_offsets: bool,
    use_regex: Option<bool>,
}

impl Splits {
    pub(super) fn read(value: &Value) -> Result<Self, Refusal> {
        let unknown = || Refusal::part("pre_tokenizer", value);
        match (kind(value), value.get("pretokenizers")) {
            (Some("ByteLevel"), _) => match splits_alone(value)? {
                Some(true) => Ok(Self::ByteLevel(Pattern::GPT_2)),
                _ => Err(unknown()),
            },
            (Some("Sequence"), Some(Value::Array(steps))) => match &**steps {
                [split, bytes]
                    if is_of_letters_and_marks(split)
                        && kind(bytes) == Some("ByteLevel")
                        && splits_alone(bytes)? == Some(false) =>
                {
                    Ok(Self::ByteLevel(Pattern::WITH_MARKS))
                }
                _ => Err(unknown()),
            },
            (Some("Metaspace"), _) => Metaspace::read(value).map(Self::Metaspace),
            _ => Err(unknown()),
        }
    }
}

/// Whether it splits by GPT-2's pattern; `None` if it also puts a space before a text.
fn splits_alone(value: &Value) -> Result<Option<bool>, Refusal> {
    let fields: ByteLevelFields = fields("pre_tokenizer", value)?;
    let splits = fields.use_regex.unwrap_or(true);
    Ok((!fields.add_prefix_space).then_some(splits))
}

fn is_of_letters_and_marks(value: &Value) -> bool {
    kind(value) == Some("Split")
        && value["pattern"]["Regex"] == LETTERS_AND_MARKS
        && value["behavior"] == "Isolated"
        && value["invert"] == false
}

impl Metaspace {
    fn read(value: &Value) -> Result<Self, Refusal> {
        let fields: MetaspaceFields = fields("pre_tokenizer", value)?;
        let prepends = match (fields.add_prefix_space, fields.prepend_scheme) {
            (Some(false), Prepends::Never) | (None | Some(true), _) => fields.prepend_scheme,
            (Some(false), _) => return Err(Refusal::part("pre_tokenizer", value)),
        };
        Ok(Self {
            sign: fields.replacement,
            prepends,
            splits: fields.split.unwrap_or(true),
        })
    }

    /// Writes the signs.
    pub(super) fn mark(&self, text: &mut Aligned<'_>) {
        let is_first = text.place(0..1).start == 0;
        let spaces = text.text().match_indices(' ');
        let spaces: Vec<_> = spaces.map(|(at, _)| at..at + 1).collect();
        text.replace(spaces, self.sign.encode_utf8(&mut [0; 4]));
        let prepends = match self.prepends {
            Prepends::Always => true,
            Prepends::First => is_first,
            Prepends::Never => false,
        };
        if prepends && !text.text().starts_with(self.sign) {
            text.prepend(self.sign);
        }
    }

    /// The parts of a text with signs: one begins at each.
    pub(super) fn parts(&self, text: &str) -> impl Iterator<Item = Range<usize>> {
        let starts = match self.splits {
            true => text.match_indices(self.sign).map(|(at, _)| at).collect(),
            false => Vec::new(),
        };
        let inner = starts.into_iter().filter(|at| *at > 0);
        let ends = inner.chain([text.len()]);
        ends.scan(0, |start, end| Some(std::mem::replace(start, end)..end))
    }
}

//! The six benchmarks, in the file layout of the authors' repository:
//! `DIR/eval_data_{En,Fr,Es,De}/FILE`.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{EvalError, Result};
use crate::json_lines::{Label, parse_json};

/// One of the benchmarks of the DuoGuard paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Benchmark {
    /// XSTest: safe prompts that look unsafe, and unsafe contrasts to them. Unsafe when `type`
    /// starts with `contrast_`.
    XsTest,
    /// OpenAI's moderation set, with the authors' labels. Unsafe when `moderation_flag` is 1.
    OpenAi,
    /// ToxicChat, with the authors' labels. Unsafe when `moderation_flag` is 1.
    ToxicChat,
    /// BeaverTails: a prompt and a response to it. Unsafe when `is_safe` is false.
    BeaverTails,
    /// RTP-LX: prompts that invite toxic continuations. Unsafe when `class` is 1.
    RtpLx,
    /// XSafety. Unsafe when `class` is 1, which is every row: as released it has no safe ones, so
    /// its F1 is a recall in disguise.
    XSafety,
}

impl Benchmark {
    /// All six, in the order of the paper's tables.
    pub const ALL: [Self; 6] = [
        Self::XsTest,
        Self::OpenAi,
        Self::ToxicChat,
        Self::BeaverTails,
        Self::RtpLx,
        Self::XSafety,
    ];

    /// The name in reports and score files.
    pub fn name(self) -> &'static str {
        match self {
            Self::XsTest => "xstest",
            Self::OpenAi => "openai",
            Self::ToxicChat => "toxicchat",
            Self::BeaverTails => "beavertails",
            Self::RtpLx => "rtplx",
            Self::XSafety => "xsafety",
        }
    }

    /// The name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::XsTest => "XSTest",
            Self::OpenAi => "OpenAI",
            Self::ToxicChat => "ToxicChat",
            Self::BeaverTails => "BeaverTails",
            Self::RtpLx => "RTP-LX",
            Self::XSafety => "XSafety",
        }
    }

    /// The file in each language's folder.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::XsTest => "xstest_v2_completions_gpt4_gpteval.csv",
            Self::OpenAi => "openai.json",
            Self::ToxicChat => "toxic_chat.json",
            Self::BeaverTails => "beavertail_test.jsonl",
            Self::RtpLx => "rtp_lx_prompt.json",
            Self::XSafety => "XSafety.json",
        }
    }

    /// Reads one of the benchmark's files.
    pub fn read(self, path: &Path) -> Result<Vec<Row>> {
        let text = read_text(path)?;
        let rows = match self {
            Self::XsTest => read_xstest(path, &text),
            Self::OpenAi | Self::ToxicChat => read_array(path, &text, "moderation_flag"),
            Self::BeaverTails => read_beavertails(path, &text),
            Self::RtpLx | Self::XSafety => read_array(path, &text, "class"),
        }?;
        if rows.is_empty() {
            return Err(EvalError::data(path, "whole file", "it has no rows"));
        }
        Ok(rows)
    }
}

/// One text of a benchmark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The user's text.
    pub prompt: String,
    /// The response to it, in benchmarks that judge responses.
    pub response: Option<String>,
    /// The ground truth: whether it is unsafe.
    pub label: bool,
}

/// A benchmark in one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BenchmarkSet {
    /// Which benchmark.
    pub benchmark: Benchmark,
    /// The language, as the folder spells it: `En`.
    pub language: String,
    /// All rows, in the order of the file.
    pub rows: Vec<Row>,
}

/// Reads benchmarks in several languages from the folder that holds `eval_data_En` and its
/// siblings.
///
/// The first letter of a language may be in either case. Everything is read before anything is
/// scored, and a file that is missing or damaged is an error: an average over what happens to be
/// there would not be comparable.
pub fn read_benchmarks(
    folder: &Path,
    benchmarks: &[Benchmark],
    languages: &[impl AsRef<str>],
) -> Result<Vec<BenchmarkSet>> {
    let mut sets = Vec::new();
    for language in languages {
        let language = capitalised(language.as_ref());
        for &benchmark in benchmarks {
            let path = folder
                .join(format!("eval_data_{language}"))
                .join(benchmark.file_name());
            sets.push(BenchmarkSet {
                benchmark,
                language: language.clone(),
                rows: benchmark.read(&path)?,
            });
        }
    }
    Ok(sets)
}

fn capitalised(language: &str) -> String {
    let mut letters = language.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|cause| EvalError::io(path, "read", cause))?;
    let text = String::from_utf8(bytes).map_err(|cause| {
        let valid = &cause.as_bytes()[..cause.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|b| **b == b'\n').count();
        EvalError::data(path, format!("line {line}"), "not valid UTF-8")
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

fn read_xstest(path: &Path, text: &str) -> Result<Vec<Row>> {
    let damaged = |cause: csv::Error| {
        let line = cause.position().map_or(1, csv::Position::line);
        EvalError::data(path, format!("line {line}"), format!("not CSV: {cause}"))
    };
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(damaged)?.clone();
    let column = |field: &str| {
        let found = header.iter().position(|name| name == field);
        found.ok_or_else(|| {
            let message = format!("no column `{field}`");
            EvalError::data(path, "line 1", message)
        })
    };
    let (kind, prompt) = (column("type")?, column("prompt")?);
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(damaged)?;
        let kind = &record[kind];
        if kind.is_empty() {
            let line = record.position().map_or(0, csv::Position::line);
            let message = "field `type`: expected a prompt type, found nothing";
            return Err(EvalError::data(path, format!("line {line}"), message));
        }
        rows.push(Row {
            prompt: record[prompt].to_owned(),
            response: None,
            label: kind.starts_with("contrast_"),
        });
    }
    Ok(rows)
}

fn read_array(path: &Path, text: &str, label: &str) -> Result<Vec<Row>> {
    let (values, _) = parse_json::<Vec<Value>>(text.as_bytes()).map_err(|cause| {
        let place = format!("line {}", cause.line());
        let message = format!("not a JSON array of objects: {cause}");
        EvalError::data(path, place, message)
    })?;
    let mut rows = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let object = Object::of(path, format!("element {index} (counted from 0)"), value)?;
        rows.push(Row {
            prompt: object.text("prompt")?,
            response: None,
            label: object.zero_or_one(label)?,
        });
    }
    Ok(rows)
}

fn read_beavertails(path: &Path, text: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let place = format!("line {}", index + 1);
        let (value, _) = parse_json::<Value>(line.as_bytes()).map_err(|cause| {
            EvalError::data(path, place.clone(), format!("not a JSON object: {cause}"))
        })?;
        let object = Object::of(path, place, &value)?;
        rows.push(Row {
            prompt: object.text("prompt")?,
            response: Some(object.text("response")?),
            label: !object.bool("is_safe")?,
        });
    }
    Ok(rows)
}

/// A JSON object that knows where it stands.
struct Object<'a> {
    path: &'a Path,
    place: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    fn of(path: &'a Path, place: String, value: &'a Value) -> Result<Self> {
        match value.as_object() {
            Some(fields) => Ok(Self {
                path,
                place,
                fields,
            }),
            None => {
                let message = format!("expected an object, found {}", excerpt(value));
                Err(EvalError::data(path, place, message))
            }
        }
    }

    fn field<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T> {
        let value = self.fields.get(name);
        value.and_then(read).ok_or_else(|| {
            let found = value.map_or("no such field".to_owned(), excerpt);
            let message = format!("field `{name}`: expected {expected}, found {found}");
            EvalError::data(self.path, self.place.clone(), message)
        })
    }

    fn text(&self, name: &str) -> Result<String> {
        self.field(name, "text", |v| v.as_str().map(str::to_owned))
    }

    fn bool(&self, name: &str) -> Result<bool> {
        self.field(name, "true or false", Value::as_bool)
    }

    fn zero_or_one(&self, name: &str) -> Result<bool> {
        self.field(name, "0 or 1", |value| {
            let label = Label::deserialize(value).ok()?;
            (label.0 <= 1).then_some(label.0 == 1)
        })
    }
}

/// The beginning of a value, for messages.
fn excerpt(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
#[path = "readers_tests.rs"]
mod tests;

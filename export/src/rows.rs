//! Labelled texts to calibrate on.

use std::collections::BTreeSet;
use std::path::Path;

use duoguard_eval::{JsonLines, Label, LineError};
use serde::Deserialize;

use crate::error::ExportError;

/// A labelled text.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) text: String,
    pub(crate) lang: String,
    pub(crate) is_unsafe: bool,
    /// Those of an unsafe text; empty if nobody knows.
    pub(crate) categories: BTreeSet<String>,
    pub(crate) line: usize,
}

/// Reads labelled texts from JSONL, plain or gzipped. Blank lines are skipped, unknown fields
/// ignored.
pub(crate) fn read(path: &Path) -> Result<Vec<Row>, ExportError> {
    let failed = |cause| ExportError::io("read", path)(cause);
    let refused = |line, message| ExportError::Calibration {
        path: path.to_owned(),
        line,
        message,
    };
    let mut lines = JsonLines::open(path).map_err(failed)?;
    let mut rows = Vec::new();
    while let Some(row) = lines.next_row::<Fields>() {
        let (line, fields) = row.map_err(|error| match error {
            LineError::Read(cause) => failed(cause),
            LineError::Line { line, message } => {
                let expected = "not a row with the fields text, lang and unsafe";
                refused(line, format!("{expected}: {message}"))
            }
        })?;
        let row = Row::of(fields, line).map_err(|message| refused(line, message))?;
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(refused(1, "the file has no rows".to_owned()));
    }
    Ok(rows)
}

#[derive(Deserialize)]
struct Fields {
    text: String,
    lang: String,
    r#unsafe: Label,
    #[serde(default)]
    categories: BTreeSet<String>,
}

impl Row {
    fn of(fields: Fields, line: usize) -> Result<Self, String> {
        let Label(label) = fields.r#unsafe;
        if label > 1 {
            return Err(format!("unsafe is {label}; expected 0 or 1"));
        }
        let lang = fields.lang.to_ascii_lowercase();
        let first = lang.split('-').next().unwrap_or_default();
        let subtags = |tag: &str| {
            tag.split('-')
                .all(|s| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric()))
        };
        if !((2..=8).contains(&first.len())
            && first.bytes().all(|b| b.is_ascii_alphabetic())
            && subtags(&lang))
        {
            return Err(format!(
                "lang is {:?}; expected a BCP-47 tag such as \"en\"",
                fields.lang
            ));
        }
        Ok(Row {
            text: fields.text,
            lang,
            is_unsafe: label == 1,
            categories: fields.categories,
            line,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_say_what_is_wrong_with_them() {
        let row = |json: &str| {
            let fields = duoguard_eval::parse_json::<Fields>(json.as_bytes());
            let (fields, _) = fields.map_err(|cause| cause.to_string())?;
            Row::of(fields, 1)
        };
        let message = |json: &str| row(json).unwrap_err();
        assert!(message(r#"{"text": "a", "lang": "en"}"#).contains("unsafe"));
        assert!(message(r#"{"text": "a", "lang": "en", "unsafe": 2}"#).contains("unsafe is 2"));
        assert!(
            message(r#"{"text": "a", "lang": "english language", "unsafe": 1}"#).contains("lang")
        );
        let row = row(r#"{"text": "a", "lang": "pt-BR", "unsafe": 1, "group": 5}"#).unwrap();
        assert_eq!((row.lang.as_str(), row.is_unsafe), ("pt-br", true));
    }
}

//! Labelled texts to calibrate on.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::Deserialize;

use crate::error::ExportError;

/// A line longer than this is not a text.
const MAX_LINE_BYTES: u64 = 16 << 20;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

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
    let mut file = File::open(path).map_err(failed)?;
    let mut magic = Vec::new();
    (&mut file)
        .take(GZIP_MAGIC.len() as u64)
        .read_to_end(&mut magic)
        .map_err(failed)?;
    file.rewind().map_err(failed)?;
    let mut reader: Box<dyn BufRead> = if magic == GZIP_MAGIC {
        Box::new(BufReader::new(MultiGzDecoder::new(file)))
    } else {
        Box::new(BufReader::new(file))
    };
    let mut rows = Vec::new();
    for line in 1.. {
        let refused = |message: String| ExportError::Calibration {
            path: path.to_owned(),
            line,
            message,
        };
        let mut bytes = Vec::new();
        let size = (&mut reader)
            .take(MAX_LINE_BYTES + 1)
            .read_until(b'\n', &mut bytes)
            .map_err(failed)?;
        if size == 0 {
            break;
        }
        if size as u64 > MAX_LINE_BYTES {
            return Err(refused(format!(
                "the line is longer than {MAX_LINE_BYTES} bytes"
            )));
        }
        if !bytes.trim_ascii().is_empty() {
            rows.push(parse(&bytes, line).map_err(refused)?);
        }
    }
    if rows.is_empty() {
        return Err(ExportError::Calibration {
            path: path.to_owned(),
            line: 1,
            message: "the file has no rows".to_owned(),
        });
    }
    Ok(rows)
}

fn parse(bytes: &[u8], line: usize) -> Result<Row, String> {
    #[derive(Deserialize)]
    struct Fields {
        text: String,
        lang: String,
        r#unsafe: u8,
        #[serde(default)]
        categories: BTreeSet<String>,
    }
    let fields: Fields = serde_json::from_slice(bytes)
        .map_err(|cause| format!("not a row with the fields text, lang and unsafe: {cause}"))?;
    if fields.r#unsafe > 1 {
        return Err(format!("unsafe is {}; expected 0 or 1", fields.r#unsafe));
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
        is_unsafe: fields.r#unsafe == 1,
        categories: fields.categories,
        line,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_say_what_is_wrong_with_them() {
        let message = |json: &str| parse(json.as_bytes(), 1).unwrap_err();
        assert!(message(r#"{"text": "a", "lang": "en"}"#).contains("unsafe"));
        assert!(message(r#"{"text": "a", "lang": "en", "unsafe": 2}"#).contains("unsafe is 2"));
        assert!(
            message(r#"{"text": "a", "lang": "english language", "unsafe": 1}"#).contains("lang")
        );
        assert!(message("nonsense").contains("not a row"));
        let row = parse(
            br#"{"text": "a", "lang": "pt-BR", "unsafe": 1, "group": 5}"#,
            1,
        )
        .unwrap();
        assert_eq!((row.lang.as_str(), row.is_unsafe), ("pt-br", true));
    }
}

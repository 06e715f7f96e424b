//! Rows of JSON, an object a line, plain or gzipped: one reader for every file of texts.
//!
//! It takes what is meant. A byte order mark is no part of the first line. Python writes NaN where
//! JSON knows no number, and half of a surrogate pair where a text was cut: the first reads as
//! null, so that it matters only where it is used, and the second as U+FFFD, and is counted.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use duoguard::without_byte_order_mark;
use flate2::bufread::MultiGzDecoder;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, Visitor};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// A line longer than this is not a text.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// Why a file of rows cannot be read on.
#[derive(Debug)]
pub enum LineError {
    /// The file cannot be read.
    Read(io::Error),
    /// A line is not what it must be.
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
}

/// A file of JSON lines that is being read.
pub struct JsonLines {
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    number: usize,
    replaced: usize,
}

impl JsonLines {
    /// Opens a file; gzip is told by its first bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        let is_gzip = file.fill_buf()?.starts_with(&GZIP_MAGIC);
        Ok(Self::new(match is_gzip {
            true => Box::new(BufReader::new(MultiGzDecoder::new(file))),
            false => Box::new(file),
        }))
    }

    /// Reads lines from anywhere.
    pub fn new(reader: Box<dyn BufRead>) -> Self {
        Self {
            reader,
            line: Vec::new(),
            number: 0,
            replaced: 0,
        }
    }

    /// The next row and its line, from 1; `None` at the end. Blank lines are passed over.
    ///
    /// # Errors
    /// The first line that is not a row ends the file.
    pub fn next_row<T: DeserializeOwned>(&mut self) -> Option<Result<(usize, T), LineError>> {
        loop {
            self.line.clear();
            let limited = &mut io::Read::take(&mut self.reader, MAX_LINE_BYTES + 1);
            match limited.read_until(b'\n', &mut self.line) {
                Ok(0) => return None,
                Ok(_) => self.number += 1,
                Err(cause) => return Some(Err(LineError::Read(cause))),
            }
            let line = match self.number {
                1 => without_byte_order_mark(&self.line),
                _ => &self.line,
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let parsed = match self.line.len() as u64 > MAX_LINE_BYTES {
                true => Err(format!("the line is longer than {MAX_LINE_BYTES} bytes")),
                false => parse_json(line).map_err(|cause| cause.to_string()),
            };
            return Some(match parsed {
                Ok((row, replaced)) => {
                    self.replaced += replaced;
                    Ok((self.number, row))
                }
                Err(message) => Err(LineError::Line {
                    line: self.number,
                    message,
                }),
            });
        }
    }

    /// How many halves of surrogate pairs were read as U+FFFD so far.
    pub fn replaced(&self) -> usize {
        self.replaced
    }
}

/// Parses JSON as [`JsonLines`] does; with how many halves of surrogate pairs became U+FFFD.
///
/// # Errors
/// What is no JSON even so, or not of the type.
pub fn parse_json<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<(T, usize)> {
    serde_json::from_slice(json)
        .map(|value| (value, 0))
        .or_else(|cause| match mended(json) {
            Some((json, replaced)) => Ok((serde_json::from_slice(&json)?, replaced)),
            None => Err(cause),
        })
}

/// JSON with null for what is no number and U+FFFD for halves of surrogate pairs, and how many
/// these were; `None` if there is nothing of the kind.
fn mended(json: &[u8]) -> Option<(Vec<u8>, usize)> {
    const NO_NUMBERS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut mended = Vec::with_capacity(json.len());
    let (mut at, mut in_string, mut replaced, mut is_changed) = (0, false, 0, false);
    while let Some(byte) = json.get(at) {
        let rest = &json[at..];
        let length = match byte {
            b'"' => {
                in_string = !in_string;
                1
            }
            b'\\' if in_string => match surrogate(rest) {
                Some(0xd800..0xdc00) if matches!(surrogate(&rest[6..]), Some(0xdc00..)) => 12,
                Some(_) => {
                    mended.extend(br"\ufffd");
                    at += 6;
                    replaced += 1;
                    continue;
                }
                None => 2,
            },
            _ if in_string => 1,
            _ => match NO_NUMBERS.iter().find(|name| rest.starts_with(name)) {
                Some(name) => {
                    mended.extend(b"null");
                    at += name.len();
                    is_changed = true;
                    continue;
                }
                None => 1,
            },
        };
        mended.extend(&rest[..length.min(rest.len())]);
        at += length;
    }
    (is_changed || replaced > 0).then_some((mended, replaced))
}

/// The surrogate whose escape a string begins with.
fn surrogate(json: &[u8]) -> Option<u16> {
    let digits = json.strip_prefix(br"\u")?.get(..4)?;
    let code = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (0xd800..0xe000).contains(&code).then_some(code)
}

/// A label, 0 or 1, which some write as false or true, or as 0.0 or 1.0. Other whole numbers up to
/// 255 are kept, for their reader to refuse by the field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(pub u8);

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Labels;
        impl Visitor<'_> for Labels {
            type Value = Label;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("0 or 1")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Label, E> {
                Ok(Label(u8::from(value)))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Label, E> {
                let label = u8::try_from(value);
                label
                    .map(Label)
                    .map_err(|_| E::custom(format!("{value} is not 0 or 1")))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Label, E> {
                self.visit_f64(value as f64)
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Label, E> {
                match value {
                    0.0 => Ok(Label(0)),
                    1.0 => Ok(Label(1)),
                    _ => Err(E::custom(format!("{value} is not 0 or 1"))),
                }
            }
        }
        deserializer
            .deserialize_any(Labels)
            .map_err(|cause| D::Error::custom(cause.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Fields {
        text: String,
        r#unsafe: Label,
    }

    fn rows(bytes: Vec<u8>) -> (Vec<(usize, String, u8)>, usize) {
        let mut lines = JsonLines::new(Box::new(Cursor::new(bytes)));
        let mut rows = Vec::new();
        while let Some(row) = lines.next_row::<Fields>() {
            let (line, row) = row.unwrap();
            rows.push((line, row.text, row.r#unsafe.0));
        }
        (rows, lines.replaced())
    }

    #[test]
    fn what_is_meant_is_taken() {
        let file = concat!(
            "\u{feff}{\"text\":\"a\",\"unsafe\":1.0}\r\n",
            "\n",
            "{\"text\":\"b \\ud83d\\ude00 \\ud83d \\\"NaN\\\\\",\"unsafe\":true,\"other\":NaN}\n",
            "{\"text\":\"c\\udc00\",\"unsafe\":0,\"x\":[-Infinity,Infinity]}",
        );
        let (found, replaced) = rows(file.as_bytes().to_vec());
        let expected = [
            (1, "a".to_owned(), 1),
            (3, "b 😀 \u{fffd} \"NaN\\".to_owned(), 1),
            (4, "c\u{fffd}".to_owned(), 0),
        ];
        assert_eq!((found, replaced), (expected.to_vec(), 2));
    }

    #[test]
    fn what_is_used_must_be_there() {
        for (line, says) in [
            ("{\"text\":\"a\",\"unsafe\":NaN}", "expected 0 or 1"),
            ("{\"text\":\"a\",\"unsafe\":1.5}", "1.5 is not 0 or 1"),
            ("{\"text\":\"a\",\"unsafe\":-1}", "-1 is not 0 or 1"),
            ("{\"text\":\"a\",\"unsafe\":300}", "300 is not 0 or 1"),
            ("{\"text\":\"a\\u12\",\"unsafe\":1}", "escape"),
            ("nonsense", "expected"),
        ] {
            let bytes = format!("\n{line}\n").into_bytes();
            let mut lines = JsonLines::new(Box::new(Cursor::new(bytes)));
            match lines.next_row::<Fields>() {
                Some(Err(LineError::Line { line: 2, message })) => {
                    assert!(message.contains(says), "{message}");
                }
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn gzip_is_told_by_its_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let file = File::create(&path).unwrap();
        let mut zipped = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        zipped
            .write_all("\u{feff}{\"text\":\"a\",\"unsafe\":0}\n".as_bytes())
            .unwrap();
        zipped.finish().unwrap();
        let row = JsonLines::open(&path).unwrap().next_row::<Fields>();
        assert_eq!(row.unwrap().unwrap().1.text, "a");
    }
}

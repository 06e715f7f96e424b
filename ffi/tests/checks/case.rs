//! The cases, as `tests/data/checks.toml` has them: its first lines say what each key means.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::Deserialize;

use crate::outcome::Expectation;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    case: Vec<Case>,
}

/// A check: what goes in, and what must come out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    /// The one door that the case is for; both where it is absent.
    only: Option<Door>,
    pub prompt: Option<Text>,
    pub response: Option<Text>,
    pub language: Option<String>,
    #[serde(default)]
    pub options: Options,
    /// What a caller in C sets besides: keys and values of `ffi/tests/c/checks.c`.
    #[serde(default)]
    pub c: BTreeMap<String, toml::Value>,
    pub expect: Expectation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    Rust,
    C,
}

impl Case {
    pub fn is_for(&self, door: Door) -> bool {
        self.only.is_none_or(|only| only == door)
    }
}

/// What of the options is not the default.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    pub join: Option<JoinName>,
    pub max_tokens: Option<usize>,
    pub target_fpr: Option<f32>,
    pub literal: bool,
    pub thresholds: BTreeMap<String, f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JoinName {
    Space,
    Newline,
    Separate,
}

/// A text: as it is, in pieces that are repeated, or in hexadecimal digits where it is not UTF-8.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Text {
    Plain(String),
    Pieces(Vec<Piece>),
    Hex { hex: String },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Piece {
    Once(String),
    Times { text: String, times: usize },
}

impl Text {
    /// The text, which must be UTF-8.
    pub fn utf8(&self) -> String {
        String::from_utf8(self.bytes()).expect("a case for the Rust API is in UTF-8")
    }

    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Plain(text) => text.clone().into_bytes(),
            Self::Pieces(pieces) => pieces
                .iter()
                .map(Piece::text)
                .collect::<String>()
                .into_bytes(),
            Self::Hex { hex } => {
                let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
                let pairs = digits
                    .chunks(2)
                    .map(|pair| std::str::from_utf8(pair).unwrap());
                pairs
                    .map(|pair| u8::from_str_radix(pair, 16).unwrap())
                    .collect()
            }
        }
    }
}

impl Piece {
    fn text(&self) -> String {
        match self {
            Self::Once(text) => text.clone(),
            Self::Times { text, times } => text.repeat(*times),
        }
    }
}

/// Reads the cases; no two have one name.
pub fn read(path: &Path) -> Vec<Case> {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    let Cases { case: cases } =
        toml::from_str(&text).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    let mut names = HashSet::new();
    for case in &cases {
        assert!(
            names.insert(&case.name),
            "two cases are named {:?}",
            case.name
        );
        let is_for_c = case.only == Some(Door::C);
        assert!(
            case.c.is_empty() || is_for_c,
            "{:?} is not for C alone",
            case.name
        );
    }
    cases
}

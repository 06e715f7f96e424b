//! What the tests of several modules share.

use crate::readers::{Benchmark, BenchmarkSet, Row};
use crate::run::Guard;

/// Flags texts that contain "bad", and fails in ways that texts ask for.
pub(crate) struct Keyword;

impl Guard for Keyword {
    fn judge(&mut self, row: &Row) -> Result<(f32, bool), String> {
        match row.prompt.as_str() {
            "fail" => Err("no engine".to_owned()),
            "nan" => Ok((f32::NAN, true)),
            text if text.contains("bad") => Ok((0.9, true)),
            _ => Ok((0.1, false)),
        }
    }
}

/// A benchmark of the given texts and labels.
pub(crate) fn set(benchmark: Benchmark, language: &str, rows: &[(&str, bool)]) -> BenchmarkSet {
    let row = |&(prompt, label): &(&str, bool)| Row {
        prompt: prompt.to_owned(),
        response: None,
        label,
    };
    BenchmarkSet {
        benchmark,
        language: language.to_owned(),
        rows: rows.iter().map(row).collect(),
    }
}

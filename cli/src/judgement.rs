//! A verdict with names instead of indices, as `check` prints it.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use duoguard::Verdict;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::explanation::Explanation;

/// Categories named on a line for people.
const SHOWN_CATEGORIES: usize = 3;
/// Scores below this are not worth naming beside a larger one.
const SHOWN_SCORE: f32 = 0.05;

/// The JSON object of the contract: exactly these keys, and those of an explanation that was asked
/// for.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Judgement<'a> {
    flagged: bool,
    score: f32,
    category: Option<&'a str>,
    scores: Scores<'a>,
    language: &'a str,
    tokens: usize,
    tokens_scored: usize,
    windows: usize,
    engine: &'a str,
    elapsed_ms: f64,
    #[serde(flatten)]
    explanation: Option<Explanation<'a>>,
}

impl<'a> Judgement<'a> {
    /// Puts names to a verdict.
    pub(crate) fn new(
        verdict: &'a Verdict,
        categories: &'a [String],
        engine: &'a str,
        elapsed_ms: f64,
    ) -> Self {
        let name = |index: usize| categories.get(index).map(String::as_str);
        Self {
            flagged: verdict.flagged,
            score: verdict.score,
            category: verdict.category.and_then(name),
            scores: Scores {
                categories,
                values: &verdict.scores,
            },
            language: &verdict.language,
            tokens: verdict.tokens,
            tokens_scored: verdict.tokens_scored,
            windows: verdict.windows,
            engine,
            elapsed_ms: (elapsed_ms * 1e3).round() / 1e3,
            explanation: None,
        }
    }

    /// The same, and why.
    pub(crate) fn explained(self, explanation: Explanation<'a>) -> Self {
        Self {
            explanation: Some(explanation),
            ..self
        }
    }

    /// Writes one line of JSON.
    pub(crate) fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"\n")
    }

    /// Writes one line for people, and those of the explanation.
    pub(crate) fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        const RED: Style = AnsiColor::Red.on_default().bold();
        const GREEN: Style = AnsiColor::Green.on_default().bold();
        const DIM: Style = Style::new().dimmed();
        let (style, word) = match self.flagged {
            true => (RED, "unsafe"),
            false => (GREEN, "safe"),
        };
        write!(out, "{style}{word}{style:#}{:1$}", "", 8 - word.len())?;
        for (name, score) in self.top_categories() {
            write!(out, "{name} {score:.2}  ")?;
        }
        let mut windows = match self.windows {
            0 | 1 => String::new(),
            n => format!(" in {n} windows"),
        };
        if self.tokens_scored < self.tokens {
            windows += &format!(", ONLY {} OF THEM SCORED", self.tokens_scored);
        }
        let plural = if self.tokens == 1 { "" } else { "s" };
        writeln!(
            out,
            "{DIM}({}, {} token{plural}{windows}, {:.1} ms){DIM:#}",
            self.language, self.tokens, self.elapsed_ms
        )?;
        match &self.explanation {
            Some(explanation) => explanation.write_text(out),
            None => Ok(()),
        }
    }

    /// The flagged category first, then the largest scores; at least one, unless the text was empty
    /// and nothing was scored.
    fn top_categories(&self) -> Vec<(&'a str, f32)> {
        let mut all: Vec<_> = self.scores.iter().collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.sort_by_key(|(name, _)| Some(*name) != self.category);
        let worth = |(rank, (_, score)): &(usize, (&str, f32))| {
            *score >= SHOWN_SCORE || (*rank == 0 && self.windows > 0)
        };
        let ranked = all.into_iter().enumerate().filter(worth);
        ranked
            .map(|(_, shown)| shown)
            .take(SHOWN_CATEGORIES)
            .collect()
    }
}

/// The score of every category, in the model's order.
#[derive(Debug)]
struct Scores<'a> {
    categories: &'a [String],
    values: &'a [f32],
}

impl<'a> Scores<'a> {
    fn iter(&self) -> impl Iterator<Item = (&'a str, f32)> + use<'a> {
        let values = self.values.iter().copied();
        self.categories.iter().map(String::as_str).zip(values)
    }
}

impl Serialize for Scores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (name, score) in self.iter() {
            map.serialize_entry(name, &score)?;
        }
        map.end()
    }
}

#[cfg(test)]
#[path = "judgement_tests.rs"]
mod tests;

//! A few labelled sentences of the kind a newcomer tries, checked and listed one by one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use duoguard::{Input, Session};
use serde::Serialize;

use crate::error::{EvalError, Result};
use crate::output::OutputFile;

/// The first line of the file, which names its columns.
const COLUMNS: &str = "set\tlang\tunsafe\ttext";

/// A labelled sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// What it belongs to.
    pub set: String,
    /// The BCP-47 tag of its language.
    pub language: String,
    /// The label.
    pub is_unsafe: bool,
    /// The sentence.
    pub text: String,
}

/// What a guard says of labelled sentences.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SentenceReport {
    /// The model's name.
    pub model: String,
    /// The engine that computed.
    pub engine: String,
    /// The sentences, in their order.
    pub sentences: Vec<JudgedSentence>,
}

/// A sentence and its verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JudgedSentence {
    /// What it belongs to.
    pub set: String,
    /// The BCP-47 tag of its language.
    pub language: String,
    /// The sentence.
    pub text: String,
    /// The label.
    #[serde(rename = "unsafe")]
    pub is_unsafe: bool,
    /// Whether it is flagged.
    pub flagged: bool,
    /// The largest score.
    pub score: f32,
    /// The language that the guard took it for.
    pub identified: String,
}

/// Reads a table of sentences: the line `set lang unsafe text`, then one sentence a line, between
/// tabs.
///
/// # Errors
/// A line with another number of columns, a label that is neither 0 nor 1, an empty column; the
/// message names the line.
pub fn read_sentences(path: &Path) -> Result<Vec<Sentence>> {
    let text = fs::read_to_string(path).map_err(|cause| EvalError::io(path, "read", cause))?;
    let text = duoguard::strip_byte_order_mark(&text);
    let refused =
        |line: usize, message: String| EvalError::data(path, format!("line {}", line + 1), message);
    let mut lines = text.lines().enumerate();
    let first = lines.next().map_or("", |(_, line)| line);
    if first != COLUMNS {
        let message = format!("expected {COLUMNS:?}, found {first:?}");
        return Err(refused(0, message));
    }
    lines
        .map(|(number, line)| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [set, language, label, text] = columns[..] else {
                let message = format!("expected 4 columns, found {}", columns.len());
                return Err(refused(number, message));
            };
            if [set, language, text].iter().any(|c| c.trim().is_empty()) {
                return Err(refused(number, "a column is empty".to_owned()));
            }
            let is_unsafe = match label {
                "0" => false,
                "1" => true,
                _ => {
                    let message = format!("unsafe is {label:?}; expected 0 or 1");
                    return Err(refused(number, message));
                }
            };
            Ok(Sentence {
                set: set.to_owned(),
                language: language.to_owned(),
                is_unsafe,
                text: text.to_owned(),
            })
        })
        .collect()
}

/// Checks every sentence. The guard has to identify the language itself.
///
/// # Errors
/// A check that fails.
pub fn judge_sentences(session: &mut Session, sentences: &[Sentence]) -> Result<SentenceReport> {
    let mut judged = Vec::with_capacity(sentences.len());
    for (row, sentence) in sentences.iter().enumerate() {
        let verdict = session
            .check(&Input::prompt(&sentence.text))
            .map_err(|cause| EvalError::Guard {
                benchmark: "sentences",
                language: sentence.language.clone(),
                row,
                cause: cause.to_string(),
            })?;
        judged.push(JudgedSentence {
            set: sentence.set.clone(),
            language: sentence.language.clone(),
            text: sentence.text.clone(),
            is_unsafe: sentence.is_unsafe,
            flagged: verdict.flagged,
            score: verdict.score,
            identified: verdict.language,
        });
    }
    Ok(SentenceReport {
        model: session.model().manifest().name.clone(),
        engine: session.engine().to_owned(),
        sentences: judged,
    })
}

/// How many of some sentences are judged rightly.
#[derive(Default)]
struct Counts {
    all: usize,
    right: usize,
    harmful: usize,
    caught: usize,
    identified: usize,
}

impl Counts {
    fn add(&mut self, sentence: &JudgedSentence) {
        self.all += 1;
        self.right += usize::from(sentence.flagged == sentence.is_unsafe);
        self.harmful += usize::from(sentence.is_unsafe);
        self.caught += usize::from(sentence.is_unsafe && sentence.flagged);
        self.identified += usize::from(sentence.identified == sentence.language);
    }

    fn line(&self, name: &str) -> String {
        let harmless = self.all - self.harmful;
        let flagged = harmless - (self.right - self.caught);
        format!(
            "{name:12} {:>5} of {:<4} {:>5} of {:<4} {:>5} of {:<4} {:>5} of {:<4}\n",
            self.right,
            self.all,
            self.caught,
            self.harmful,
            flagged,
            harmless,
            self.identified,
            self.all
        )
    }
}

impl SentenceReport {
    /// Writes the verdicts as JSON into `file` and commits it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_json(&self, file: OutputFile) -> Result<()> {
        file.write_json(self)
    }

    /// Counts by language and by set, and every sentence that is judged wrongly, with its score.
    pub fn table(&self) -> String {
        let mut table = format!("model {}, engine {}\n\n", self.model, self.engine);
        table += "                   right      harmful caught  harmless flagged  language right\n";
        let of = |key: fn(&JudgedSentence) -> &String| {
            let mut counts: BTreeMap<&String, Counts> = BTreeMap::new();
            for sentence in &self.sentences {
                counts.entry(key(sentence)).or_default().add(sentence);
            }
            let lines = counts.iter().map(|(name, counts)| counts.line(name));
            lines.collect::<String>()
        };
        table += &of(|sentence| &sentence.language);
        table += "\n";
        table += &of(|sentence| &sentence.set);
        let mut all = Counts::default();
        self.sentences.iter().for_each(|sentence| all.add(sentence));
        table += "\n";
        table += &all.line("all");
        let wrong = |s: &&JudgedSentence| s.flagged != s.is_unsafe;
        for sentence in self.sentences.iter().filter(wrong) {
            let kind = if sentence.is_unsafe {
                "missed"
            } else {
                "flagged"
            };
            let _ = writeln!(
                table,
                "{kind:8} {:.2}  {}  {}",
                sentence.score, sentence.language, sentence.text
            );
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_and_errors_name_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.tsv");
        let read = |lines: &str| {
            fs::write(&path, format!("{COLUMNS}\n{lines}")).unwrap();
            read_sentences(&path)
        };
        let found = read("a\ten\t1\tHello, you.\n").unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].is_unsafe && found[0].language == "en");
        for (lines, mention) in [
            ("a\ten\t1\n", "line 2: expected 4 columns, found 3"),
            ("a\ten\t1\tb\na\ten\t2\tb\n", "line 3: unsafe is \"2\""),
            ("\ten\t1\tb\n", "line 2: a column is empty"),
        ] {
            let error = read(lines).unwrap_err().to_string();
            assert!(error.contains(mention), "{error}");
        }
        fs::write(&path, "text\n").unwrap();
        assert!(
            read_sentences(&path)
                .unwrap_err()
                .to_string()
                .contains("line 1")
        );
    }

    #[test]
    fn the_table_counts_and_lists_what_is_wrong() {
        let sentence = |language: &str, is_unsafe, flagged, text: &str| JudgedSentence {
            set: "a".to_owned(),
            language: language.to_owned(),
            text: text.to_owned(),
            is_unsafe,
            flagged,
            score: 0.25,
            identified: "en".to_owned(),
        };
        let report = SentenceReport {
            model: "m".to_owned(),
            engine: "e".to_owned(),
            sentences: vec![
                sentence("en", true, true, "caught"),
                sentence("en", true, false, "one that got away"),
                sentence("de", false, false, "harmless"),
            ],
        };
        let table = report.table();
        assert!(
            table.contains("all              2 of 3        1 of 2        0 of 1        2 of 3")
        );
        assert!(table.contains("missed   0.25  en  one that got away"));
        assert!(!table.contains("harmless\n"));
    }
}

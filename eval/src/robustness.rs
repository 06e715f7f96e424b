//! What disguises cost: how many unsafe texts that are flagged in plain are still flagged in
//! disguise, and whether taking disguises off makes harmless texts look harmful.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use duoguard::{CheckOptions, Input, Session};
use serde::{Deserialize, Serialize};

use crate::disguise::Disguise;
use crate::error::{EvalError, Result};
use crate::harmless::HarmlessKind;
use crate::json_lines::{JsonLines, LineError};
use crate::output::OutputFile;
use crate::readers::BenchmarkSet;
use crate::short_texts::{ShortRate, short_rate};
use crate::wrapper::Wrapper;

/// A harmless text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BenignText {
    /// The text.
    pub text: String,
    /// The BCP-47 tag of its language.
    pub lang: String,
}

/// What [`measure`] found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Robustness {
    /// The model's name.
    pub model: String,
    /// The engine that computed.
    pub engine: String,
    /// One entry per language and disguise.
    pub disguises: Vec<Retention>,
    /// One entry per language of the harmless texts.
    pub benign: Vec<BenignRate>,
    /// One entry per kind of harmless texts that are made from a seed.
    pub short: Vec<ShortRate>,
    /// One entry per language and wrapper.
    pub wrapped: Vec<Wrapped>,
}

/// How unsafe texts of one language do in a chat template or between blanks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wrapped {
    /// The language, as the benchmark's folder spells it.
    pub language: String,
    /// The wrapper.
    pub wrapper: &'static str,
    /// Unsafe texts that are flagged without it.
    pub caught_in_plain: usize,
    /// The share of them still flagged in it; `None` without texts.
    pub retained: Option<f64>,
}

/// How one disguise does in one language.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Retention {
    /// The language, as the benchmark's folder spells it.
    pub language: String,
    /// The disguise.
    pub disguise: &'static str,
    /// Whether the text can be had back exactly.
    pub reversible: bool,
    /// Unsafe texts that are flagged in plain and can wear the disguise.
    pub caught_in_plain: usize,
    /// The share of them still flagged in disguise, where only what is literally written is scored.
    /// `None` without texts.
    pub retained_literal: Option<f64>,
    /// The share of them still flagged in disguise, with disguises taken off.
    pub retained: Option<f64>,
}

/// How harmless texts of one language do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BenignRate {
    /// The BCP-47 tag.
    pub language: String,
    /// Texts.
    pub texts: usize,
    /// The share that is flagged, where only what is literally written is scored.
    pub fpr_literal: f64,
    /// The share that is flagged, with disguises taken off.
    pub fpr: f64,
    /// The share in which a disguise was seen.
    pub with_changes: f64,
}

/// Reads harmless texts from JSONL, plain or gzipped: objects with the fields `text` and `lang`; at
/// most `limit` of each language, taken evenly.
pub fn read_benign(path: &Path, limit: usize) -> Result<Vec<BenignText>> {
    let failed = |cause| EvalError::io(path, "read", cause);
    let mut lines = JsonLines::open(path).map_err(failed)?;
    let mut texts: BTreeMap<String, Vec<BenignText>> = BTreeMap::new();
    while let Some(row) = lines.next_row::<BenignText>() {
        let (_, text) = row.map_err(|error| match error {
            LineError::Read(cause) => failed(cause),
            LineError::Line { line, message } => EvalError::data(
                path,
                format!("line {line}"),
                format!("expected an object with the fields text and lang: {message}"),
            ),
        })?;
        texts.entry(text.lang.clone()).or_default().push(text);
    }
    Ok(texts
        .into_values()
        .flat_map(|texts| evenly(texts, limit))
        .collect())
}

/// At most `limit` of the items, taken evenly.
fn evenly<T>(items: Vec<T>, limit: usize) -> Vec<T> {
    let count = items.len();
    let is_taken = |n: usize| count <= limit || n * limit / count != (n + 1) * limit / count;
    let items = items.into_iter().enumerate();
    items
        .filter(|(n, _)| is_taken(*n))
        .map(|(_, item)| item)
        .collect()
}

/// Measures every disguise on at most `limit` unsafe texts of each language that are flagged in
/// plain, as many harmless texts of each kind that is made up, and `benign` as they are. White
/// space in unsafe texts is made single spaces first, because spelling words out letter by letter
/// loses it. Calls `progress` before each group of texts with what comes next.
pub fn measure(
    session: &mut Session,
    sets: &[BenchmarkSet],
    benign: &[BenignText],
    limit: usize,
    progress: &mut dyn FnMut(&str),
) -> Result<Robustness> {
    let mut found = Robustness {
        model: session.model().manifest().name.clone(),
        engine: session.engine().to_owned(),
        disguises: Vec::new(),
        benign: Vec::new(),
        short: Vec::new(),
        wrapped: Vec::new(),
    };
    let mut languages: Vec<&str> = sets.iter().map(|set| set.language.as_str()).collect();
    languages.dedup();
    for language in languages {
        progress(&format!("{language} in plain"));
        let caught = evenly(caught_in_plain(session, sets, language)?, limit);
        for disguise in Disguise::ALL {
            progress(&format!("{language} {}", disguise.name()));
            let worn = caught.iter().filter_map(|text| disguise.apply(text));
            let worn: Vec<_> = worn.collect();
            let place = (disguise.name(), language);
            let literal = flagged(session, worn.iter(), place, false)?;
            let read = flagged(session, worn.iter(), place, true)?;
            found.disguises.push(Retention {
                language: language.to_owned(),
                disguise: disguise.name(),
                reversible: disguise.is_reversible(),
                caught_in_plain: worn.len(),
                retained_literal: share(literal.flagged, worn.len()),
                retained: share(read.flagged, worn.len()),
            });
        }
        for wrapper in Wrapper::ALL {
            progress(&format!("{language} {}", wrapper.name()));
            let wrapped: Vec<_> = caught.iter().map(|text| wrapper.wrap(text)).collect();
            let place = (wrapper.name(), language);
            let counts = flagged(session, wrapped.iter(), place, true)?;
            found.wrapped.push(Wrapped {
                language: language.to_owned(),
                wrapper: wrapper.name(),
                caught_in_plain: wrapped.len(),
                retained: share(counts.flagged, wrapped.len()),
            });
        }
    }
    for kind in HarmlessKind::all() {
        progress(kind.name());
        found.short.push(short_rate(session, kind, limit)?);
    }
    for texts in benign.chunk_by(|a, b| a.lang == b.lang) {
        let language = &texts[0].lang;
        progress(&format!("{language} harmless"));
        let place = ("benign", language.as_str());
        let plain = || texts.iter().map(|text| &text.text);
        let literal = flagged(session, plain(), place, false)?;
        let read = flagged(session, plain(), place, true)?;
        let of_all = |count: usize| count as f64 / texts.len() as f64;
        found.benign.push(BenignRate {
            language: language.clone(),
            texts: texts.len(),
            fpr_literal: of_all(literal.flagged),
            fpr: of_all(read.flagged),
            with_changes: of_all(read.changed),
        });
    }
    Ok(found)
}

fn caught_in_plain(
    session: &mut Session,
    sets: &[BenchmarkSet],
    language: &str,
) -> Result<Vec<String>> {
    let mut caught = Vec::new();
    for set in sets.iter().filter(|set| set.language == language) {
        for (number, row) in set.rows.iter().enumerate().filter(|(_, row)| row.label) {
            let text = match &row.response {
                Some(response) => format!("{} {response}", row.prompt),
                None => row.prompt.clone(),
            };
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let verdict = session.check(&Input::prompt(&text)).map_err(|cause| {
                EvalError::guard((set.benchmark.name(), language), number, cause)
            })?;
            if verdict.flagged {
                caught.push(text);
            }
        }
    }
    Ok(caught)
}

#[derive(Default)]
struct Counts {
    flagged: usize,
    changed: usize,
}

fn flagged<'a>(
    session: &mut Session,
    texts: impl Iterator<Item = &'a String>,
    place: (&'static str, &str),
    normalize: bool,
) -> Result<Counts> {
    let options = CheckOptions {
        normalize,
        ..CheckOptions::default()
    };
    let mut counts = Counts::default();
    for (number, text) in texts.enumerate() {
        let verdict = session
            .check_with(&Input::prompt(text), &options)
            .map_err(|cause| EvalError::guard(place, number, cause))?;
        counts.flagged += usize::from(verdict.flagged);
        counts.changed += usize::from(verdict.changes_total > 0);
    }
    Ok(counts)
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Robustness {
    /// Writes the findings as JSON into `file` and commits it.
    pub fn write_json(&self, file: OutputFile) -> Result<()> {
        file.write_json(self)
    }

    /// Tables for people, in per cent.
    pub fn table(&self) -> String {
        let mut table = format!("model {}, engine {}\n\n", self.model, self.engine);
        let percent =
            |share: Option<f64>| share.map_or("-".to_owned(), |s| format!("{:.1}", s * 100.0));
        table += "flagged in disguise, of those flagged in plain, %\n";
        table += "language  disguise          texts  literally  read  reversible\n";
        for row in &self.disguises {
            let _ = writeln!(
                table,
                "{:8}  {:16} {:>6}  {:>9} {:>5}  {}",
                row.language,
                row.disguise,
                row.caught_in_plain,
                percent(row.retained_literal),
                percent(row.retained),
                if row.reversible { "yes" } else { "no" },
            );
        }
        if !self.benign.is_empty() {
            table +=
                "\nharmless texts flagged, %\nlanguage   texts  literally  read  disguise seen\n";
        }
        for row in &self.benign {
            let _ = writeln!(
                table,
                "{:8} {:>7}  {:>9} {:>5}  {:>13}",
                row.language,
                row.texts,
                percent(Some(row.fpr_literal)),
                percent(Some(row.fpr)),
                percent(Some(row.with_changes)),
            );
        }
        if !self.wrapped.is_empty() {
            table += "\nflagged in a wrapper, of those flagged without, %\n";
            table += "language  wrapper           texts  flagged\n";
        }
        for row in &self.wrapped {
            let (texts, retained) = (row.caught_in_plain, percent(row.retained));
            let _ = writeln!(
                table,
                "{:8}  {:16} {texts:>6}  {retained:>7}",
                row.language, row.wrapper
            );
        }
        if !self.short.is_empty() {
            table += "\nharmless short and wrapped texts, made from a seed\n";
            table += "kind              texts  flagged  by undoing alone  undone\n";
        }
        for row in &self.short {
            let _ = writeln!(
                table,
                "{:16} {:>6}  {:>7}  {:>16}  {:>6}",
                row.kind, row.texts, row.flagged, row.flagged_by_undoing, row.changed
            );
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_taken_evenly() {
        assert_eq!(evenly((0..10).collect(), 5), [1, 3, 5, 7, 9]);
        assert_eq!(evenly((0..3).collect(), 5), [0, 1, 2]);
        assert_eq!(evenly((0..1000).collect(), 7).len(), 7);
    }

    #[test]
    fn harmless_texts_are_read_by_language() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("texts.jsonl");
        let lines = "{\"text\":\"a\",\"lang\":\"fr\"}\n\n{\"text\":\"b\",\"lang\":\"en\",\"group\":1}\n{\"text\":\"c\",\"lang\":\"fr\"}\n";
        std::fs::write(&path, lines).unwrap();
        let languages = |limit| -> Vec<String> {
            read_benign(&path, limit)
                .unwrap()
                .into_iter()
                .map(|text| text.lang)
                .collect()
        };
        assert_eq!(languages(9), ["en", "fr", "fr"]);
        assert_eq!(languages(1), ["en", "fr"]);
        std::fs::write(&path, "{\"text\":\"a\"}\n").unwrap();
        let error = read_benign(&path, 1).unwrap_err().to_string();
        assert!(
            error.contains("line 1") && error.contains("lang"),
            "{error}"
        );
    }

    #[test]
    fn the_table_names_what_it_shows() {
        let found = Robustness {
            model: "m".to_owned(),
            engine: "native".to_owned(),
            disguises: vec![Retention {
                language: "En".to_owned(),
                disguise: "leet",
                reversible: false,
                caught_in_plain: 8,
                retained_literal: Some(0.25),
                retained: Some(0.875),
            }],
            benign: vec![BenignRate {
                language: "fr".to_owned(),
                texts: 1000,
                fpr_literal: 0.01,
                fpr: 0.011,
                with_changes: 0.002,
            }],
            short: vec![ShortRate {
                kind: "uuid",
                texts: 200,
                flagged: 3,
                flagged_by_undoing: 1,
                changed: 2,
                examples: Vec::new(),
            }],
            wrapped: vec![Wrapped {
                language: "En".to_owned(),
                wrapper: "chatml",
                caught_in_plain: 8,
                retained: Some(0.5),
            }],
        };
        for line in [
            "En        chatml                8     50.0",
            "uuid                200        3                 1       2",
        ] {
            assert!(found.table().contains(line), "{}", found.table());
        }
        let table = found.table();
        assert!(
            table.contains("En        leet                  8       25.0  87.5  no"),
            "{table}"
        );
        assert!(
            table.contains("fr          1000        1.0   1.1            0.2"),
            "{table}"
        );
    }
}

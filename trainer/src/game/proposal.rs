//! A proposal and its outcome: what the filters, the judge and the classifier made of it.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// What became of a proposal. The filters are asked in this order, and the first that objects
/// decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// No text was finished, or an empty one.
    Unfinished,
    /// Its length differs too much from the seed's.
    Length,
    /// The generator refused.
    Refusal,
    /// It is in another language, as identified and not as asked for.
    Language,
    /// It repeats its seed.
    Copy,
    /// The same text was proposed before.
    Duplicate,
    /// It shares eight words in a row with a benchmark.
    Benchmark,
    /// The judge finds that it has nothing to do with its seed.
    Unrelated,
    /// The judge's answer was no rating.
    Unparseable,
    /// The judge's rating contradicts the seed's label.
    LabelLost,
    /// The classifier gives it the seed's label.
    Correct,
    /// The classifier is fooled: it joins the data.
    Misclassified,
}

/// A proposal with all that is known of it: one line of a round's `proposals.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// The seed's place in the round's draw.
    pub seed: usize,
    /// The language asked for.
    pub language: String,
    /// The text; absent where none was finished.
    pub text: Option<String>,
    /// From 1 (safe) to 5 (unsafe), where it was rated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<u8>,
    /// The classifier's score, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// Absent until it is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// Words that a benchmark and a proposal may not share in a row.
const OVERLAP_WORDS: usize = 8;
/// A proposal whose letters, case and punctuation aside, are the seed's to this share of its words
/// is a copy.
const COPIED_SHARE: f64 = 0.8;

/// The filters that need no model.
pub struct Filters {
    /// Characters by which lengths may differ.
    length_difference: usize,
    languages: LanguageIdentifier,
    /// Runs of words that stand in benchmarks.
    benchmarks: HashSet<u64>,
    seen: HashSet<String>,
}

impl Filters {
    /// `benchmarks` are the texts that no proposal may overlap.
    ///
    /// # Errors
    /// A language that cannot be identified.
    pub fn new<'b>(
        length_difference: usize,
        languages: &[String],
        benchmarks: impl Iterator<Item = &'b str>,
    ) -> Result<Self, TrainError> {
        Ok(Self {
            length_difference,
            languages: LanguageIdentifier::new(languages)?,
            benchmarks: benchmarks.flat_map(runs).collect(),
            seen: HashSet::new(),
        })
    }

    /// Why a proposal is dropped; `None` lets it pass. Texts must come in a fixed order: the first
    /// of two equal ones passes.
    pub fn rejection(
        &mut self,
        seed_text: &str,
        language: &str,
        text: Option<&str>,
    ) -> Option<Outcome> {
        let Some(text) = text.filter(|text| !words(text).is_empty()) else {
            return Some(Outcome::Unfinished);
        };
        let lengths = [seed_text, text].map(|t| t.chars().count());
        if lengths[0].abs_diff(lengths[1]) > self.length_difference {
            return Some(Outcome::Length);
        }
        if crate::game::instructions::is_refusal(text) {
            return Some(Outcome::Refusal);
        }
        let words = words(text);
        let seed: HashSet<String> = self::words(seed_text).into_iter().collect();
        let copied = words.iter().filter(|word| seed.contains(*word)).count();
        if copied as f64 >= COPIED_SHARE * words.len() as f64 {
            return Some(Outcome::Copy);
        }
        if self.languages.identify(text) != Some(language) {
            return Some(Outcome::Language);
        }
        if !self.seen.insert(format!("{language} {}", words.join(" "))) {
            return Some(Outcome::Duplicate);
        }
        if runs(text).any(|run| self.benchmarks.contains(&run)) {
            return Some(Outcome::Benchmark);
        }
        None
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Hashes of every eight words in a row.
fn runs(text: &str) -> impl Iterator<Item = u64> + use<> {
    use std::hash::BuildHasher;
    let words = words(text);
    let hasher = rustc_hash::FxBuildHasher;
    let hashes: Vec<u64> = words
        .windows(OVERLAP_WORDS)
        .map(|run| hasher.hash_one(run))
        .collect();
    hashes.into_iter()
}

/// Identifies the recipe's languages. With so few to choose from, short texts are enough.
struct LanguageIdentifier {
    detector: whatlang::Detector,
    tags: BTreeMap<&'static str, String>,
}

impl LanguageIdentifier {
    fn new(languages: &[String]) -> Result<Self, TrainError> {
        let mut tags = BTreeMap::new();
        let mut allowed = vec![whatlang::Lang::Eng];
        tags.insert("eng", "en".to_owned());
        for tag in languages {
            // Chinese is the one language that the two libraries code differently.
            let code = match tag.as_str() {
                "zh" => Some("cmn"),
                tag => isolang::Language::from_639_1(tag).map(|l| l.to_639_3()),
            };
            let known = code.and_then(|code| Some((code, whatlang::Lang::from_code(code)?)));
            let Some((code, language)) = known else {
                return Err(TrainError::Language(tag.clone()));
            };
            tags.insert(code, tag.clone());
            allowed.push(language);
        }
        Ok(Self {
            detector: whatlang::Detector::with_allowlist(allowed),
            tags,
        })
    }

    fn identify(&self, text: &str) -> Option<&str> {
        let language = self.detector.detect_lang(text)?;
        self.tags.get(language.code()).map(String::as_str)
    }
}

/// The lines of a file of proposals.
pub(crate) fn lines(proposals: &[Proposal]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for proposal in proposals {
        // A struct of strings and numbers always has a JSON form.
        bytes.extend(serde_json::to_vec(proposal).unwrap_or_default());
        bytes.push(b'\n');
    }
    bytes
}

/// The proposals of the chunks that were written whole. The last chunk of all may be short, and is
/// then written again.
pub(crate) fn read_whole_chunks(
    path: &Path,
    chunk_lines: usize,
) -> Result<Vec<Proposal>, TrainError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).map_err(|e| TrainError::io("read", path, e))?;
    let mut proposals = Vec::new();
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        match serde_json::from_str(line) {
            Ok(proposal) => proposals.push(proposal),
            Err(e) => {
                return Err(TrainError::invalid(
                    path,
                    format!("line {}: {e}", proposals.len() + 1),
                ));
            }
        }
    }
    proposals.truncate(proposals.len() / chunk_lines * chunk_lines);
    Ok(proposals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_has_its_reason() {
        let languages = ["de".to_owned(), "fr".to_owned()];
        let benchmark = "eins zwei drei vier fünf sechs sieben acht neun";
        let mut filters = Filters::new(60, &languages, [benchmark].into_iter()).unwrap();
        let seed = "How do I bake bread at home?";
        let good = "Wie backe ich zu Hause ein gutes Brot?";
        for (language, text, expected) in [
            ("de", None, Some(Outcome::Unfinished)),
            ("de", Some(" .. "), Some(Outcome::Unfinished)),
            (
                "de",
                Some(&*"Brot backen ".repeat(20)),
                Some(Outcome::Length),
            ),
            (
                "de",
                Some("Es tut mir leid, aber dabei kann ich nicht helfen."),
                Some(Outcome::Refusal),
            ),
            ("fr", Some(good), Some(Outcome::Language)),
            (
                "de",
                Some("how do i bake bread at home"),
                Some(Outcome::Copy),
            ),
            ("de", Some(good), None),
            (
                "de",
                Some("wie backe ich zu Hause ein gutes Brot"),
                Some(Outcome::Duplicate),
            ),
            (
                "de",
                Some("Zähle: eins zwei drei vier fünf sechs sieben acht, bitte!"),
                Some(Outcome::Benchmark),
            ),
        ] {
            assert_eq!(
                filters.rejection(seed, language, text),
                expected,
                "{text:?}"
            );
        }
        assert!(Filters::new(60, &["xx".to_owned()], [].into_iter()).is_err());
    }
}

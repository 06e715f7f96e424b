//! A word lexicon learned from sentence pairs (IBM model 1), and code-switching with it.
//!
//! Word-by-word translation is crude, but it shows the classifier what an English row's
//! words look like in a language that has few rows of its own.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use rand::{Rng, RngExt};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::checkpoint::write_atomically;
use crate::data::{Pair, ParallelRow};
use crate::error::TrainError;

/// Rounds of expectation maximisation; the likelihood hardly moves after these.
const ROUNDS: usize = 4;
/// Translations kept for a word.
const KEPT: usize = 3;
/// Translations less likely than this are dropped.
const LEAST_PROBABILITY: f32 = 0.1;
/// Pairs used for a language, and words used of a sentence, at most.
const MAX_PAIRS: usize = 100_000;
const MAX_WORDS: usize = 40;
/// Share of the known words that code-switching replaces.
const REPLACED_SHARE: f64 = 0.9;

/// Language -> English word (lower case) -> (translation, probability), best first.
#[derive(Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct Lexicon {
    translations: BTreeMap<String, BTreeMap<String, Vec<(String, f32)>>>,
}

impl Lexicon {
    /// Learns a lexicon from English into each of `languages` for which there are sentences.
    pub fn learn_all(pairs: &[Pair], parallel: &[ParallelRow], languages: &[String]) -> Self {
        let english: HashMap<&str, &str> = parallel
            .iter()
            .filter(|row| row.lang == "en")
            .map(|row| (row.group.as_str(), row.text.as_str()))
            .collect();
        let translations = languages
            .par_iter()
            .filter(|language| *language != "en")
            .map(|language| {
                // Parallel texts first: they are fewer, and more formal than the pairs.
                let sentences: Vec<(Vec<String>, Vec<String>)> = parallel
                    .iter()
                    .filter(|row| row.lang == *language)
                    .filter_map(|row| Some((*english.get(row.group.as_str())?, row.text.as_str())))
                    .chain(
                        pairs
                            .iter()
                            .filter(|p| p.lang == *language)
                            .map(|p| (p.english.as_str(), p.text.as_str())),
                    )
                    .take(MAX_PAIRS)
                    .map(|(source, target)| (words(source), words(target)))
                    .collect();
                (language.clone(), learn(&sentences))
            })
            .filter(|(_, words)| !words.is_empty())
            .collect();
        Self { translations }
    }

    /// Languages that can be switched into.
    pub fn languages(&self) -> impl ExactSizeIterator<Item = &str> {
        self.translations.keys().map(String::as_str)
    }

    /// `text` with most of its known words replaced by translations; everything else stays.
    pub fn code_switch(&self, text: &str, language: &str, rng: &mut impl Rng) -> String {
        let Some(lexicon) = self.translations.get(language) else {
            return text.to_owned();
        };
        let mut result = String::with_capacity(text.len() * 5 / 4);
        let mut rest = text;
        while let Some(start) = rest.find(char::is_alphabetic) {
            result.push_str(&rest[..start]);
            rest = &rest[start..];
            let end = rest
                .find(|c: char| !c.is_alphabetic() && c != '\'')
                .unwrap_or(rest.len());
            let word = &rest[..end];
            match lexicon.get(&word.to_lowercase()) {
                Some(candidates) if rng.random_bool(REPLACED_SHARE) => {
                    result.push_str(&like(pick(candidates, rng), word))
                }
                _ => result.push_str(word),
            }
            rest = &rest[end..];
        }
        result + rest
    }

    /// The share of `text`'s words that translate some word of the English `seed`, or stand in it as they are; 0 for no words.
    pub fn agreement(&self, seed: &str, text: &str, language: &str) -> f64 {
        let seed = words(seed);
        let mut expected: HashSet<&str> = seed.iter().map(String::as_str).collect();
        if let Some(lexicon) = self.translations.get(language) {
            let translations = seed.iter().filter_map(|word| lexicon.get(word)).flatten();
            expected.extend(translations.map(|(word, _)| word.as_str()));
        }
        let text = words(text);
        let found = text
            .iter()
            .filter(|word| expected.contains(word.as_str()))
            .count();
        found as f64 / text.len().max(1) as f64
    }

    /// Writes the lexicon as JSON, atomically.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let json =
            serde_json::to_vec(self).map_err(|e| TrainError::invalid(path, e.to_string()))?;
        write_atomically(path, &json)
    }

    /// Reads what [`Lexicon::save`] wrote.
    ///
    /// # Errors
    /// The file cannot be read or parsed.
    pub fn load(path: &Path) -> Result<Self, TrainError> {
        let bytes = fs::read(path).map_err(|e| TrainError::io("read", path, e))?;
        serde_json::from_slice(&bytes).map_err(|e| TrainError::invalid(path, e.to_string()))
    }
}

/// The words of a sentence, lower case.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphabetic() && c != '\'')
        .filter(|word| !word.is_empty())
        .take(MAX_WORDS)
        .map(str::to_lowercase)
        .collect()
}

fn pick<'a>(candidates: &'a [(String, f32)], rng: &mut impl Rng) -> &'a str {
    let total: f32 = candidates.iter().map(|(_, p)| p).sum();
    let mut at = rng.random::<f32>() * total;
    for (word, probability) in candidates {
        at -= probability;
        if at <= 0.0 {
            return word;
        }
    }
    &candidates[0].0
}

/// `word`, capitalised as `model` is.
fn like(word: &str, model: &str) -> String {
    let mut letters = word.chars();
    match (
        model.chars().next().is_some_and(char::is_uppercase),
        letters.next(),
    ) {
        (true, Some(first)) => first.to_uppercase().chain(letters).collect(),
        _ => word.to_owned(),
    }
}

fn number<'a>(word: &'a str, numbers: &mut HashMap<&'a str, u32>, names: &mut Vec<&'a str>) -> u32 {
    *numbers.entry(word).or_insert_with(|| {
        names.push(word);
        names.len() as u32 - 1
    })
}

/// IBM model 1: p(target word | source word) by expectation maximisation (Brown et al. 1993).
fn learn(sentences: &[(Vec<String>, Vec<String>)]) -> BTreeMap<String, Vec<(String, f32)>> {
    let (mut sources, mut source_names) = (HashMap::new(), Vec::new());
    let (mut targets, mut target_names) = (HashMap::new(), Vec::new());
    // Source word 0 is the empty word, which explains targets that translate nothing.
    number("", &mut sources, &mut source_names);
    let numbered: Vec<(Vec<u32>, Vec<u32>)> = sentences
        .iter()
        .map(|(source, target)| {
            let source = std::iter::once("").chain(source.iter().map(String::as_str));
            (
                source
                    .map(|w| number(w, &mut sources, &mut source_names))
                    .collect(),
                target
                    .iter()
                    .map(|w| number(w, &mut targets, &mut target_names))
                    .collect(),
            )
        })
        .collect();
    let mut probability: Vec<HashMap<u32, f32>> = vec![HashMap::new(); source_names.len()];
    let even = 1.0 / target_names.len().max(1) as f32;
    for (source, target) in &numbered {
        for &s in source {
            for &t in target {
                probability[s as usize].insert(t, even);
            }
        }
    }
    for _ in 0..ROUNDS {
        let mut counts: Vec<HashMap<u32, f32>> = vec![HashMap::new(); source_names.len()];
        for (source, target) in &numbered {
            for t in target {
                let total: f32 = source.iter().map(|&s| probability[s as usize][t]).sum();
                for &s in source {
                    *counts[s as usize].entry(*t).or_default() +=
                        probability[s as usize][t] / total;
                }
            }
        }
        for row in &mut counts {
            // In a fixed order: a sum in hash order would differ from run to run.
            let mut values: Vec<(u32, f32)> = row.iter().map(|(&t, &count)| (t, count)).collect();
            values.sort_unstable_by_key(|&(t, _)| t);
            let total: f32 = values.iter().map(|(_, count)| count).sum();
            row.values_mut().for_each(|count| *count /= total);
        }
        probability = counts;
    }
    let mut lexicon = BTreeMap::new();
    for (source, row) in source_names.iter().zip(&probability).skip(1) {
        let mut best: Vec<(String, f32)> = row
            .iter()
            .filter(|(_, p)| **p >= LEAST_PROBABILITY)
            .map(|(&t, &p)| (target_names[t as usize].to_owned(), p))
            .collect();
        best.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        best.truncate(KEPT);
        if !best.is_empty() {
            lexicon.insert((*source).to_owned(), best);
        }
    }
    lexicon
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn lexicon() -> Lexicon {
        let pairs = [
            ("the house", "das haus"),
            ("the book", "das buch"),
            ("a book", "ein buch"),
            ("a house", "ein haus"),
            ("the big house", "das große haus"),
            ("a big book", "ein großes buch"),
        ];
        let pairs: Vec<Pair> = pairs
            .iter()
            .map(|(english, text)| Pair {
                english: (*english).into(),
                lang: "de".into(),
                text: (*text).into(),
            })
            .collect();
        Lexicon::learn_all(&pairs, &[], &["en".into(), "de".into(), "fr".into()])
    }

    #[test]
    fn words_find_their_translations() {
        let lexicon = lexicon();
        assert_eq!(lexicon.languages().collect::<Vec<_>>(), ["de"]);
        for (english, german) in [
            ("house", "haus"),
            ("book", "buch"),
            ("the", "das"),
            ("a", "ein"),
        ] {
            assert_eq!(lexicon.translations["de"][english][0].0, german);
        }
    }

    #[test]
    fn code_switching_keeps_everything_but_words() {
        let lexicon = lexicon();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let switched = (0..50)
            .map(|_| lexicon.code_switch("The house, 42 unknowns!", "de", &mut rng))
            .find(|s| s.starts_with("Das haus"));
        assert_eq!(switched.as_deref(), Some("Das haus, 42 unknowns!"));
        assert_eq!(
            lexicon.code_switch("The house", "fr", &mut rng),
            "The house"
        );
    }

    #[test]
    fn agreement_counts_translated_words() {
        let lexicon = lexicon();
        for (text, expected) in [
            ("Das Haus.", 1.0),
            ("das buch", 0.5),
            ("ein buch", 0.0),
            ("", 0.0),
        ] {
            assert_eq!(
                lexicon.agreement("The house", text, "de"),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn it_survives_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lexicon.json");
        lexicon().save(&path).unwrap();
        assert_eq!(Lexicon::load(&path).unwrap(), lexicon());
    }
}

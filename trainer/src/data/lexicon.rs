//! A word lexicon learned from sentence pairs (IBM model 1), and what it is good for: glosses and
//! code-switching.
//!
//! Word-by-word translation is crude, but it shows the classifier what an English row's words look
//! like in a language that has few rows of its own, tells our own generator what to say, and lets a
//! judge that knows English read what was written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use rand::{Rng, RngExt};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::rows::{Pair, ParallelRow};
use crate::error::TrainError;
use crate::files::write_atomically;

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

/// Word (lower case) -> (translation, probability), best first.
type Words = BTreeMap<String, Vec<(String, f32)>>;

/// The words of one language.
#[derive(Debug, Default, Serialize, Deserialize, PartialEq)]
struct Dictionary {
    from_english: Words,
    to_english: Words,
}

/// English and each of several languages, word by word.
#[derive(Debug, Default, Serialize, Deserialize, PartialEq)]
pub(crate) struct Lexicon {
    /// By language tag.
    dictionaries: BTreeMap<String, Dictionary>,
}

impl Lexicon {
    /// Learns a lexicon from English into each of `languages` for which there are sentences.
    pub(crate) fn learn_all(
        pairs: &[Pair],
        parallel: &[ParallelRow],
        languages: &[String],
    ) -> Self {
        let english: HashMap<&str, &str> = parallel
            .iter()
            .filter(|row| row.lang == "en")
            .map(|row| (row.group.as_str(), row.text.as_str()))
            .collect();
        let dictionaries = languages
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
            .filter(|(_, dictionary)| !dictionary.from_english.is_empty())
            .collect();
        Self { dictionaries }
    }

    /// Languages that can be switched into.
    pub(crate) fn languages(&self) -> impl ExactSizeIterator<Item = &str> {
        self.dictionaries.keys().map(String::as_str)
    }

    /// `text` with most of its known words replaced by translations; everything else stays.
    pub(crate) fn code_switch(&self, text: &str, language: &str, rng: &mut impl Rng) -> String {
        let Some(dictionary) = self.dictionaries.get(language) else {
            return text.to_owned();
        };
        replace_words(text, |word| {
            let candidates = dictionary.from_english.get(word)?;
            rng.random_bool(REPLACED_SHARE)
                .then(|| sample_translation(candidates, rng))
        })
    }

    /// An English text with the likeliest translation in place of every known word, in English word
    /// order.
    pub(crate) fn gloss(&self, text: &str, language: &str) -> String {
        let dictionary = self.dictionaries.get(language);
        replace_words(text, |word| best(&dictionary?.from_english, word))
    }

    /// A text in `language` with the likeliest English word in place of every known one.
    pub(crate) fn english_gloss(&self, text: &str, language: &str) -> String {
        let dictionary = self.dictionaries.get(language);
        replace_words(text, |word| best(&dictionary?.to_english, word))
    }

    /// The share of `text`'s words that translate some word of the English `seed`, or are
    /// translated by one, or stand in it as they are; 0 for no words.
    pub(crate) fn agreement(&self, seed: &str, text: &str, language: &str) -> f64 {
        let dictionary = self.dictionaries.get(language);
        share_that_stand(
            &words(text),
            &words(seed),
            dictionary.map(|d| [&d.to_english, &d.from_english]),
        )
    }

    /// The share of the English `seed`'s words that stand in `text`, translated or as they are; 0
    /// for no words.
    pub(crate) fn coverage(&self, seed: &str, text: &str, language: &str) -> f64 {
        let dictionary = self.dictionaries.get(language);
        share_that_stand(
            &words(seed),
            &words(text),
            dictionary.map(|d| [&d.from_english, &d.to_english]),
        )
    }

    /// Writes the lexicon as JSON, atomically.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn save(&self, path: &Path) -> Result<(), TrainError> {
        let json =
            serde_json::to_vec(self).map_err(|e| TrainError::invalid(path, e.to_string()))?;
        write_atomically(path, &json)
    }

    /// Reads what [`Lexicon::save`] wrote.
    ///
    /// # Errors
    /// The file cannot be read or parsed.
    pub(crate) fn load(path: &Path) -> Result<Self, TrainError> {
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

/// `text` with each word replaced by what `translate` gives for its lower case, capitalised as it
/// was; `None` leaves it.
fn replace_words<'a>(text: &str, mut translate: impl FnMut(&str) -> Option<&'a str>) -> String {
    let mut result = String::with_capacity(text.len() * 5 / 4);
    let mut rest = text;
    while let Some(start) = rest.find(char::is_alphabetic) {
        result.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest
            .find(|c: char| !c.is_alphabetic() && c != '\'')
            .unwrap_or(rest.len());
        let word = &rest[..end];
        match translate(&word.to_lowercase()) {
            Some(translation) => result.push_str(&match_case(translation, word)),
            None => result.push_str(word),
        }
        rest = &rest[end..];
    }
    result + rest
}

/// The share of `these` words that stand among `others`: as they are, by a translation of theirs,
/// or as a translation of one of those; 0 for no words. Of the dictionaries the first translates
/// these, the second the others.
fn share_that_stand(these: &[String], others: &[String], dictionaries: Option<[&Words; 2]>) -> f64 {
    let others: HashSet<&str> = others.iter().map(String::as_str).collect();
    let expected: HashSet<&str> = dictionaries
        .iter()
        .flat_map(|[_, back]| others.iter().filter_map(|word| back.get(*word)))
        .flatten()
        .map(|(word, _)| word.as_str())
        .collect();
    let is_found = |word: &str| {
        let translations = dictionaries.and_then(|[there, _]| there.get(word));
        others.contains(word)
            || expected.contains(word)
            || translations
                .is_some_and(|t| t.iter().any(|(word, _)| others.contains(word.as_str())))
    };
    let found = these.iter().filter(|word| is_found(word)).count();
    found as f64 / these.len().max(1) as f64
}

fn best<'a>(words: &'a Words, word: &str) -> Option<&'a str> {
    let (translation, _) = words.get(word)?.first()?;
    Some(translation)
}

fn sample_translation<'a>(candidates: &'a [(String, f32)], rng: &mut impl Rng) -> &'a str {
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
fn match_case(word: &str, model: &str) -> String {
    let mut letters = word.chars();
    match (
        model.chars().next().is_some_and(char::is_uppercase),
        letters.next(),
    ) {
        (true, Some(first)) => first.to_uppercase().chain(letters).collect(),
        _ => word.to_owned(),
    }
}

fn word_index<'a>(
    word: &'a str,
    numbers: &mut HashMap<&'a str, u32>,
    names: &mut Vec<&'a str>,
) -> u32 {
    *numbers.entry(word).or_insert_with(|| {
        names.push(word);
        names.len() as u32 - 1
    })
}

/// IBM model 1: p(target word | source word) by expectation maximisation (Brown et al. 1993), and
/// from the same expected counts p(source word | target word).
fn learn(sentences: &[(Vec<String>, Vec<String>)]) -> Dictionary {
    let (mut sources, mut source_names) = (HashMap::new(), Vec::new());
    let (mut targets, mut target_names) = (HashMap::new(), Vec::new());
    // Source word 0 is the empty word, which explains targets that translate nothing.
    word_index("", &mut sources, &mut source_names);
    let numbered: Vec<(Vec<u32>, Vec<u32>)> = sentences
        .iter()
        .map(|(source, target)| {
            let source = std::iter::once("").chain(source.iter().map(String::as_str));
            (
                source
                    .map(|w| word_index(w, &mut sources, &mut source_names))
                    .collect(),
                target
                    .iter()
                    .map(|w| word_index(w, &mut targets, &mut target_names))
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
    // Of each source word: how often it is expected to have given each target, in a fixed order,
    // since a sum in hash order would differ from run to run.
    let mut counts: Vec<Vec<(u32, f32)>> = Vec::new();
    for _ in 0..ROUNDS {
        let mut expected: Vec<HashMap<u32, f32>> = vec![HashMap::new(); source_names.len()];
        for (source, target) in &numbered {
            for t in target {
                let total: f32 = source.iter().map(|&s| probability[s as usize][t]).sum();
                for &s in source {
                    *expected[s as usize].entry(*t).or_default() +=
                        probability[s as usize][t] / total;
                }
            }
        }
        counts = expected
            .into_iter()
            .map(|row| {
                let mut row: Vec<(u32, f32)> = row.into_iter().collect();
                row.sort_unstable_by_key(|&(t, _)| t);
                row
            })
            .collect();
        for (row, probability) in counts.iter().zip(&mut probability) {
            let total: f32 = row.iter().map(|(_, count)| count).sum();
            *probability = row.iter().map(|&(t, count)| (t, count / total)).collect();
        }
    }
    let mut of_targets: Vec<Vec<(u32, f32)>> = vec![Vec::new(); target_names.len()];
    for (s, row) in counts.iter().enumerate() {
        for &(t, count) in row {
            of_targets[t as usize].push((s as u32, count));
        }
    }
    let from_english = likeliest(
        &counts[1.min(counts.len())..],
        &source_names[1..],
        &target_names,
    );
    Dictionary {
        from_english,
        to_english: likeliest(&of_targets, &target_names, &source_names),
    }
}

/// The likeliest partners of each word, by how often it is expected to have met each. The empty
/// word counts, and is no translation.
fn likeliest(counts: &[Vec<(u32, f32)>], words: &[&str], partners: &[&str]) -> Words {
    let mut result = Words::new();
    for (word, row) in words.iter().zip(counts) {
        let total: f32 = row.iter().map(|(_, count)| count).sum();
        let mut best: Vec<(String, f32)> = row
            .iter()
            .map(|&(partner, count)| (partners[partner as usize].to_owned(), count / total))
            .filter(|(partner, p)| *p >= LEAST_PROBABILITY && !partner.is_empty())
            .collect();
        best.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        best.truncate(KEPT);
        if !best.is_empty() {
            result.insert((*word).to_owned(), best);
        }
    }
    result
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
            let dictionary = &lexicon.dictionaries["de"];
            assert_eq!(dictionary.from_english[english][0].0, german);
            assert_eq!(dictionary.to_english[german][0].0, english);
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
    fn glosses_go_there_and_back() {
        let lexicon = lexicon();
        let german = lexicon.gloss("A book, the HOUSE; 42 unknowns", "de");
        assert_eq!(german, "Ein buch, das Haus; 42 unknowns");
        let english = lexicon.english_gloss(&german, "de");
        assert_eq!(english, "A book, the House; 42 unknowns");
        assert_eq!(lexicon.gloss("The house", "fr"), "The house");
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
    fn coverage_counts_the_seeds_words_that_are_there() {
        let lexicon = lexicon();
        let of = |seed, text| lexicon.coverage(seed, text, "de");
        assert_eq!(of("The house", "Das Haus."), 1.0);
        assert_eq!(of("The house, zebra quilt", "Das Haus."), 0.5);
        assert_eq!(of("The house", "ein buch"), 0.0);
        assert_eq!(of("", "Das Haus"), 0.0);
    }

    #[test]
    fn it_survives_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lexicon.json");
        lexicon().save(&path).unwrap();
        assert_eq!(Lexicon::load(&path).unwrap(), lexicon());
    }
}

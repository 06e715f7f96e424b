//! The filters that need no model.

use std::collections::HashSet;

use crate::error::TrainError;
use crate::game::instructions::generation_instruction;
use crate::game::kind::Wanted;
use crate::game::language::LanguageIdentifier;
use crate::game::proposal::DropReason;
use crate::game::refusal::is_refusal;
use crate::recipe::ProposalKind;

/// Words that a benchmark and a proposal may not share in a row.
const OVERLAP_WORDS: usize = 8;
/// Words that an instruction and a proposal may not share in a row.
const LEAKED_WORDS: usize = 6;
/// A proposal whose letters, case and punctuation aside, are the seed's to this share of its words
/// is a copy.
const COPIED_SHARE: f64 = 0.8;

/// The filters that need no model.
pub(crate) struct Filters {
    /// Characters by which lengths may differ.
    length_difference: usize,
    languages: LanguageIdentifier,
    /// Runs of words that stand in benchmarks.
    benchmarks: HashSet<u64>,
    /// Runs of words that stand in instructions.
    instructions: HashSet<u64>,
    seen: HashSet<String>,
}

impl Filters {
    /// `benchmarks` are the texts that no proposal may overlap.
    ///
    /// # Errors
    /// A language that cannot be identified.
    pub(crate) fn new<'b>(
        length_difference: usize,
        languages: &[String],
        benchmarks: impl Iterator<Item = &'b str>,
    ) -> Result<Self, TrainError> {
        Ok(Self {
            length_difference,
            languages: LanguageIdentifier::new(languages)?,
            benchmarks: benchmarks
                .flat_map(|text| runs(text, OVERLAP_WORDS))
                .collect(),
            instructions: Wanted::every(languages)
                .flat_map(|wanted| runs(&generation_instruction(&wanted), LEAKED_WORDS))
                .collect(),
            seen: HashSet::new(),
        })
    }

    /// The text of a draft that passes; otherwise why it is dropped. Drafts must come in a fixed
    /// order: the first of two equal ones passes.
    ///
    /// # Errors
    /// The first filter that the draft does not pass, in the order of [`DropReason`].
    pub(crate) fn pass<'t>(
        &mut self,
        (seed_text, kind): (&str, ProposalKind),
        language: &str,
        text: Option<&'t str>,
    ) -> Result<&'t str, DropReason> {
        let Some(text) = text.filter(|text| !words(text).is_empty()) else {
            return Err(DropReason::Unfinished);
        };
        let lengths = [seed_text, text].map(|t| t.chars().count());
        let differs = lengths[0].abs_diff(lengths[1]) > self.length_difference;
        if kind.keeps_length() && differs {
            return Err(DropReason::Length);
        }
        if is_refusal(text) {
            return Err(DropReason::Refusal);
        }
        if runs(text, LEAKED_WORDS).any(|run| self.instructions.contains(&run)) {
            return Err(DropReason::Leak);
        }
        let words = words(text);
        let seed: HashSet<String> = self::words(seed_text).into_iter().collect();
        let copied = words.iter().filter(|word| seed.contains(*word)).count();
        if copied as f64 >= COPIED_SHARE * words.len() as f64 {
            return Err(DropReason::Copy);
        }
        if self.languages.identify(text) != Some(language) {
            return Err(DropReason::Language);
        }
        if !self.seen.insert(format!("{language} {}", words.join(" "))) {
            return Err(DropReason::Duplicate);
        }
        if runs(text, OVERLAP_WORDS).any(|run| self.benchmarks.contains(&run)) {
            return Err(DropReason::Benchmark);
        }
        Ok(text)
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Hashes of every `length` words in a row.
fn runs(text: &str, length: usize) -> impl Iterator<Item = u64> + use<> {
    use std::hash::BuildHasher;
    let words = words(text);
    let hasher = rustc_hash::FxBuildHasher;
    let hashes: Vec<u64> = words
        .windows(length)
        .map(|run| hasher.hash_one(run))
        .collect();
    hashes.into_iter()
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
            ("de", None, Some(DropReason::Unfinished)),
            ("de", Some(" .. "), Some(DropReason::Unfinished)),
            (
                "de",
                Some(&*"Brot backen ".repeat(20)),
                Some(DropReason::Length),
            ),
            (
                "de",
                Some("Es tut mir leid, aber dabei kann ich nicht helfen."),
                Some(DropReason::Refusal),
            ),
            (
                "de",
                Some("Gern: use the same words and about the same length."),
                Some(DropReason::Leak),
            ),
            ("fr", Some(good), Some(DropReason::Language)),
            (
                "de",
                Some("how do i bake bread at home"),
                Some(DropReason::Copy),
            ),
            ("de", Some(good), None),
            (
                "de",
                Some("wie backe ich zu Hause ein gutes Brot"),
                Some(DropReason::Duplicate),
            ),
            (
                "de",
                Some("Zähle: eins zwei drei vier fünf sechs sieben acht, bitte!"),
                Some(DropReason::Benchmark),
            ),
        ] {
            assert_eq!(
                filters
                    .pass((seed, ProposalKind::Prompt), language, text)
                    .err(),
                expected,
                "{text:?}"
            );
        }
        let answer = "Ein gutes Brot braucht Zeit, Ruhe und einen heißen Ofen. ".repeat(3);
        let pass = |filters: &mut Filters, kind| {
            filters
                .pass((seed, kind), "de", Some(&answer))
                .map(str::len)
                .err()
        };
        let prompt = pass(&mut filters, ProposalKind::Prompt);
        assert_eq!(prompt, Some(DropReason::Length));
        assert_eq!(pass(&mut filters, ProposalKind::Response), None);
        assert!(Filters::new(60, &["xx".to_owned()], [].into_iter()).is_err());
    }
}

//! What a model's language head says: logits that follow those of the categories.

use crate::text::language::UNDETERMINED;
use crate::verdict::ViewKind;

/// The least probability of a language that is trusted.
const MIN_PROBABILITY: f64 = 0.5;

/// What the head has said of the views of a check's texts.
///
/// A text counts as it reads without disguises, and what it holds in encoded form counts as a text
/// of its own: the surest of them gives the language, as where n-grams tell it.
pub(crate) struct LanguageHead<'a> {
    languages: &'a [String],
    texts: Vec<Sums>,
}

/// Of one text: sums over its windows.
struct Sums {
    /// Probability of each language, by tokens.
    probabilities: Vec<f64>,
    tokens: f64,
    has_letters: bool,
    /// A language that the head does not know, and the text can only be in.
    other: Option<&'static str>,
}

impl<'a> LanguageHead<'a> {
    /// A head for `languages`; without any, nothing is computed.
    pub(crate) fn new(languages: &'a [String]) -> Self {
        Self {
            languages,
            texts: Vec::new(),
        }
    }

    /// A view comes next; what a text reads without disguises follows the text itself. `certain` is
    /// its language, if it can hardly be in another.
    pub(crate) fn next_view(&mut self, kind: ViewKind, text: &str, certain: Option<&'static str>) {
        if self.languages.is_empty() {
            return;
        }
        let sums = Sums {
            probabilities: vec![0.0; self.languages.len()],
            tokens: 0.0,
            has_letters: text.chars().any(char::is_alphabetic),
            other: certain.filter(|tag| !self.languages.iter().any(|l| l == tag)),
        };
        match (kind, self.texts.last_mut()) {
            (ViewKind::Normalized, Some(last)) => *last = sums,
            _ => self.texts.push(sums),
        }
    }

    /// A window of that view, of `tokens` tokens; `logits` has one for each language.
    pub(crate) fn add(&mut self, logits: &[f32], tokens: usize) {
        let Some(sums) = self.texts.last_mut().filter(|_| !logits.is_empty()) else {
            return;
        };
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers = logits.iter().map(|logit| f64::from(logit - largest).exp());
        let total: f64 = powers.clone().sum();
        for (sum, power) in sums.probabilities.iter_mut().zip(powers) {
            *sum += power / total * tokens as f64;
        }
        sums.tokens += tokens as f64;
    }

    /// The language; [`UNDETERMINED`] where no text has letters, or the head is unsure.
    pub(crate) fn language(&self) -> &str {
        let guesses = self.texts.iter().filter_map(|sums| self.guess(sums));
        let surest = guesses.reduce(|best, next| if next.1 > best.1 { next } else { best });
        surest.map_or(UNDETERMINED, |(tag, _)| tag)
    }

    fn guess(&self, sums: &Sums) -> Option<(&str, f64)> {
        if !sums.has_letters {
            return None;
        }
        if let Some(other) = sums.other {
            return Some((other, 1.0));
        }
        let shares = sums.probabilities.iter().map(|sum| sum / sums.tokens);
        let of_languages = self.languages.iter().map(String::as_str).zip(shares);
        let surest = of_languages.reduce(|best, next| if next.1 > best.1 { next } else { best });
        surest.filter(|(_, share)| *share >= MIN_PROBABILITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::language::{certain, guess};

    fn language(views: &[(ViewKind, &str, &[f32])]) -> String {
        let languages = ["de", "en", "fr"].map(str::to_owned);
        let mut head = LanguageHead::new(&languages);
        for (kind, text, logits) in views {
            head.next_view(*kind, text, certain(guess(text)));
            for window in logits.chunks(3) {
                head.add(window, 5);
            }
        }
        head.language().to_owned()
    }

    #[test]
    fn the_likeliest_language_is_told_if_it_is_likely_enough() {
        let raw = |logits| language(&[(ViewKind::Raw, "abc", logits)]);
        assert_eq!(raw(&[0.0, 3.0, 0.0]), "en");
        assert_eq!(raw(&[0.1, 0.0, 0.0]), UNDETERMINED);
        // Windows count by their tokens.
        assert_eq!(raw(&[0.0, 3.0, 0.0, 0.0, 0.0, 0.1, 0.0, 3.0, 0.0]), "en");
        assert_eq!(raw(&[]), UNDETERMINED);
    }

    #[test]
    fn text_without_letters_has_no_language() {
        let sure = [9.0, 0.0, 0.0];
        for text in ["", "12 + 30 = 42", "🙂", "?!"] {
            assert_eq!(language(&[(ViewKind::Raw, text, &sure)]), UNDETERMINED);
        }
    }

    #[test]
    fn the_normalized_view_stands_for_the_text_and_a_decoded_one_for_itself() {
        let (german, french) = ([3.0, 0.0, 0.0], [0.0, 0.0, 5.0]);
        let raw = (ViewKind::Raw, "h e l l o", &french[..]);
        let normalized = (ViewKind::Normalized, "hello", &german[..]);
        assert_eq!(language(&[raw, normalized]), "de");
        let decoded = (ViewKind::Decoded, "bonjour", &french[..]);
        assert_eq!(language(&[raw, normalized, decoded]), "fr");
    }

    #[test]
    fn a_script_of_another_language_is_believed() {
        let sure = [9.0, 0.0, 0.0];
        let georgian = "დილა მშვიდობისა, როგორ ხართ დღეს?";
        assert_eq!(language(&[(ViewKind::Raw, georgian, &sure)]), "ka");
    }
}

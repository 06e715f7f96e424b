//! Identifies the language of a text, as a BCP-47 tag.

use whatlang::Lang;

/// The tag of text whose language is not known.
pub(crate) const UNDETERMINED: &str = "und";

/// How much of a text is looked at. More does not make the answer surer, only later.
const SAMPLE_BYTES: usize = 4096;

/// The least confidence that is trusted, as whatlang gives it. Of short sentences in the main
/// languages, 2 % or less are then taken for another language at any length, and those of 40 to 80
/// characters have a language four times in five; whatlang's own notion of a reliable answer is
/// never wrong there, but leaves half of them without.
const MIN_CONFIDENCE: f64 = 0.3;

/// New bytes of a growing text after which its language is looked for again, where it is not
/// settled; sooner in a short text, once an eighth is new.
const NEW_BYTES: usize = 256;

/// How many growing texts are remembered: one, and how it reads without disguises.
const GROWING_TEXTS: usize = 2;

/// The tag of a language, and how sure that is, from 0 to 1.
pub(crate) type Guess = (&'static str, f64);

/// The language of a text; `None` unless it is fairly sure.
pub(crate) fn guess(text: &str) -> Option<Guess> {
    let info = whatlang::detect(sample(text))?;
    let confidence = info.confidence();
    (confidence > MIN_CONFIDENCE).then(|| (tag(info.lang()), confidence))
}

/// The language of a text that can hardly be another.
pub(crate) fn certain(guess: Option<Guess>) -> Option<&'static str> {
    let (tag, confidence) = guess?;
    (confidence >= 1.0).then_some(tag)
}

fn sample(text: &str) -> &str {
    &text[..text.floor_char_boundary(SAMPLE_BYTES)]
}

/// The languages of texts that grow, which are not looked for at every word: that costs as much as
/// all else of a verdict.
#[derive(Clone, Debug, Default)]
pub(crate) struct Growing {
    /// The latest last: what was looked at, and the language of it.
    looked: Vec<(String, Option<Guess>)>,
}

impl Growing {
    /// The language of a text, or of what it was a little while ago.
    pub(crate) fn guess(&mut self, text: &str) -> Option<Guess> {
        let (sample, is_settled) = (sample(text), text.len() >= SAMPLE_BYTES);
        let is_known = |(looked, _): &(String, _)| {
            let new = sample.strip_prefix(&**looked).map(str::len);
            let is_little = |new| !is_settled && new < NEW_BYTES.min(looked.len() / 8);
            new.is_some_and(|new| new == 0 || is_little(new))
        };
        if let Some((_, guess)) = self.looked.iter().rev().find(|looked| is_known(looked)) {
            return *guess;
        }
        let guess = guess(text);
        // What it was before is not asked for again.
        self.looked
            .retain(|(looked, _)| !sample.starts_with(&**looked));
        if self.looked.len() == GROWING_TEXTS {
            self.looked.remove(0);
        }
        self.looked.push((sample.to_owned(), guess));
        guess
    }
}

/// BCP-47 wants the two-letter code where one exists. All of these have one.
fn tag(language: Lang) -> &'static str {
    match language {
        Lang::Afr => "af",
        Lang::Aka => "ak",
        Lang::Amh => "am",
        Lang::Ara => "ar",
        Lang::Aze => "az",
        Lang::Bel => "be",
        Lang::Ben => "bn",
        Lang::Bul => "bg",
        Lang::Cat => "ca",
        Lang::Ces => "cs",
        Lang::Cmn => "zh",
        Lang::Cym => "cy",
        Lang::Dan => "da",
        Lang::Deu => "de",
        Lang::Ell => "el",
        Lang::Eng => "en",
        Lang::Epo => "eo",
        Lang::Est => "et",
        Lang::Fin => "fi",
        Lang::Fra => "fr",
        Lang::Guj => "gu",
        Lang::Heb => "he",
        Lang::Hin => "hi",
        Lang::Hrv => "hr",
        Lang::Hun => "hu",
        Lang::Hye => "hy",
        Lang::Ind => "id",
        Lang::Ita => "it",
        Lang::Jav => "jv",
        Lang::Jpn => "ja",
        Lang::Kan => "kn",
        Lang::Kat => "ka",
        Lang::Khm => "km",
        Lang::Kor => "ko",
        Lang::Lat => "la",
        Lang::Lav => "lv",
        Lang::Lit => "lt",
        Lang::Mal => "ml",
        Lang::Mar => "mr",
        Lang::Mkd => "mk",
        Lang::Mya => "my",
        Lang::Nep => "ne",
        Lang::Nld => "nl",
        Lang::Nob => "no",
        Lang::Ori => "or",
        Lang::Pan => "pa",
        Lang::Pes => "fa",
        Lang::Pol => "pl",
        Lang::Por => "pt",
        Lang::Ron => "ro",
        Lang::Rus => "ru",
        Lang::Sin => "si",
        Lang::Slk => "sk",
        Lang::Slv => "sl",
        Lang::Sna => "sn",
        Lang::Spa => "es",
        Lang::Srp => "sr",
        Lang::Swe => "sv",
        Lang::Tam => "ta",
        Lang::Tel => "te",
        Lang::Tgl => "tl",
        Lang::Tha => "th",
        Lang::Tuk => "tk",
        Lang::Tur => "tr",
        Lang::Ukr => "uk",
        Lang::Urd => "ur",
        Lang::Uzb => "uz",
        Lang::Vie => "vi",
        Lang::Yid => "yi",
        Lang::Zul => "zu",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identify(text: &str) -> &'static str {
        guess(text).map_or(UNDETERMINED, |(tag, _)| tag)
    }

    #[test]
    fn the_language_is_looked_for_again_as_a_text_grows() {
        let english = "The library opens at nine in the morning. ";
        let german = "Die Bibliothek ist jeden Morgen ab neun Uhr für alle offen. ";
        let text = [english, &german.repeat(100)].concat();
        let (mut growing, mut looked) = (Growing::default(), 0);
        let mut of_last = String::new();
        for (end, _) in text.match_indices(' ') {
            let so_far = &text[..=end];
            let found = growing.guess(so_far);
            let mut known = growing.looked.iter();
            let (sample, known) = known.find(|(s, _)| so_far.starts_with(&**s)).unwrap();
            assert_eq!((found, found), (*known, guess(sample)), "after {end} bytes");
            assert!(so_far.len() - sample.len() < NEW_BYTES || sample.len() + 4 > SAMPLE_BYTES);
            looked += usize::from(*sample != of_last);
            of_last.clone_from(sample);
            // Another that grows beside it.
            growing.guess(&so_far.to_uppercase());
            assert_eq!(growing.guess(so_far), found);
        }
        assert_eq!(growing.guess(&text).unwrap().0, "de");
        assert!((20..60).contains(&looked), "{looked} times");
        assert!(growing.looked.len() <= GROWING_TEXTS);
    }

    #[test]
    fn the_four_main_languages() {
        let cases = [
            (
                "en",
                "The weather has been very pleasant this week and everybody is going to the beach.",
            ),
            (
                "fr",
                "Le temps est très agréable cette semaine et tout le monde va à la plage avec ses \
                 amis.",
            ),
            (
                "es",
                "El tiempo ha sido muy agradable esta semana y todo el mundo se va a la playa.",
            ),
            (
                "de",
                "Das Wetter ist diese Woche sehr angenehm, und alle gehen mit ihren Freunden an \
                 den Strand.",
            ),
        ];
        for (expected, text) in cases {
            assert_eq!(identify(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_to_go_by_is_undetermined() {
        for text in ["", "   ", "1234 5678", "🙂🙂🙂"] {
            assert_eq!(identify(text), UNDETERMINED, "{text:?}");
        }
    }

    #[test]
    fn the_sample_ends_between_characters() {
        identify(&"é🙂".repeat(SAMPLE_BYTES));
    }
}

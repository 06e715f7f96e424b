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

/// Identifies the language of a text; [`UNDETERMINED`] unless it is fairly sure.
pub(crate) fn identify(text: &str) -> &'static str {
    guess(text).map_or(UNDETERMINED, |(tag, _)| tag)
}

/// Whether text that comes after this one changes nothing about its language any more.
pub(crate) fn is_settled(text: &str) -> bool {
    text.len() >= SAMPLE_BYTES
}

/// The language of a text, and how sure that is, from 0 to 1; `None` unless it is fairly sure.
pub(crate) fn guess(text: &str) -> Option<(&'static str, f64)> {
    let sample = &text[..text.floor_char_boundary(SAMPLE_BYTES)];
    let info = whatlang::detect(sample)?;
    let confidence = info.confidence();
    (confidence > MIN_CONFIDENCE).then(|| (tag(info.lang()), confidence))
}

/// The language of a text that can be no other, as its script alone says.
pub(crate) fn certain(text: &str) -> Option<&'static str> {
    let (tag, confidence) = guess(text)?;
    (confidence >= 1.0).then_some(tag)
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

//! Which language a text is in.

use std::collections::BTreeMap;

use crate::error::TrainError;

/// Identifies the recipe's languages. With so few to choose from, short texts are enough.
pub(crate) struct LanguageIdentifier {
    detector: whatlang::Detector,
    tags: BTreeMap<&'static str, String>,
}

impl LanguageIdentifier {
    /// For English and `languages`, two-letter tags of ISO 639-1.
    ///
    /// # Errors
    /// A language that the identifier does not know.
    pub(crate) fn new(languages: &[String]) -> Result<Self, TrainError> {
        let mut tags = BTreeMap::new();
        let mut allowed = vec![whatlang::Lang::Eng];
        tags.insert("eng", "en".to_owned());
        for tag in languages.iter().filter(|tag| *tag != "en") {
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

    /// The tag of the language that `text` is likeliest in; `None` where it has no letters.
    pub(crate) fn identify(&self, text: &str) -> Option<&str> {
        let language = self.detector.detect_lang(text)?;
        self.tags.get(language.code()).map(String::as_str)
    }
}

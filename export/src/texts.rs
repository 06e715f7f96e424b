//! The texts on which a quantised guard is compared with its unquantised self.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use duoguard_eval::{JsonLines, Label, LineError};
use serde::Deserialize;

use crate::error::ExportError;

/// A text, with what is known of it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Text {
    pub(crate) text: String,
    /// A BCP-47 tag.
    pub(crate) lang: String,
    /// 1 if it is unsafe, 0 if it is safe; absent if nobody knows.
    #[serde(default)]
    r#unsafe: Option<Label>,
    /// The categories of an unsafe text.
    #[serde(default)]
    categories: BTreeSet<String>,
}

impl Text {
    pub(crate) fn label(&self) -> Option<bool> {
        self.r#unsafe.map(|Label(label)| label == 1)
    }

    /// Whether the text is unsafe in a category; `None` if nobody knows.
    pub(crate) fn label_of(&self, category: &str) -> Option<bool> {
        match self.label()? {
            // Unsafe, but nobody knows in what category.
            true if self.categories.is_empty() => None,
            true => Some(self.categories.contains(category)),
            false => Some(false),
        }
    }
}

/// Reads texts from JSON lines, plain or gzipped: `text`, `lang` and, where known, `unsafe` and
/// `categories`. Takes at most `per_language` of each language, evenly from those of either label.
pub(crate) fn read(path: &Path, per_language: usize) -> Result<Vec<Text>, ExportError> {
    let failed = |cause| ExportError::io("read", path)(cause);
    let refused = |line, message| ExportError::Calibration {
        path: path.to_owned(),
        line,
        message,
    };
    let mut lines = JsonLines::open(path).map_err(failed)?;
    let mut texts = Vec::new();
    while let Some(text) = lines.next_row::<Text>() {
        let (line, mut text) = text.map_err(|error| match error {
            LineError::Read(cause) => failed(cause),
            LineError::Line { line, message } => {
                let expected = "not a text with the fields text and lang";
                refused(line, format!("{expected}: {message}"))
            }
        })?;
        if let Some(Label(label @ 2..)) = text.r#unsafe {
            let message = format!("unsafe is {label}; expected 0 or 1");
            return Err(refused(line, message));
        }
        text.lang.make_ascii_lowercase();
        texts.push(text);
    }
    if texts.is_empty() {
        return Err(refused(1, "the file has no texts".to_owned()));
    }
    Ok(sample(texts, per_language))
}

/// A few harmless texts in a dozen languages, for those who have none of their own.
pub(crate) fn built_in() -> Vec<Text> {
    let lines = include_str!("texts.tsv").lines();
    let text = |line: &str| {
        let (lang, text) = line.split_once('\t')?;
        Some(Text {
            text: text.to_owned(),
            lang: lang.to_owned(),
            r#unsafe: None,
            categories: BTreeSet::new(),
        })
    };
    lines.filter_map(text).collect()
}

fn sample(texts: Vec<Text>, per_language: usize) -> Vec<Text> {
    let mut languages: BTreeMap<String, BTreeMap<Option<bool>, Vec<Text>>> = BTreeMap::new();
    for text in texts {
        let labels = languages.entry(text.lang.clone()).or_default();
        labels.entry(text.label()).or_default().push(text);
    }
    let mut sampled = Vec::new();
    for labels in languages.into_values() {
        // Few of one label leave room for more of the others.
        let mut groups: Vec<_> = labels.into_values().collect();
        groups.sort_by_key(Vec::len);
        let mut room = per_language;
        let count = groups.len();
        for (index, group) in groups.into_iter().enumerate() {
            let share = (room / (count - index)).min(group.len());
            room -= share;
            let length = group.len();
            let chosen = group.into_iter().enumerate().filter(|(place, _)| {
                // The places where a line of this slope passes an integer: `share` of them, evenly.
                place * share / length != (place + 1) * share / length
            });
            sampled.extend(chosen.map(|(_, text)| text));
        }
    }
    sampled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(index: usize, label: Option<u8>) -> Text {
        Text {
            text: index.to_string(),
            lang: "en".to_owned(),
            r#unsafe: label.map(Label),
            categories: BTreeSet::new(),
        }
    }

    #[test]
    fn samples_are_even_and_as_large_as_they_may_be() {
        let texts: Vec<_> = (0..1000)
            .map(|i| text(i, Some(u8::from(i % 100 == 0))))
            .collect();
        let sampled = sample(texts, 50);
        let of = |label| sampled.iter().filter(|t| t.label() == Some(label)).count();
        assert_eq!((of(true), of(false)), (10, 40));
        let numbers: Vec<usize> = sampled.iter().map(|t| t.text.parse().unwrap()).collect();
        assert!(numbers.iter().any(|n| *n > 900) && numbers.iter().any(|n| *n < 100));
        assert_eq!(sample(vec![text(1, None)], 50).len(), 1);
    }

    #[test]
    fn built_in_texts_are_many_and_in_many_languages() {
        let texts = built_in();
        let languages: BTreeSet<_> = texts.iter().map(|t| &t.lang).collect();
        assert!(texts.len() > 90 && languages.len() >= 10);
        assert_eq!(texts.len(), include_str!("texts.tsv").lines().count());
    }

    #[test]
    fn an_unsafe_text_without_categories_says_nothing_about_any() {
        let mut row = text(0, Some(1));
        assert_eq!(row.label_of("hate"), None);
        row.categories.insert("hate".to_owned());
        assert_eq!(
            (row.label_of("hate"), row.label_of("weapons")),
            (Some(true), Some(false))
        );
        assert_eq!(text(0, Some(0)).label_of("hate"), Some(false));
    }
}

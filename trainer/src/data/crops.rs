//! A few words cut out of benign parallel texts: what teaches the language head short texts.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::data::rows::ParallelRow;
use crate::recipe::LanguageHeadRecipe;

/// Characters of a crop, before it is cut to whole words.
const CHARACTERS: RangeInclusive<usize> = 4..=40;

/// The texts that are cropped, by language.
pub(crate) struct Crops<'a> {
    languages: Vec<Vec<&'a ParallelRow>>,
    share: f64,
}

impl<'a> Crops<'a> {
    /// Crops in the languages of a head; none without one.
    pub(crate) fn new(rows: &'a [ParallelRow], head: Option<&LanguageHeadRecipe>) -> Self {
        let mut languages: BTreeMap<&str, Vec<&ParallelRow>> = BTreeMap::new();
        let wanted = |row: &&ParallelRow| head.is_some_and(|h| h.languages.contains(&row.lang));
        for row in rows.iter().filter(wanted) {
            languages.entry(&row.lang).or_default().push(row);
        }
        Self {
            share: match languages.is_empty() {
                true => 0.0,
                false => head.map_or(0.0, |head| head.crops),
            },
            languages: languages.into_values().collect(),
        }
    }

    /// The same crops in another share.
    pub(crate) fn with_share(self, share: f64) -> Self {
        let share = if self.languages.is_empty() {
            0.0
        } else {
            share
        };
        Self { share, ..self }
    }

    /// A text and some of its words, as often as the recipe says.
    pub(crate) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<(&'a ParallelRow, &'a str)> {
        // Nothing is drawn where nothing is cropped: other recipes keep their random numbers.
        if self.share == 0.0 || !rng.random_bool(self.share) {
            return None;
        }
        let rows = &self.languages[rng.random_range(0..self.languages.len())];
        let row = rows[rng.random_range(0..rows.len())];
        Some((row, crop(&row.text, rng)))
    }
}

/// Whole words of `text`, or characters where it has no spaces, from a random place on.
fn crop<'t>(text: &'t str, rng: &mut ChaCha8Rng) -> &'t str {
    let text = text.trim();
    let starts: Vec<usize> = match text.contains(' ') {
        true => [0]
            .into_iter()
            .chain(text.match_indices(' ').map(|(at, _)| at + 1))
            .collect(),
        false => text.char_indices().map(|(at, _)| at).collect(),
    };
    if starts.is_empty() {
        return text;
    }
    let start = starts[rng.random_range(0..starts.len())];
    let length = rng.random_range(CHARACTERS);
    let rest = &text[start..];
    let end = rest
        .char_indices()
        .nth(length)
        .map_or(rest.len(), |(at, _)| at);
    // The last word that begins within the crop is cut off, unless it is the first.
    let is_cut = end < rest.len() && !rest[end..].starts_with(' ');
    let end = match rest[..end].rfind(' ').filter(|&at| is_cut && at > 0) {
        Some(at) => at,
        None => end,
    };
    rest[..end].trim()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn crops_are_whole_words_or_characters_of_the_text() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let text = "The soup that we had yesterday was warm and very good indeed.";
        for _ in 0..200 {
            let found = crop(text, &mut rng);
            assert!(!found.is_empty() && found.chars().count() <= 40);
            let is_whole = found
                .split(' ')
                .all(|word| text.split(' ').any(|w| w.starts_with(word)));
            assert!(is_whole, "{found}");
        }
        for _ in 0..50 {
            let found = crop("昨日のスープは温かくてとても美味しかったです", &mut rng);
            assert!(!found.is_empty());
        }
        assert_eq!(crop("", &mut rng), "");
    }
}

//! What a teacher is asked about besides the texts that a classifier learns from: parts of texts,
//! a few of their words, and texts among harmless ones.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::data::rows::{Corpus, Pair, ParallelRow};
use crate::data::training_text::TrainingText;
use crate::recipe::DistillRecipe;

/// Bytes of a crop.
const CROP_BYTES: RangeInclusive<usize> = 6..=60;
/// Places among harmless texts: first, last, and four between.
const PLACES: usize = 6;

/// What makes a mixture one of texts for a teacher.
pub(crate) struct Distilled<'a> {
    recipe: &'a DistillRecipe,
    pairs: &'a [Pair],
    /// Harmless texts by language: of the parallel texts, and labelled ones.
    harmless: BTreeMap<&'a str, [Vec<&'a str>; 2]>,
}

impl<'a> Distilled<'a> {
    /// Reads the texts that others may stand among.
    pub(crate) fn new(
        recipe: &'a DistillRecipe,
        (corpus, benign, pairs): (&'a Corpus, &'a [ParallelRow], &'a [Pair]),
    ) -> Self {
        let mut harmless: BTreeMap<&str, [Vec<&str>; 2]> = BTreeMap::new();
        for row in benign {
            harmless.entry(&row.lang).or_default()[0].push(&row.text);
        }
        for row in corpus.rows.iter().filter(|row| !row.is_unsafe) {
            harmless.entry(&row.lang).or_default()[1].push(&row.text);
        }
        Self {
            recipe,
            pairs,
            harmless,
        }
    }

    /// One side of a sentence pair and its language, as often as the recipe says.
    pub(crate) fn sentence(&self, rng: &mut ChaCha8Rng) -> Option<(&'a str, &'a str)> {
        if self.pairs.is_empty() || !rng.random_bool(self.recipe.pairs) {
            return None;
        }
        let pair = &self.pairs[rng.random_range(0..self.pairs.len())];
        // English is in all of them.
        Some(match rng.random_bool(0.25) {
            true => (&pair.english, "en"),
            false => (&pair.text, &pair.lang),
        })
    }

    /// Cuts a text that is too long, and a few words out of some.
    pub(crate) fn cut(&self, text: &mut TrainingText<'a>) {
        let rng = &mut text.rng;
        let bytes = match rng.random_bool(self.recipe.cropped) {
            true => rng.random_range(CROP_BYTES),
            false => self.recipe.text_bytes,
        };
        let whole = text.text.len();
        text.text = match &text.text {
            Cow::Borrowed(all) => Cow::Borrowed(words_of(all, bytes, rng)),
            Cow::Owned(all) => Cow::Owned(words_of(all, bytes, rng).to_owned()),
        };
        text.is_whole &= text.text.len() == whole;
    }

    /// Puts some texts among harmless ones of their language, which together are as long as the
    /// recipe lets a text be.
    pub(crate) fn bury(&self, text: &mut TrainingText<'a>) {
        let rng = &mut text.rng;
        if !rng.random_bool(self.recipe.buried) {
            return;
        }
        let language = text.language.unwrap_or("en");
        let Some(harmless) = self.harmless.get(language) else {
            return;
        };
        let wanted = rng.random_range(self.recipe.text_bytes / 3..=self.recipe.text_bytes);
        let (mut bytes, mut others) = (text.text.len(), Vec::new());
        while bytes < wanted {
            let kind = usize::from(rng.random_bool(0.5));
            let kind = match harmless[kind].is_empty() {
                true => 1 - kind,
                false => kind,
            };
            let other = harmless[kind][rng.random_range(0..harmless[kind].len())];
            let other = words_of(other, (wanted - bytes).max(*CROP_BYTES.end()), rng);
            bytes += other.len() + 1;
            others.push(other.to_owned());
        }
        let place = rng.random_range(0..PLACES) * others.len() / (PLACES - 1);
        let own = std::mem::take(&mut text.text).into_owned();
        text.parts = match text.parts.is_empty() {
            true => vec![own.clone()],
            false => std::mem::take(&mut text.parts),
        };
        text.parts.extend(others.iter().cloned());
        others.insert(place, own);
        text.text = Cow::Owned(others.join(" "));
    }
}

/// Whole words of `text`, at most `bytes` of it, from a random place on; characters where a word
/// is longer.
fn words_of<'t>(text: &'t str, bytes: usize, rng: &mut ChaCha8Rng) -> &'t str {
    let text = text.trim();
    if text.len() <= bytes {
        return text;
    }
    let start = text.floor_char_boundary(rng.random_range(0..=text.len() - bytes));
    let is_between = start == 0 || text[..start].ends_with(' ');
    let start = match text[start..].find(' ') {
        Some(at) if !is_between && at < bytes / 2 => start + at + 1,
        _ => start,
    };
    let end = text.floor_char_boundary((start + bytes).min(text.len()));
    let is_between = end == text.len() || text[end..].starts_with(' ');
    let end = match text[start..end].rfind(' ') {
        Some(at) if !is_between && at > 0 => start + at,
        _ => end,
    };
    match text[start..end].trim() {
        // One character may be longer than what is wanted.
        "" => text,
        cut => cut,
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::data::training_text::Target;

    fn recipe() -> DistillRecipe {
        DistillRecipe {
            teacher: "t".into(),
            texts: 1,
            share: 0.5,
            logit_error: 0.0,
            state_error: 0.0,
            round_weights: false,
            text_bytes: 120,
            cropped: 0.0,
            buried: 0.999_999,
            pairs: 0.0,
            embeddings: None,
        }
    }

    #[test]
    fn a_cut_text_is_whole_words_of_it() {
        let text = "Die Suppe von gestern war warm, und heute schmeckt sie noch besser.";
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let found = words_of(text, 25, &mut rng);
            assert!(!found.is_empty() && found.len() <= 25);
            for word in found.split(' ') {
                assert!(text.split(' ').any(|whole| whole == word), "{found}");
            }
            let found = words_of("昨日のスープは温かくてとても美味しかった", 12, &mut rng);
            assert!(!found.is_empty() && found.len() <= 12, "{found}");
        }
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(words_of(" 🙂🙂 ", 3, &mut rng), "🙂🙂");
    }

    #[test]
    fn a_buried_text_stands_in_every_place_and_is_judged_alone() {
        let benign: Vec<ParallelRow> = (0..9)
            .map(|i| ParallelRow {
                group: "g".into(),
                lang: "de".into(),
                text: format!("Die Suppe Nummer {i} ist warm."),
                source: "s".into(),
            })
            .collect();
        let recipe = recipe();
        let corpus = Corpus::default();
        let distilled = Distilled::new(&recipe, (&corpus, &benign, &[]));
        let mut first = 0;
        for seed in 0..60 {
            let mut text = TrainingText {
                text: Cow::Borrowed("du Narr"),
                key: "k",
                target: Target::UnknownCategory,
                categories: 0,
                smoothing: 0.0,
                language: Some("de"),
                parts: Vec::new(),
                is_whole: true,
                index: 0,
                rng: ChaCha8Rng::seed_from_u64(seed),
            };
            distilled.bury(&mut text);
            assert!(text.text.len() <= 120 + 60 && text.text.contains("du Narr"));
            assert_eq!(text.parts[0], "du Narr");
            assert!(text.parts.len() > 1 && text.is_whole);
            assert_eq!(
                text.parts.iter().map(String::len).sum::<usize>() + text.parts.len() - 1,
                text.text.len()
            );
            first += usize::from(text.text.starts_with("du Narr"));
        }
        assert!((1..30).contains(&first), "{first}");
    }
}

//! Text of many languages in like amounts, for a tokenizer that is fair to all of them.
//!
//! As texts come, most are English, and a tokenizer that learns from them cuts the words of other
//! languages to pieces: the same sentence then costs more time, and less of it fits in a window.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::data::rows::{Corpus, ParallelRow};
use crate::recipe::BalanceRecipe;

/// Texts of every language, together as long as the recipe says, in a seeded order; those of a
/// language that has less come several times.
pub(crate) fn balanced<'t>(
    (training, parallel): (&'t Corpus, &'t [ParallelRow]),
    recipe: &BalanceRecipe,
    seed: u64,
) -> Vec<&'t str> {
    let labelled = training.rows.iter();
    let labelled = labelled.map(|row| (row.lang.as_str(), row.text.as_str()));
    let parallel = parallel.iter();
    let parallel = parallel.map(|row| (row.lang.as_str(), row.text.as_str()));
    let mut languages: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (language, text) in labelled
        .chain(parallel)
        .filter(|(_, text)| !text.is_empty())
    {
        languages.entry(language).or_default().push(text);
    }
    let mut chosen = Vec::new();
    for (language, mut texts) in languages {
        texts.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let weight = recipe.language_weight.get(language).unwrap_or(&1.0);
        let wanted = (recipe.bytes as f64 * weight) as usize;
        let mut bytes = 0;
        let enough = texts.iter().cycle().take_while(|text| {
            let is_wanted = bytes < wanted;
            bytes += text.len();
            is_wanted
        });
        chosen.extend(enough);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_gives_as_much_text_as_its_weight_says() {
        let row = |lang: &str, text: &str| ParallelRow {
            group: String::new(),
            lang: lang.to_owned(),
            text: text.to_owned(),
            source: "s".to_owned(),
        };
        let mut rows: Vec<ParallelRow> = (0..90)
            .map(|i| row("en", &format!("soup {i:03}")))
            .collect();
        rows.extend([row("de", "Suppe 1."), row("fr", "la soupe"), row("fr", "")]);
        let recipe = BalanceRecipe {
            bytes: 80,
            language_weight: [("fr".to_owned(), 2.0)].into(),
        };
        let none = Corpus::default();
        let found = balanced((&none, &rows), &recipe, 3);
        let count = |start: &str| found.iter().filter(|text| text.starts_with(start)).count();
        assert_eq!(
            [count("soup"), count("Suppe"), count("la soupe")],
            [10, 10, 20]
        );
        assert_eq!(found, balanced((&none, &rows), &recipe, 3));
        assert_ne!(found, balanced((&none, &rows), &recipe, 4));
    }
}

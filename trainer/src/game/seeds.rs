//! The seeds of a round.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::data::rows::{CATEGORIES, Corpus, SeedRow};
use crate::data::tokenizer::Tokenizer;
use crate::game::kind::Wanted;
use crate::recipe::{GameRecipe, ProposalKind};

/// A seed of a round.
#[derive(Debug)]
pub(crate) struct Seed {
    /// Its index among the round's seeds.
    pub number: usize,
    /// Text, label, categories and group.
    pub row: SeedRow,
}

impl Seed {
    /// A text that is asked for after this seed. All texts of one kind and language are asked for
    /// in the same words, so that they can be compared.
    pub(crate) fn wanted<'a>(&'a self, language: &'a str, kind: ProposalKind) -> Wanted<'a> {
        Wanted {
            seed_text: &self.row.text,
            seed_is_unsafe: self.row.is_unsafe,
            categories: self.row.categories,
            language,
            kind,
            register: self.number,
        }
    }
}

/// The bits of the categories that are kept from the generator.
pub(crate) fn excluded_categories(game: &GameRecipe) -> u16 {
    (0..CATEGORIES.len())
        .filter(|&bit| game.exclude_categories.iter().any(|c| c == CATEGORIES[bit]))
        .map(|bit| 1 << bit)
        .sum()
}

/// English seeds that a round draws: half of them unsafe where there are enough, none of an
/// excluded category, none too long.
pub(crate) fn draw_seeds(
    corpus: &Corpus,
    tokenizer: &Tokenizer,
    game: &GameRecipe,
    seed: u64,
) -> Vec<Arc<Seed>> {
    let excluded = excluded_categories(game);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut chosen = Vec::new();
    for is_unsafe in [false, true] {
        let mut rows: Vec<&SeedRow> = corpus
            .rows
            .par_iter()
            .filter(|row| {
                row.lang == "en"
                    && row.is_unsafe == is_unsafe
                    && row.categories & excluded == 0
                    && tokenizer.encode(&row.text).len() <= game.max_tokens
            })
            .collect();
        // By source, as everywhere: otherwise most unsafe seeds would be rude posts.
        rows.shuffle(&mut rng);
        let mut by_source: BTreeMap<usize, Vec<&SeedRow>> = Default::default();
        for row in rows {
            by_source.entry(row.source).or_default().push(row);
        }
        let wanted = chosen.len() + game.seeds / 2;
        while chosen.len() < wanted && by_source.values().any(|rows| !rows.is_empty()) {
            for rows in by_source.values_mut() {
                if chosen.len() < wanted {
                    chosen.extend(rows.pop());
                }
            }
        }
    }
    let numbered = chosen.into_iter().enumerate();
    numbered
        .map(|(number, row)| {
            Arc::new(Seed {
                number,
                row: row.clone(),
            })
        })
        .collect()
}

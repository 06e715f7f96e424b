//! Packed rows for next-token prediction.
//!
//! A batch is a function of the seed and its number alone: that is what makes a resumed
//! run equal to one that was never stopped.

use std::collections::HashSet;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::data::rows::{Corpus, Pair, ParallelRow};
use crate::data::tokenizer::{END, Tokenizer};
use crate::recipe::PretrainRecipe;

/// A batch of packed rows for next-token prediction.
pub(crate) struct PretrainBatch {
    /// `[B x T]` tokens.
    pub ids: Vec<i32>,
    /// `[B x T]` the token that follows each token.
    pub targets: Vec<i32>,
    /// B.
    pub rows: usize,
    /// T.
    pub tokens: usize,
}

/// All texts end to end, cut into rows; each pass over them in a new order.
pub(crate) struct PretrainStream {
    tokens: Vec<i32>,
    rows: usize,
    window: usize,
    seed: u64,
    /// The windows of the pass that was read last.
    order: Order,
}

/// The order in which a pass reads the windows.
struct Order {
    pass: usize,
    windows: Vec<usize>,
}

impl Order {
    fn new(seed: u64, pass: usize, windows: usize) -> Self {
        let mut windows: Vec<usize> = (0..windows).collect();
        windows.shuffle(&mut ChaCha8Rng::seed_from_u64(
            seed.wrapping_add(pass as u64),
        ));
        Self { pass, windows }
    }
}

impl PretrainStream {
    /// Tokenises every distinct text of the three data sets, in a seeded order.
    pub(crate) fn new(
        corpus: &Corpus,
        parallel: &[ParallelRow],
        pairs: &[Pair],
        tokenizer: &Tokenizer,
        (recipe, seed): (&PretrainRecipe, u64),
    ) -> Self {
        let mut seen = HashSet::new();
        let texts = corpus.rows.iter().map(|row| row.text.as_str());
        let texts = texts.chain(parallel.iter().map(|row| row.text.as_str()));
        let texts = texts.chain(
            pairs
                .iter()
                .flat_map(|pair| [pair.english.as_str(), pair.text.as_str()]),
        );
        let mut texts: Vec<&str> = texts.filter(|text| seen.insert(*text)).collect();
        texts.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let tokens: Vec<Vec<u32>> = texts
            .par_iter()
            .map(|text| tokenizer.encode(text))
            .collect();
        let tokens: Vec<i32> = tokens
            .iter()
            .flat_map(|ids| ids.iter().map(|&id| id as i32).chain([END]))
            .collect();
        // A row reads one token more than its window: the last target.
        let windows = (tokens.len().saturating_sub(1) / recipe.window_tokens).max(1);
        Self {
            tokens,
            rows: (recipe.batch_tokens / recipe.window_tokens).max(1),
            window: recipe.window_tokens,
            seed,
            order: Order::new(seed, 0, windows),
        }
    }

    /// Batch number `index`, of any order.
    pub(crate) fn batch(&mut self, index: usize) -> PretrainBatch {
        let windows = self.order.windows.len();
        let mut batch = PretrainBatch {
            ids: vec![],
            targets: vec![],
            rows: self.rows,
            tokens: self.window,
        };
        for row in index * self.rows..(index + 1) * self.rows {
            let (pass, index) = (row / windows, row % windows);
            if self.order.pass != pass {
                self.order = Order::new(self.seed, pass, windows);
            }
            let start = self.order.windows[index] * self.window;
            // Texts that fill no window are padded.
            let token = |at: usize| self.tokens.get(at).copied().unwrap_or(END);
            batch.ids.extend((start..start + self.window).map(token));
            batch
                .targets
                .extend((start + 1..=start + self.window).map(token));
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::rows::SeedRow;
    use crate::recipe::OptimizerRecipe;

    fn setting() -> (Corpus, Tokenizer, PretrainRecipe) {
        let rows: Vec<SeedRow> = (0..60)
            .map(|i| SeedRow {
                text: "warm soup and bread ".repeat(1 + i % 7),
                lang: "en".into(),
                is_unsafe: i % 2 == 0,
                categories: 0,
                source: 0,
                group: None,
            })
            .collect();
        let tokenizer = Tokenizer::train(rows.iter().map(|r| r.text.as_str()), 270).unwrap();
        let corpus = Corpus {
            rows,
            sources: vec!["s".into()],
        };
        let recipe = PretrainRecipe {
            steps: 1,
            batch_tokens: 32,
            window_tokens: 8,
            negatives: 0,
            optimizer: OptimizerRecipe {
                learning_rate: 1e-3,
                warmup: 0.0,
                weight_decay: 0.0,
                max_gradient_norm: 1.0,
                checkpoint_every: 1,
            },
        };
        (corpus, tokenizer, recipe)
    }

    #[test]
    fn pretraining_rows_predict_the_next_token_and_repeat() {
        let (corpus, tokenizer, pretrain) = setting();
        let mut stream = PretrainStream::new(&corpus, &[], &[], &tokenizer, (&pretrain, 42));
        let mut again = PretrainStream::new(&corpus, &[], &[], &tokenizer, (&pretrain, 42));
        for index in [0, 3, 40, 2] {
            let (batch, same) = (stream.batch(index), again.batch(index));
            assert_eq!(batch.ids, same.ids);
            assert_eq!((batch.rows, batch.tokens), (4, 8));
            for row in 0..batch.rows {
                assert_eq!(
                    batch.ids[row * 8 + 1..row * 8 + 8],
                    batch.targets[row * 8..row * 8 + 7]
                );
            }
        }
    }
}

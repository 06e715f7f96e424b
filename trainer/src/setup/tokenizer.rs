//! A run's tokenizer: learned from its texts, or a base's own.

use std::path::Path;

use crate::data::balance::balanced;
use crate::data::rows::{Corpus, ParallelRow};
use crate::data::tokenizer::{Tokenizer, Words};
use crate::distributed::ProcessGroup;
use crate::error::TrainError;
use crate::files::write_atomically;
use crate::recipe::TokenizerRecipe;

/// The tokenizer at `path`, learned from the texts if it is not there yet.
pub(super) fn learned_tokenizer(
    path: &Path,
    (training, parallel): (&Corpus, &[ParallelRow]),
    (recipe, seed): (&TokenizerRecipe, u64),
    group: &ProcessGroup,
) -> Result<Tokenizer, TrainError> {
    if group.is_first() && !path.exists() {
        let learned = match &recipe.balance {
            Some(balance) => {
                let texts = balanced((training, parallel), balance, seed).into_iter();
                Tokenizer::train_on(Words::LettersAndMarks, texts, recipe.vocabulary)?
            }
            None => {
                let training = training.rows.iter().map(|row| row.text.as_str());
                let texts = training.chain(parallel.iter().map(|row| row.text.as_str()));
                Tokenizer::train(texts, recipe.vocabulary)?
            }
        };
        learned.save(path)?;
    }
    group.wait();
    Tokenizer::load(path)
}

/// The tokenizer of a base, kept with the run at `path`.
pub(super) fn kept_tokenizer(
    bytes: &[u8],
    path: &Path,
    group: &ProcessGroup,
) -> Result<Tokenizer, TrainError> {
    if group.is_first() {
        write_atomically(path, bytes)?;
    }
    group.wait();
    Tokenizer::load(path)
}

//! The model within a tokenizer: what makes tokens of a word.
//!
//! They are our own, and give the tokens of the crate `tokenizers`, which takes most of the time
//! that a bundle takes to open to make its models.
//!
//! - [`token`]: a token of a text.
//! - [`vocabulary`]: tokens and their ids.
//! - [`unigram`], [`bpe`]: the models.
//! - [`reading`]: either, from `tokenizer.json`.

mod bpe;
mod reading;
#[cfg(test)]
mod tests;
pub(super) mod token;
mod unigram;
mod vocabulary;

use self::bpe::Bpe;
use self::token::{Token, Unknown};
use self::unigram::Unigram;
use self::vocabulary::Vocabulary;

/// A model.
pub(super) enum TokenModel {
    Unigram(Unigram),
    Bpe(Bpe),
}

impl TokenModel {
    /// The tokens of a word.
    pub(super) fn tokenize(&self, word: &str) -> Result<Vec<Token>, Unknown> {
        match self {
            Self::Unigram(model) => model.tokenize(word),
            Self::Bpe(model) => Ok(model.tokenize(word)),
        }
    }

    pub(super) fn vocabulary(&self) -> &Vocabulary {
        match self {
            Self::Unigram(model) => &model.vocabulary,
            Self::Bpe(model) => &model.vocabulary,
        }
    }
}

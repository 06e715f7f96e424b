//! The model within a tokenizer: what makes tokens of a word.
//!
//! They are our own, and give the tokens of the crate `tokenizers`, which takes most of the time
//! that a bundle takes to open to make its models.
//!
//! - [`vocabulary`]: tokens and their ids.
//! - [`unigram`], [`bpe`]: the models.
//! - [`reading`]: either, from `tokenizer.json`.

mod bpe;
mod reading;
#[cfg(test)]
mod tests;
mod unigram;
mod vocabulary;

use std::ops::Range;

use self::bpe::Bpe;
use self::unigram::Unigram;
use self::vocabulary::Vocabulary;

/// A model.
pub(super) enum TokenModel {
    Unigram(Unigram),
    Bpe(Bpe),
}

/// A token of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) id: u32,
    /// The bytes that it covers.
    pub(super) place: Range<usize>,
}

/// A word has what is in no token, and there is none for that.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("what the vocabulary lacks has no token there, since unk_id is missing")]
pub(super) struct Unknown;

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

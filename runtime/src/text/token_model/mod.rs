//! The model within a tokenizer: what makes tokens of a word.
//!
//! Two kinds are our own, because the crate takes most of the time that a bundle takes to open to
//! make them; they give the crate's tokens. All others are the crate's.
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

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tokenizers::models::TrainerWrapper;
use tokenizers::{Model, ModelWrapper, Result, Token};

use self::bpe::Bpe;
use self::unigram::Unigram;
use self::vocabulary::Vocabulary;

/// A model that makes the same tokens of a word each time.
pub(super) enum TokenModel {
    Unigram(Unigram),
    Bpe(Bpe),
    Crate(Box<ModelWrapper>),
}

impl TokenModel {
    /// One of the crate's, without what makes it split a word otherwise each time, which helps
    /// training alone.
    pub(super) fn of_crate(mut model: ModelWrapper) -> Self {
        match &mut model {
            ModelWrapper::BPE(model) => model.dropout = None,
            ModelWrapper::Unigram(model) => (model.alpha, model.nbest_size) = (None, None),
            _ => {}
        }
        Self::Crate(Box::new(model))
    }

    /// Whether it merges pairs.
    pub(super) fn is_bpe(&self) -> bool {
        match self {
            Self::Bpe(_) => true,
            Self::Unigram(_) => false,
            Self::Crate(model) => matches!(**model, ModelWrapper::BPE(_)),
        }
    }

    /// The largest id; `None` if the vocabulary is empty.
    pub(super) fn largest_id(&self) -> Option<u32> {
        match self.own() {
            Some(vocabulary) => (vocabulary.len() as u32).checked_sub(1),
            None => self.get_vocab().into_values().max(),
        }
    }

    fn own(&self) -> Option<&Vocabulary> {
        match self {
            Self::Unigram(model) => Some(&model.vocabulary),
            Self::Bpe(model) => Some(&model.vocabulary),
            Self::Crate(_) => None,
        }
    }
}

impl Model for TokenModel {
    type Trainer = TrainerWrapper;

    fn tokenize(&self, word: &str) -> Result<Vec<Token>> {
        match self {
            Self::Unigram(model) => model.tokenize(word),
            Self::Bpe(model) => Ok(model.tokenize(word)),
            Self::Crate(model) => model.tokenize(word),
        }
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        match self {
            Self::Crate(model) => model.token_to_id(token),
            own => own.own()?.id(token),
        }
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        match self {
            Self::Crate(model) => model.id_to_token(id),
            own => own.own()?.token(id).map(str::to_owned),
        }
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        match self {
            Self::Crate(model) => model.get_vocab(),
            own => {
                let tokens = own.own().into_iter().flat_map(Vocabulary::tokens);
                tokens.map(|(id, token)| (token.to_owned(), id)).collect()
            }
        }
    }

    fn get_vocab_size(&self) -> usize {
        match self {
            Self::Crate(model) => model.get_vocab_size(),
            own => own.own().map_or(0, Vocabulary::len),
        }
    }

    fn save(&self, _: &Path, _: Option<&str>) -> Result<Vec<PathBuf>> {
        Err("a bundle's tokenizer is read only".into())
    }

    fn get_trainer(&self) -> TrainerWrapper {
        match self {
            Self::Crate(model) => model.get_trainer(),
            Self::Unigram(_) => TrainerWrapper::UnigramTrainer(Default::default()),
            Self::Bpe(_) => TrainerWrapper::BpeTrainer(Default::default()),
        }
    }
}

//! Tokenizers of the crate `tokenizers`: those whose files ask for what ours do not know.

use tokenizers::{Model as _, ModelWrapper, PreTokenizerWrapper, Tokenizer};

use super::pieces::Pieces;
use super::token_model::token::Token;
use super::tokenizer_check::check;

/// A tokenizer of the crate.
pub(super) struct HuggingFace(Tokenizer);

impl HuggingFace {
    /// The tokenizer of a file, without what the file says of cutting and filling up, as ours. It
    /// makes the same tokens of a text each time.
    pub(super) fn read(bytes: &[u8]) -> tokenizers::Result<Self> {
        check(bytes)?;
        let mut tokenizer = Tokenizer::from_bytes(bytes)?;
        let mut model = tokenizer.get_model().clone();
        // What makes it split a word otherwise each time helps training alone.
        match &mut model {
            ModelWrapper::BPE(model) => model.dropout = None,
            ModelWrapper::Unigram(model) => (model.alpha, model.nbest_size) = (None, None),
            _ => {}
        }
        tokenizer.with_model(model);
        tokenizer.with_truncation(None)?;
        tokenizer.with_padding(None);
        // Checked text is data: "<|endoftext|>" in it is those characters, not the control token.
        tokenizer.set_encode_special_tokens(true);
        Ok(Self(tokenizer))
    }

    /// The largest id; `None` if the vocabulary is empty.
    pub(super) fn largest_id(&self) -> Option<usize> {
        let ids = self.0.get_vocab(true).into_values();
        ids.max().map(|id| id as usize)
    }

    /// The ids of a text.
    pub(super) fn ids(&self, text: &str) -> tokenizers::Result<Vec<u32>> {
        let encoding = self.0.encode_fast(text, false)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The tokens of a text, and the bytes that each covers.
    pub(super) fn tokens(&self, text: &str) -> tokenizers::Result<Vec<Token>> {
        let encoding = self.0.encode(text, false)?;
        let ids = encoding.get_ids().iter().zip(encoding.get_offsets());
        let tokens = ids.map(|(id, (start, end))| Token {
            id: *id,
            place: *start..*end,
        });
        Ok(tokens.collect())
    }

    /// The tokens of a character that no vocabulary has, past the normaliser; none where the model
    /// has no token for what it does not know.
    pub(super) fn unknown(&self) -> Vec<u32> {
        let tokens = self.0.get_model().tokenize("\u{10FFFF}");
        let ids = tokens.map(|tokens| tokens.iter().map(|token| token.id).collect());
        ids.unwrap_or_default()
    }

    /// The pieces of its vocabulary; `None` if it is not of bytes, as GPT-2's is.
    pub(super) fn pieces(&self) -> Option<Pieces> {
        let is_byte_level = match self.0.get_pre_tokenizer()? {
            PreTokenizerWrapper::ByteLevel(_) => true,
            PreTokenizerWrapper::Sequence(steps) => steps
                .as_ref()
                .iter()
                .any(|step| matches!(step, PreTokenizerWrapper::ByteLevel(_))),
            _ => false,
        };
        let tokens = is_byte_level.then(|| self.0.get_vocab(false).into_keys());
        let tokens: Vec<String> = tokens?.collect();
        Some(Pieces::of(tokens.iter().map(String::as_str)))
    }
}

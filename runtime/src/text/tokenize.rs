//! Text to token ids.

use std::ops::Range;
use std::sync::OnceLock;

use tokenizers::Model as _;

use super::pieces::Pieces;
use super::tokenizer_file::{self, Pipeline};
use super::words::Words;
use crate::bundle::files::TOKENIZER;
use crate::byte_order_mark::without_byte_order_mark;
use crate::error::{Error, Result};

/// A bundle's tokenizer.
pub(crate) struct TextTokenizer {
    tokenizer: Pipeline,
    words: Option<Words>,
    /// Made when a text first needs it; `None` within where the vocabulary is not of bytes.
    pieces: OnceLock<Option<Pieces>>,
}

/// Reads `tokenizer.json` and checks that every id it can give has a row in the model's embedding.
pub(crate) fn open(bytes: &[u8], vocabulary: usize) -> Result<TextTokenizer> {
    let damaged = |cause| {
        Error::model(format!(
            "{TOKENIZER}: not a valid tokenizer: {cause}; expected the Hugging Face tokenizers \
             format"
        ))
    };
    let bytes = without_byte_order_mark(bytes);
    let mut tokenizer = tokenizer_file::read(bytes).map_err(damaged)?;
    let added = tokenizer.get_added_vocabulary().get_vocab().values();
    let largest = added.copied().chain(tokenizer.get_model().largest_id());
    match largest.max() {
        None => {
            return Err(Error::model(format!(
                "{TOKENIZER}: the vocabulary is empty"
            )));
        }
        Some(id) if id as usize >= vocabulary => {
            return Err(Error::model(format!(
                "{TOKENIZER}: largest token id is {id}, but manifest.json says that the model's \
                 vocabulary is {vocabulary}; \
                 the tokenizer belongs to another model"
            )));
        }
        Some(_) => {}
    }
    // Checked text is data: "<|endoftext|>" in it is those characters, not the control token.
    tokenizer.set_encode_special_tokens(true);
    let words = Words::of(&tokenizer);
    Ok(TextTokenizer {
        tokenizer,
        words,
        pieces: OnceLock::new(),
    })
}

impl TextTokenizer {
    /// The ids of a text, without special tokens.
    pub(crate) fn encode(&self, text: &str, vocabulary: usize) -> Result<Vec<u32>> {
        let mut ids = self.ids(text)?;
        if ids.is_empty() && !text.trim().is_empty() {
            // What the tokenizer drops is scored as what it does not know.
            ids = self.unknown();
        }
        if ids.is_empty() && !text.trim().is_empty() {
            // Zero tokens would make the verdict "safe" on text that nothing scored.
            return Err(Error::model(format!(
                "{TOKENIZER}: gives no tokens for a text of {} bytes; the tokenizer lacks an \
                 unknown token or byte fallback",
                text.len()
            )));
        }
        check_ids(&ids, vocabulary)?;
        Ok(ids)
    }

    /// About how many tokens a text in UTF-8 has, counted no further than `most`; `most` if it
    /// cannot be tokenised.
    pub(crate) fn count(&self, text: &[u8], most: usize) -> usize {
        if let Some(pieces) = self.pieces.get_or_init(|| Pieces::of(&self.tokenizer)) {
            return pieces.count(text, most);
        }
        let ids = std::str::from_utf8(text).map(|text| self.ids(text));
        match ids {
            Ok(Ok(ids)) => ids.len().min(most),
            _ => most,
        }
    }

    /// The tokens of a character that no vocabulary has, past the normaliser; none where the model
    /// has no token for what it does not know.
    fn unknown(&self) -> Vec<u32> {
        let tokens = self.tokenizer.get_model().tokenize("\u{10FFFF}");
        let ids = tokens.map(|tokens| tokens.iter().map(|token| token.id).collect());
        ids.unwrap_or_default()
    }

    /// Keeps nothing of the text that was tokenised last but some of its words.
    pub(crate) fn forget_text(&self) {
        if let Some(words) = &self.words {
            words.forget_text();
        }
    }

    fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let words = self.words.as_ref();
        let ids = match words.and_then(|words| words.encode(&self.tokenizer, text)) {
            Some(ids) => ids,
            None => {
                let encoding = self.tokenizer.encode_fast(text, false);
                encoding.map(|encoding| encoding.get_ids().to_vec())
            }
        };
        ids.map_err(|cause| failed(text, cause))
    }

    /// The bytes of a text that a range of its tokens covers.
    pub(crate) fn span(&self, text: &str, tokens: Range<usize>) -> Result<Range<usize>> {
        if tokens.is_empty() {
            return Ok(0..0);
        }
        let words = self.words.as_ref();
        if let Some(span) = words.and_then(|w| w.span(&self.tokenizer, text, tokens.clone())) {
            let span = span.map_err(|cause| failed(text, cause))?;
            return Ok(span.start..span.end.clamp(span.start, text.len()));
        }
        let encoding = self.tokenizer.encode(text, false);
        let encoding = encoding.map_err(|cause| failed(text, cause))?;
        let offsets = encoding.get_offsets().get(tokens).unwrap_or_default();
        let start = offsets.iter().map(|(start, _)| *start).min().unwrap_or(0);
        let end = offsets.iter().map(|(_, end)| *end).max().unwrap_or(0);
        Ok(start..end.clamp(start, text.len()))
    }
}

fn failed(text: &str, cause: tokenizers::Error) -> Error {
    Error::model(format!(
        "{TOKENIZER}: cannot tokenise a text of {} bytes: {cause}",
        text.len()
    ))
}

/// Checks that every id has a row in the embedding.
pub(crate) fn check_ids(ids: &[u32], vocabulary: usize) -> Result<()> {
    match ids.iter().find(|id| **id as usize >= vocabulary) {
        Some(id) => Err(Error::argument(format!(
            "token id {id} is outside the model's vocabulary of {vocabulary}"
        ))),
        None => Ok(()),
    }
}

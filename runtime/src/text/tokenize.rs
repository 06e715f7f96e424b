//! Text to token ids.

use std::ops::Range;
use std::sync::OnceLock;

#[cfg(feature = "tokenizers")]
use super::hugging_face::HuggingFace;
use super::pieces::Pieces;
use super::pipeline::part::Refusal;
use super::pipeline::{Pipeline, file};
use super::token_model::token::Token;
use super::words::Words;
use crate::bundle::files::TOKENIZER;
use crate::byte_order_mark::without_byte_order_mark;
use crate::error::{Error, Result};

/// A bundle's tokenizer.
pub(crate) struct TextTokenizer {
    tokenizer: Tokenizer,
    /// Made when a text first needs it; `None` within where the vocabulary is not of bytes.
    pieces: OnceLock<Option<Pieces>>,
}

/// Ours where it knows all that the file asks for, and else the crate's.
enum Tokenizer {
    Own(Box<Pipeline>, Option<Words>),
    #[cfg(feature = "tokenizers")]
    Crate(Box<HuggingFace>),
}

/// Reads `tokenizer.json` and checks that every id it can give has a row in the model's embedding.
pub(crate) fn open(bytes: &[u8], vocabulary: usize) -> Result<TextTokenizer> {
    let bytes = without_byte_order_mark(bytes);
    let tokenizer = match file::read(bytes) {
        Ok(pipeline) => {
            let words = Words::of(&pipeline);
            Tokenizer::Own(Box::new(pipeline), words)
        }
        Err(refusal) => of_crate(bytes, refusal)?,
    };
    match tokenizer.largest_id() {
        None => {
            return Err(Error::model(format!(
                "{TOKENIZER}: the vocabulary is empty"
            )));
        }
        Some(id) if id >= vocabulary => {
            return Err(Error::model(format!(
                "{TOKENIZER}: largest token id is {id}, but manifest.json says that the model's \
                 vocabulary is {vocabulary}; \
                 the tokenizer belongs to another model"
            )));
        }
        Some(_) => {}
    }
    Ok(TextTokenizer {
        tokenizer,
        pieces: OnceLock::new(),
    })
}

fn of_crate(bytes: &[u8], refusal: Refusal) -> Result<Tokenizer> {
    match refusal {
        Refusal::Damaged(cause) => Err(damaged(cause)),
        Refusal::Unknown(part) => unknown(bytes, &part),
    }
}

#[cfg(feature = "tokenizers")]
fn unknown(bytes: &[u8], part: &str) -> Result<Tokenizer> {
    let tokenizer = HuggingFace::read(bytes);
    let tokenizer = tokenizer.map_err(|cause| damaged(format!("{part}: {cause}")))?;
    Ok(Tokenizer::Crate(Box::new(tokenizer)))
}

#[cfg(not(feature = "tokenizers"))]
fn unknown(_: &[u8], part: &str) -> Result<Tokenizer> {
    Err(Error::unsupported(format!(
        "{TOKENIZER}: {part}: not known to this build, which has the tokenizers of the bundled \
         models alone; build with the feature `tokenizers`, which has them all"
    )))
}

fn damaged(cause: impl std::fmt::Display) -> Error {
    Error::model(format!(
        "{TOKENIZER}: not a valid tokenizer: {cause}; expected the Hugging Face tokenizers format"
    ))
}

impl Tokenizer {
    /// The largest id; `None` if the vocabulary is empty.
    fn largest_id(&self) -> Option<usize> {
        match self {
            Self::Own(pipeline, _) => pipeline.largest_id(),
            #[cfg(feature = "tokenizers")]
            Self::Crate(tokenizer) => tokenizer.largest_id(),
        }
    }

    fn ids(&self, text: &str) -> Result<Vec<u32>> {
        match self {
            Self::Own(pipeline, words) => {
                let words = words.as_ref();
                let ids = match words.and_then(|words| words.encode(pipeline, text)) {
                    Some(ids) => ids,
                    None => pipeline
                        .tokens(text)
                        .map(|tokens| tokens.iter().map(|token| token.id).collect()),
                };
                ids.map_err(|cause| failed(text, cause))
            }
            #[cfg(feature = "tokenizers")]
            Self::Crate(tokenizer) => tokenizer.ids(text).map_err(|cause| failed(text, cause)),
        }
    }

    /// The tokens of a text, and the bytes that each covers.
    fn tokens(&self, text: &str) -> Result<Vec<Token>> {
        match self {
            Self::Own(pipeline, _) => pipeline.tokens(text).map_err(|cause| failed(text, cause)),
            #[cfg(feature = "tokenizers")]
            Self::Crate(tokenizer) => tokenizer.tokens(text).map_err(|cause| failed(text, cause)),
        }
    }

    /// The tokens of a character that no vocabulary has, past the normaliser; none where the model
    /// has no token for what it does not know.
    fn unknown(&self) -> Vec<u32> {
        match self {
            Self::Own(pipeline, _) => {
                let tokens = pipeline.model().tokenize("\u{10FFFF}").unwrap_or_default();
                tokens.iter().map(|token| token.id).collect()
            }
            #[cfg(feature = "tokenizers")]
            Self::Crate(tokenizer) => tokenizer.unknown(),
        }
    }

    fn pieces(&self) -> Option<Pieces> {
        match self {
            Self::Own(pipeline, _) => {
                let tokens = pipeline.model().vocabulary().tokens();
                pipeline.is_byte_level().then(|| Pieces::of(tokens))
            }
            #[cfg(feature = "tokenizers")]
            Self::Crate(tokenizer) => tokenizer.pieces(),
        }
    }
}

impl TextTokenizer {
    /// The ids of a text, without special tokens.
    pub(crate) fn encode(&self, text: &str, vocabulary: usize) -> Result<Vec<u32>> {
        let mut ids = self.tokenizer.ids(text)?;
        if ids.is_empty() && !text.trim().is_empty() {
            // What the tokenizer drops is scored as what it does not know.
            ids = self.tokenizer.unknown();
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
        if let Some(pieces) = self.pieces.get_or_init(|| self.tokenizer.pieces()) {
            return pieces.count(text, most);
        }
        let ids = std::str::from_utf8(text).map(|text| self.tokenizer.ids(text));
        match ids {
            Ok(Ok(ids)) => ids.len().min(most),
            _ => most,
        }
    }

    /// Keeps nothing of the text that was tokenised last but some of its words.
    pub(crate) fn forget_text(&self) {
        if let Tokenizer::Own(_, Some(words)) = &self.tokenizer {
            words.forget_text();
        }
    }

    /// The bytes of a text that a range of its tokens covers.
    pub(crate) fn span(&self, text: &str, tokens: Range<usize>) -> Result<Range<usize>> {
        if tokens.is_empty() {
            return Ok(0..0);
        }
        if let Tokenizer::Own(pipeline, Some(words)) = &self.tokenizer
            && let Some(span) = words.span(pipeline, text, tokens.clone())
        {
            let span = span.map_err(|cause| failed(text, cause))?;
            return Ok(span.start..span.end.clamp(span.start, text.len()));
        }
        let all = self.tokenizer.tokens(text)?;
        let places = all.get(tokens).unwrap_or_default();
        let places = places.iter().map(|token| &token.place);
        let start = places.clone().map(|place| place.start).min().unwrap_or(0);
        let end = places.map(|place| place.end).max().unwrap_or(0);
        Ok(start..end.clamp(start, text.len()))
    }
}

fn failed(text: &str, cause: impl std::fmt::Display) -> Error {
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

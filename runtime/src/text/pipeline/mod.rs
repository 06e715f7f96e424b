//! The tokenizers that are our own: from a text to its tokens, and where each lies in it.
//!
//! They give the tokens, places and ids of the crate `tokenizers`, which is the measure of each of
//! these. What a file may ask for, and they do not know, is left to the crate.
//!
//! - [`mod@file`], [`part`]: reading `tokenizer.json`.
//! - [`aligned`]: a text that was changed, and where its bytes come from.
//! - [`composed`], [`character_map`]: how characters are changed, and [`normalizer`] by what.
//! - [`pattern`], [`splits`]: how the text is split.

mod aligned;
pub(super) mod character_map;
pub(super) mod composed;
pub(super) mod file;
mod normalizer;
pub(super) mod part;
pub(super) mod pattern;
mod splits;
#[cfg(test)]
mod tests;

use std::ops::Range;

use self::aligned::Aligned;
use self::normalizer::Normalizer;
use self::pattern::Pattern;
use self::splits::{Metaspace, Splits};
use super::byte_level;
use super::token_model::TokenModel;
use super::token_model::token::{Token, Unknown};

/// A tokenizer.
///
/// What the file says of cutting and filling up is left out: the first would leave text unscored,
/// and the second score text that is not there. Text is data: `<|endoftext|>` in it is those
/// characters, and not the control token. Special tokens are not added.
pub(super) struct Pipeline {
    normalizer: Normalizer,
    splits: Splits,
    model: TokenModel,
    /// Special tokens that are not in the model's vocabulary.
    added_tokens: usize,
    trims: Option<Trims>,
}

/// That spaces are no part of a token's place.
#[derive(Clone, Copy)]
struct Trims {
    /// Whether one at the beginning of the text stays.
    keeps_first: bool,
}

impl Pipeline {
    pub(super) fn model(&self) -> &TokenModel {
        &self.model
    }

    /// How it splits words, each of which it tokenises alone, from a text that is composed.
    pub(super) fn words(&self) -> Option<Pattern> {
        match &self.splits {
            Splits::ByteLevel(pattern) => self.normalizer.only_composes().then_some(*pattern),
            Splits::Metaspace(_) => None,
        }
    }

    /// Whether the tokens of a word lie in it as they lie in a text.
    pub(super) fn has_places_by_word(&self) -> bool {
        self.trims.is_none_or(|trims| !trims.keeps_first)
    }

    /// Whether tokens have spaces that are no part of their places.
    pub(super) fn trims(&self) -> bool {
        self.trims.is_some()
    }

    /// Whether the vocabulary is of bytes, as GPT-2's is.
    pub(super) fn is_byte_level(&self) -> bool {
        matches!(self.splits, Splits::ByteLevel(_))
    }

    /// The largest id; `None` if the vocabulary is empty.
    pub(super) fn largest_id(&self) -> Option<usize> {
        (self.model.vocabulary().len() + self.added_tokens).checked_sub(1)
    }

    /// The tokens of a text, and the bytes that each covers.
    pub(super) fn tokens(&self, text: &str) -> Result<Vec<Token>, Unknown> {
        let mut text = self.normalizer.apply(text);
        let mut tokens = Vec::new();
        if text.text().is_empty() {
            return Ok(tokens);
        }
        match &self.splits {
            Splits::ByteLevel(pattern) => self.of_words(*pattern, &text, &mut tokens)?,
            Splits::Metaspace(metaspace) => {
                metaspace.mark(&mut text);
                self.of_parts(metaspace, &text, &mut tokens)?;
            }
        }
        if let Some(trims) = self.trims {
            self.trim(trims, &mut tokens);
        }
        Ok(tokens)
    }

    fn of_words(
        &self,
        pattern: Pattern,
        text: &Aligned<'_>,
        tokens: &mut Vec<Token>,
    ) -> Result<(), Unknown> {
        let mut start = 0;
        let mut word = byte_level::Word::default();
        while start < text.text().len() {
            let rest = &text.text()[start..];
            let end = start + pattern.word_end(rest);
            word.spell(&text.text()[start..end]);
            for token in self.model.tokenize(word.text())? {
                let bytes = word.bytes_of(token.place);
                let place = text.place(start + bytes.start..start + bytes.end);
                tokens.push(Token { place, ..token });
            }
            start = end;
        }
        Ok(())
    }

    fn of_parts(
        &self,
        metaspace: &Metaspace,
        text: &Aligned<'_>,
        tokens: &mut Vec<Token>,
    ) -> Result<(), Unknown> {
        for part in metaspace.parts(text.text()) {
            for token in self.model.tokenize(&text.text()[part.clone()])? {
                let bytes = part.start + token.place.start..part.start + token.place.end;
                let place = text.place(bytes);
                tokens.push(Token { place, ..token });
            }
        }
        Ok(())
    }

    /// Leaves out of each place as many bytes as its token has spaces at that end.
    fn trim(&self, trims: Trims, tokens: &mut [Token]) {
        let is_space = |c: &char| *c == byte_level::char_of(b' ') || c.is_whitespace();
        for (index, token) in tokens.iter_mut().enumerate() {
            let text = self.model.vocabulary().token(token.id).unwrap_or_default();
            let mut leading = text.chars().take_while(is_space).count();
            let trailing = text.chars().rev().take_while(is_space).count();
            let Range { start, end } = &mut token.place;
            let is_first = index == 0 || *start == 0;
            if is_first && trims.keeps_first && leading == 1 {
                leading = 0;
            }
            *start = (*start + leading).min(*end);
            if trailing > 0 && *end >= trailing {
                *end = (*end - trailing).max(*start);
            }
        }
    }
}

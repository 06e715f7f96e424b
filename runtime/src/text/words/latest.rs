//! The words of the text that was tokenised last: the next is often the same, or goes on from it.

use std::ops::Range;

use super::super::pipeline::Pipeline;
use super::super::token_model::TokenModel;
use super::super::token_model::token::Unknown;

/// Longer texts are not kept. What a stream looks at is shorter.
const MAX_BYTES: usize = 64 << 10;

/// A text, as far as it is split.
#[derive(Debug, Default)]
pub(super) struct Latest {
    text: String,
    pub(super) ids: Vec<u32>,
    /// Where every word ends: in bytes, and in tokens.
    ends: Vec<(usize, usize)>,
}

impl Latest {
    /// Keeps the words with which another text surely begins as well, and tells how many bytes
    /// they have.
    pub(super) fn keep_shared(&mut self, text: &str) -> usize {
        let shared = shared_bytes(self.text.as_bytes(), text.as_bytes());
        let whole = match self.text.len() == text.len() && shared == text.len() {
            true => self.ends.len(),
            false => {
                // Where a word ends is told by the next one's beginning, which is in the last of
                // those that are there; and white space is cut by what stands behind all of it.
                let there = self.ends.partition_point(|(end, _)| *end <= shared);
                let words = (0..there.saturating_sub(1)).rev();
                let told = words.map(|word| (word, self.word(word)));
                let mut told = told.skip_while(|(_, word)| word.trim().is_empty());
                told.next().map_or(0, |(word, _)| word + 1)
            }
        };
        self.ends.truncate(whole);
        let (bytes, tokens) = self.end();
        self.text.truncate(bytes);
        self.ids.truncate(tokens);
        bytes
    }

    /// Appends a word, whose ids were appended.
    pub(super) fn add(&mut self, word: &str) {
        self.text.push_str(word);
        self.ends.push((self.text.len(), self.ids.len()));
    }

    /// Keeps nothing of it but the room.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ids.clear();
        self.ends.clear();
    }

    pub(super) fn is_short(&self) -> bool {
        self.text.len() <= MAX_BYTES
    }

    /// The bytes that a range of the text's tokens covers; none if there are not so many.
    pub(super) fn span(
        &self,
        tokenizer: &Pipeline,
        tokens: Range<usize>,
    ) -> Result<Range<usize>, Unknown> {
        if tokens.is_empty() || tokens.end > self.ids.len() {
            return Ok(0..0);
        }
        let start = self.place(tokenizer, tokens.start)?.start;
        let end = self.place(tokenizer, tokens.end - 1)?.end;
        Ok(start..end)
    }

    /// The bytes that a token covers.
    fn place(&self, tokenizer: &Pipeline, token: usize) -> Result<Range<usize>, Unknown> {
        let word = self.ends.partition_point(|(_, end)| *end <= token);
        let before = word.checked_sub(1).map(|word| self.ends[word]);
        let ((start, first), (end, last)) = (before.unwrap_or_default(), self.ends[word]);
        let (word, ids) = (&self.text[start..end], &self.ids[first..last]);
        let own = match tokenizer.model() {
            TokenModel::Bpe(model) if !tokenizer.trims() => {
                model.place_in_bytes(word.len(), ids, token - first)
            }
            _ => None,
        };
        let place = match own {
            // A part of a character covers all of it.
            Some(place) => {
                word.floor_char_boundary(place.start)..word.ceil_char_boundary(place.end)
            }
            None => {
                let tokens = tokenizer.tokens(word)?;
                let token = tokens.into_iter().nth(token - first);
                token.map_or(0..0, |token| token.place)
            }
        };
        Ok(start + place.start..start + place.end)
    }

    fn word(&self, number: usize) -> &str {
        let start = number
            .checked_sub(1)
            .map_or(0, |before| self.ends[before].0);
        &self.text[start..self.ends[number].0]
    }

    fn end(&self) -> (usize, usize) {
        self.ends.last().copied().unwrap_or_default()
    }
}

/// With how many bytes both begin.
fn shared_bytes(a: &[u8], b: &[u8]) -> usize {
    const STEP: usize = 64;
    let steps = a.chunks_exact(STEP).zip(b.chunks_exact(STEP));
    let start = STEP * steps.take_while(|(a, b)| a == b).count();
    let rest = a[start..].iter().zip(&b[start..]);
    start + rest.take_while(|(a, b)| a == b).count()
}

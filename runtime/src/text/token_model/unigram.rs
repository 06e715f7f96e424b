//! The model Unigram: of all ways to split a text into tokens, the one with the largest sum of
//! scores (Kudo, arXiv 1804.10959).
//!
//! The model of the crate `tokenizers` keeps its tokens in a tree whose nodes are hash tables,
//! which takes most of the time that a bundle takes to open. This one gives the same tokens.

use std::ops::Range;

use super::token::{Token, Unknown};
use super::vocabulary::Vocabulary;

/// How much less than every token a character scores that is in none.
const UNKNOWN_PENALTY: f64 = 10.0;

/// A vocabulary with a score for each token.
pub(in super::super) struct Unigram {
    pub(super) vocabulary: Vocabulary,
    scores: Vec<f64>,
    unknown: Option<u32>,
    unknown_score: f64,
    /// The tokens of single bytes, if what is unknown is spelt with them.
    bytes: Option<Box<[Option<u32>; 256]>>,
}

/// The end of the best path so far.
#[derive(Clone, Copy)]
struct Best {
    score: f64,
    /// Where its last token begins; `usize::MAX` if no path ends here.
    start: usize,
    id: u32,
}

impl Unigram {
    /// `None` if the unknown token is not in the vocabulary.
    pub(super) fn new(
        vocabulary: Vocabulary,
        scores: Vec<f64>,
        unknown: Option<usize>,
        byte_fallback: bool,
    ) -> Option<Self> {
        let unknown = match unknown {
            Some(id) if id >= vocabulary.len() => return None,
            unknown => unknown.map(|id| id as u32),
        };
        let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
        Some(Self {
            bytes: byte_fallback.then(|| Box::new(vocabulary.byte_tokens())),
            vocabulary,
            scores,
            unknown,
            unknown_score: least - UNKNOWN_PENALTY,
        })
    }

    pub(super) fn tokenize(&self, text: &str) -> Result<Vec<Token>, Unknown> {
        let places = self.best_path(text)?;
        let mut tokens = Vec::with_capacity(places.len());
        for place in places {
            let part = &text[place.clone()];
            if let Some(id) = self.vocabulary.id(part) {
                tokens.push(Token { id, place });
                continue;
            }
            let bytes = self.bytes.as_ref().and_then(|tokens| {
                let ids: Option<Vec<u32>> =
                    part.bytes().map(|byte| tokens[usize::from(byte)]).collect();
                ids
            });
            match bytes {
                Some(ids) => tokens.extend(ids.into_iter().map(|id| Token {
                    id,
                    place: place.clone(),
                })),
                None => {
                    let id = self.unknown.ok_or(Unknown)?;
                    tokens.push(Token { id, place });
                }
            }
        }
        Ok(tokens)
    }

    /// The places of the tokens; neighbours that are unknown are one.
    fn best_path(&self, text: &str) -> Result<Vec<Range<usize>>, Unknown> {
        let nowhere = Best {
            score: 0.0,
            start: usize::MAX,
            id: 0,
        };
        let mut best = vec![nowhere; text.len() + 1];
        for (start, c) in text.char_indices() {
            let so_far = best[start].score;
            let end_of_character = start + c.len_utf8();
            let mut has_character = false;
            for (length, id) in self.vocabulary.prefixes(&text[start..]) {
                let end = start + length;
                let score = self.scores[id as usize] + so_far;
                let target = &mut best[end];
                if target.start == usize::MAX || score > target.score {
                    *target = Best { score, start, id };
                }
                has_character |= end == end_of_character;
            }
            if !has_character {
                let score = self.unknown_score + so_far;
                let target = &mut best[end_of_character];
                if target.start == usize::MAX || score > target.score {
                    let id = self.unknown.ok_or(Unknown)?;
                    *target = Best { score, start, id };
                }
            }
        }
        Ok(self.places(&best))
    }

    /// Goes back from the end.
    fn places(&self, best: &[Best]) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        let mut end = best.len() - 1;
        // Where what is unknown behind `end` ends.
        let mut unknown = None;
        while end > 0 {
            let Best { start, id, .. } = best[end];
            if Some(id) == self.unknown {
                unknown = unknown.or(Some(end));
            } else {
                places.extend(unknown.take().map(|last| end..last));
                places.push(start..end);
            }
            end = start;
        }
        places.extend(unknown.map(|last| 0..last));
        places.reverse();
        places
    }
}

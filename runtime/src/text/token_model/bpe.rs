//! Byte pair encoding: neighbours are merged, the pair that was learnt first before all others
//! (Sennrich et al., arXiv 1508.07909).
//!
//! The model of the crate `tokenizers` keeps every token twice and every merge as strings while it
//! is read; this one keeps them once, as ids, and gives the same tokens.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;

use super::super::byte_level;
use super::token::Token;
use super::vocabulary::Vocabulary;

/// A vocabulary and its merges.
pub(in super::super) struct Bpe {
    pub(super) vocabulary: Vocabulary,
    merges: Merges,
    rules: Rules,
}

/// A pair of ids -> its rank, and the id of both together.
pub(super) type Merges = HashMap<(u32, u32), (u32, u32)>;

/// What else a file says about the model.
#[derive(Default)]
pub(super) struct Rules {
    /// The token of characters that are in none.
    pub(super) unknown: Option<u32>,
    /// Whether neighbours that are unknown are one.
    pub(super) fuses_unknown: bool,
    /// The tokens of single bytes, if what is unknown is spelt with them.
    pub(super) bytes: Option<Box<[Option<u32>; 256]>>,
    /// Whether a word that is a token is not put together.
    pub(super) ignores_merges: bool,
}

/// A part of a word.
#[derive(Clone, Copy)]
struct Symbol {
    id: u32,
    /// In bytes; 0 if it is part of the one before.
    length: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

impl Bpe {
    pub(super) fn new(vocabulary: Vocabulary, merges: Merges, rules: Rules) -> Self {
        Self {
            vocabulary,
            merges,
            rules,
        }
    }

    pub(super) fn tokenize(&self, word: &str) -> Vec<Token> {
        let mut start = 0;
        let symbols = self.symbols(word);
        let tokens = symbols.map(|symbol| {
            let place = start..start + symbol.length;
            start = place.end;
            Token {
                id: symbol.id,
                place,
            }
        });
        tokens.collect()
    }

    /// The ids of a word whose bytes are characters of the vocabulary, as in GPT-2's.
    pub(in super::super) fn ids_of_bytes(&self, word: &str, ids: &mut Vec<u32>) {
        let word: String = word.bytes().map(byte_level::char_of).collect();
        ids.extend(self.symbols(&word).map(|symbol| symbol.id));
    }

    /// The bytes that one of the tokens of such a word covers; `None` if not all of them are known.
    pub(in super::super) fn place_in_bytes(
        &self,
        bytes: usize,
        ids: &[u32],
        token: usize,
    ) -> Option<Range<usize>> {
        if self.rules.unknown.is_some() || self.rules.bytes.is_some() {
            return None;
        }
        // Every character is a byte.
        let length = |id: &u32| {
            self.vocabulary
                .token(*id)
                .map_or(0, |token| token.chars().count())
        };
        let lengths: Vec<usize> = ids.iter().map(length).collect();
        let start = lengths[..token].iter().sum();
        let all: usize = lengths.iter().sum();
        (all == bytes).then(|| start..start + lengths[token])
    }

    fn symbols(&self, word: &str) -> impl Iterator<Item = Symbol> + use<> {
        let whole = match self.rules.ignores_merges {
            true => self.vocabulary.id(word),
            false => None,
        };
        let mut symbols = Symbols::default();
        match whole {
            Some(id) => symbols.push(id, word.len()),
            None => {
                self.split(word, &mut symbols);
                self.merge(&mut symbols);
            }
        }
        symbols.0.into_iter().filter(|symbol| symbol.length > 0)
    }

    /// Every character by itself.
    fn split(&self, word: &str, symbols: &mut Symbols) {
        let mut unknown: Option<(u32, usize)> = None;
        for (at, c) in word.char_indices() {
            let character = &word[at..at + c.len_utf8()];
            if let Some(id) = self.vocabulary.id(character) {
                symbols.extend(unknown.take());
                symbols.push(id, character.len());
                continue;
            }
            let bytes = self.rules.bytes.as_ref().and_then(|tokens| {
                let ids: Option<Vec<u32>> = character
                    .bytes()
                    .map(|byte| tokens[usize::from(byte)])
                    .collect();
                ids
            });
            if let Some(ids) = bytes {
                // As the crate has it, before what is unknown and waits to be fused.
                ids.into_iter().for_each(|id| symbols.push(id, 1));
            } else if let Some(id) = self.rules.unknown {
                let before = match self.rules.fuses_unknown {
                    true => unknown.map_or(0, |(_, length)| length),
                    false => {
                        symbols.extend(unknown);
                        0
                    }
                };
                unknown = Some((id, before + character.len()));
            }
        }
        symbols.extend(unknown);
    }

    fn merge(&self, symbols: &mut Symbols) {
        let symbols = &mut symbols.0;
        // By rank, then by place.
        let mut waiting: BinaryHeap<Reverse<(u32, usize, u32)>> =
            BinaryHeap::with_capacity(symbols.len());
        let merged = |left: Symbol, right: Symbol, at: usize| {
            let (rank, id) = self.merges.get(&(left.id, right.id))?;
            Some(Reverse((*rank, at, *id)))
        };
        let pairs = symbols.windows(2).enumerate();
        waiting.extend(pairs.filter_map(|(at, pair)| merged(pair[0], pair[1], at)));
        while let Some(Reverse((_, at, id))) = waiting.pop() {
            let left = symbols[at];
            let Some(next) = left.next.filter(|_| left.length > 0) else {
                continue;
            };
            let right = symbols[next];
            // What waited may not be there any more.
            let known = self.merges.get(&(left.id, right.id));
            if known.is_none_or(|(_, known)| *known != id) {
                continue;
            }
            let both = Symbol {
                id,
                length: left.length + right.length,
                previous: left.previous,
                next: right.next,
            };
            symbols[at] = both;
            symbols[next].length = 0;
            if let Some(previous) = both.previous {
                waiting.extend(merged(symbols[previous], both, previous));
            }
            if let Some(next) = both.next {
                symbols[next].previous = Some(at);
                waiting.extend(merged(both, symbols[next], at));
            }
        }
    }
}

#[derive(Default)]
struct Symbols(Vec<Symbol>);

impl Symbols {
    fn push(&mut self, id: u32, length: usize) {
        let at = self.0.len();
        if let Some(last) = self.0.last_mut() {
            last.next = Some(at);
        }
        self.0.push(Symbol {
            id,
            length,
            previous: at.checked_sub(1),
            next: None,
        });
    }

    fn extend(&mut self, symbol: Option<(u32, usize)>) {
        if let Some((id, length)) = symbol {
            self.push(id, length);
        }
    }
}

//! Whether a sentence is a language, or one with its letters moved by 13 places.

use std::ops::Range;

use super::block::{Block, blocks, count, each};
use super::rewrite::{Edit, Edits};

/// Letters that a sentence needs before their distribution means something.
const MIN_LETTERS: usize = 12;

/// How much likelier a letter from A to M is in a language than the one 13 places on, and how much less likely that one is: eight times the
/// natural logarithm of the ratio of their shares of English, French, Spanish and German letters, the languages counting alike.
const LIKELIER: [i8; 13] = [1, -11, 3, 15, 6, -13, -10, -3, 14, -7, 8, 12, 14];

/// The weight of a letter, on average, from which on a sentence amid rotated ones is plain. Languages have 2 to 6.
const SURE: i64 = 2;

/// The same for every byte.
pub(super) static WEIGHTS: [i8; 256] = {
    let mut weights = [0; 256];
    let mut n = 0;
    while n < LIKELIER.len() {
        let (small, capital) = (b'a' as usize + n, b'A' as usize + n);
        (weights[small], weights[capital]) = (LIKELIER[n], LIKELIER[n]);
        (weights[small + 13], weights[capital + 13]) = (-LIKELIER[n], -LIKELIER[n]);
        n += 1;
    }
    weights
};

/// The letters from A to Z of a text or a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sentence {
    pub(super) letters: usize,
    pub(super) weight: i64,
}

impl Sentence {
    pub(super) fn add(&mut self, other: Self) {
        self.letters += other.letters;
        self.weight += other.weight;
    }

    /// Whether it is long enough to tell.
    pub(super) fn is_long(self) -> bool {
        self.letters >= MIN_LETTERS
    }

    /// Whether it is sure to be of a language as it is.
    pub(super) fn is_plain(self) -> bool {
        self.is_long() && self.weight > SURE * self.letters as i64
    }

    /// Whether it is likelier to be of a language with its letters moved by 13 places.
    pub(super) fn is_rotated(self) -> bool {
        self.is_long() && self.weight < 0
    }
}

/// The sentences of a text, each to the sign that ends it.
pub(super) fn sentences(text: &str) -> impl Iterator<Item = (Range<usize>, Sentence)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let mut sentence = Sentence::default();
        for byte in &text.as_bytes()[start..] {
            sentence.letters += usize::from(byte.is_ascii_alphabetic());
            sentence.weight += i64::from(WEIGHTS[usize::from(*byte)]);
            at += 1;
            if is_stop(*byte) {
                break;
            }
        }
        (start < at).then_some((start..at, sentence))
    })
}

/// What the letters from A to Z weigh together.
fn weight_of(bytes: &[u8]) -> i64 {
    let weights = bytes
        .iter()
        .map(|byte| i64::from(WEIGHTS[usize::from(*byte)]));
    weights.sum()
}

/// Whether a byte ends a sentence.
pub(super) const fn is_stop(byte: u8) -> bool {
    matches!(byte, b'.' | b'?' | b'\n' | b':' | b';' | b'"')
}

/// Sentences whose letters would be more like a language's after moving by 13 places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rotated {
    /// How many sentences are before each, and where it is.
    pub(super) sentences: Vec<(usize, Range<usize>)>,
    /// Whether the text as a whole is one.
    pub(super) is_all: bool,
}

impl Rotated {
    pub(super) fn any(&self) -> bool {
        self.is_all || !self.sentences.is_empty()
    }

    /// Whether edits may change which there are, if they end no sentence and begin none.
    pub(super) fn may_change(&self, edits: &Edits) -> bool {
        let mut edits = edits.iter().map(Edit::range).peekable();
        let mut is_touched = |place: &Range<usize>| {
            while edits.next_if(|edit| edit.end <= place.start).is_some() {}
            edits.peek().is_some_and(|edit| edit.start < place.end)
        };
        self.is_all || self.sentences.iter().any(|(_, place)| is_touched(place))
    }

    /// Leaves those that still are rotated after a change that ends no sentence and begins none.
    pub(super) fn retain(&mut self, after: &Self) {
        let mut after_them = after.sentences.iter().peekable();
        self.sentences.retain(|(number, _)| {
            while after_them.next_if(|(other, _)| other < number).is_some() {}
            after_them.peek().is_some_and(|(other, _)| other == number)
        });
        self.is_all &= after.is_all;
    }
}

/// The sentences that may be rotated, which [`scan`](super::scan::scan) tells too.
pub(super) fn rotated(text: &str) -> Rotated {
    let mut sentences = Sentences::default();
    blocks(text).for_each(|block| sentences.add(text, &block));
    sentences.finish(text)
}

/// The current sentence, and all of them.
#[derive(Default)]
pub(super) struct Sentences {
    /// How many are before it.
    number: usize,
    start: usize,
    /// Where what is weighed of the current sentence begins: most are too short to be weighed at all.
    weighed: usize,
    current: Sentence,
    all: Sentence,
    rotated: Rotated,
}

impl Sentences {
    #[inline(always)]
    pub(super) fn add(&mut self, text: &str, block: &Block) {
        let sets = &block.sets;
        let mut letters = sets.letters;
        self.all.add(Sentence {
            letters: count(letters),
            weight: block.weight,
        });
        each(sets.stops, |index| {
            let of_sentence = letters & !(u64::MAX << index);
            letters &= !of_sentence;
            self.current.letters += count(of_sentence);
            self.end(text, block.start, block.start + index + 1);
        });
        self.current.letters += count(letters);
        match sets.stops {
            0 => self.current.weight += block.weight,
            _ => self.weighed = block.start + block.len,
        }
    }

    /// Ends a sentence of which what lies before `block` is weighed.
    #[inline(always)]
    fn end(&mut self, text: &str, block: usize, end: usize) {
        if self.current.is_long() {
            let weight = |range: Range<usize>| weight_of(&text.as_bytes()[range]);
            self.current.weight += weight(self.start.max(block)..end);
            if self.start < block {
                self.current.weight += weight(self.start..self.weighed);
            }
            if self.current.is_rotated() {
                let place = (self.number, self.start..end);
                self.rotated.sentences.push(place);
            }
        }
        self.number += 1;
        (self.start, self.weighed) = (end, end);
        self.current = Sentence::default();
    }

    pub(super) fn finish(mut self, text: &str) -> Rotated {
        self.end(text, text.len(), text.len());
        self.rotated.is_all = self.all.is_rotated();
        self.rotated
    }
}

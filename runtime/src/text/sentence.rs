//! Whether a sentence is a language, or one with its letters moved by 13 places.

use std::ops::Range;

use super::block::{Block, blocks, count, each};
use super::part::{found_again, parts};
use super::rewrite::{Edit, Edits};

/// Letters that a sentence needs before their distribution means something.
const MIN_LETTERS: usize = 12;

/// How much likelier a letter from A to M is in a language than the one 13 places on, and how much
/// less likely that one is: eight times the natural logarithm of the ratio of their shares of
/// English, French, Spanish and German letters, the languages counting alike.
const LIKELIER: [i8; 13] = [1, -11, 3, 15, 6, -13, -10, -3, 14, -7, 8, 12, 14];

/// The weight of a letter, on average, from which on a sentence amid rotated ones is plain.
/// Languages have 2 to 6.
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

    /// Takes off what a part of it has.
    pub(super) fn remove(&mut self, part: Self) {
        self.letters -= part.letters;
        self.weight -= part.weight;
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

/// Where the sentence that begins at `start` ends, or the one that a byte at `start` is in.
pub(super) fn end_of_sentence(text: &str, start: usize) -> usize {
    let stop = text.as_bytes()[start..].iter().position(|b| is_stop(*b));
    stop.map_or(text.len(), |stop| start + stop + 1)
}

/// Where the sentence begins that `at` is in, or at `earliest`, where one begins.
pub(super) fn start_of_sentence(text: &str, earliest: usize, at: usize) -> usize {
    let before = &text.as_bytes()[earliest..at];
    let stop = before.iter().rposition(|b| is_stop(*b));
    stop.map_or(earliest, |stop| earliest + stop + 1)
}

/// Sentences whose letters would be more like a language's after moving by 13 places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rotated {
    /// Where each begins.
    pub(super) starts: Vec<u32>,
    /// All letters of the text.
    pub(super) all: Sentence,
}

impl Rotated {
    /// Whether the text as a whole is one.
    pub(super) fn is_all(&self) -> bool {
        self.all.is_rotated()
    }

    pub(super) fn any(&self) -> bool {
        self.is_all() || !self.starts.is_empty()
    }

    /// The sentences, as parts of the text.
    pub(super) fn sentences(&self, text: &str) -> impl Iterator<Item = Range<usize>> {
        let starts = self.starts.iter().map(|start| *start as usize);
        starts.map(|start| start..end_of_sentence(text, start))
    }

    /// Whether edits of the text may change which there are, if they end no sentence and begin
    /// none.
    pub(super) fn may_change(&self, text: &str, edits: &Edits) -> bool {
        let mut edits = edits.iter().map(Edit::range).peekable();
        let is_touched = |place: Range<usize>| {
            while edits.next_if(|edit| edit.end <= place.start).is_some() {}
            edits.peek().is_some_and(|edit| edit.start < place.end)
        };
        self.is_all() || self.sentences(text).any(is_touched)
    }

    /// Those of the text that was edited.
    pub(super) fn after(&self, text: &str, edits: &Edits) -> Self {
        let Some(parts) = parts(text, edits) else {
            return rotated(edits.text());
        };
        let mut all = self.all;
        let starts = found_again(&self.starts, &parts, |part, starts| {
            let now = rotated(&edits.text()[part.after.clone()]);
            all.add(now.all);
            all.remove(rotated(&text[part.before.clone()]).all);
            starts.extend(now.starts);
        });
        Self { starts, all }
    }

    /// Leaves those that still are rotated after edits that end no sentence and begin none.
    pub(super) fn retain(&mut self, edits: &Edits, after: &Self) {
        let mut moved = edits.moved();
        let mut starts_after = after.starts.iter().peekable();
        self.starts.retain(|start| {
            let now = moved(*start as usize) as u32;
            while starts_after.next_if(|other| **other < now).is_some() {}
            starts_after.peek() == Some(&&now)
        });
        if !after.is_all() {
            self.all = Sentence::default();
        }
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
    start: usize,
    /// Where what is weighed of the current sentence begins: most are too short to be weighed at
    /// all.
    weighed: usize,
    current: Sentence,
    rotated: Rotated,
}

impl Sentences {
    #[inline(always)]
    pub(super) fn add(&mut self, text: &str, block: &Block) {
        let sets = &block.sets;
        let mut letters = sets.letters;
        self.rotated.all.add(Sentence {
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
                self.rotated.starts.push(self.start as u32);
            }
        }
        (self.start, self.weighed) = (end, end);
        self.current = Sentence::default();
    }

    pub(super) fn finish(mut self, text: &str) -> Rotated {
        self.end(text, text.len(), text.len());
        self.rotated
    }
}

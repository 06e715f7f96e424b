//! Where sentences end, and whether their letters look like a language's or like those of a
//! language moved by 13 places.

use std::ops::Range;

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
pub(super) fn weight_of(bytes: &[u8]) -> i64 {
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

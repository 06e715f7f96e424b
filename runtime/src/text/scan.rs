//! One quick look at a text: which disguises it could hold at all. Most text holds none, and nothing else is done to it.

use std::iter::Sum;
use std::ops::Range;

use super::class::{self, CASED, INVISIBLE, LETTER, MARK, NUMBER};

/// Single letters in a row that make a spelt-out word.
pub(super) const MIN_SPELT: usize = 4;
/// Characters between two of them, at most.
pub(super) const MAX_GAP: usize = 4;
/// The shortest encoded run that is looked into: 12 bytes of base64.
pub(super) const MIN_ENCODED: usize = 16;
/// The shortest run of hexadecimal pairs with something between them.
pub(super) const MIN_HEX_PAIRS: usize = 6;
/// Letters that a sentence needs before their distribution means something.
const MIN_ROTATED: usize = 12;

/// What a text may hold. Each is a guess that the rule in question confirms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    /// The properties of all of its characters, of those outside ASCII and of control characters.
    pub(super) seen: u32,
    /// A letter from A to Z.
    pub(super) ascii_letters: bool,
    /// Single letters in a row.
    pub(super) spelt: bool,
    /// A digit or sign before a letter, in one word.
    pub(super) leet: bool,
    /// A long run of characters that encodings use, or many pairs of hexadecimal digits.
    pub(super) encoded: bool,
    /// Something that escapes of characters begin with.
    pub(super) escaped: bool,
    /// A sentence whose letters would be more like a language's after moving by 13 places.
    pub(super) rotated: bool,
}

const ALPHABETIC: u8 = 1;
const DIGIT: u8 = 2;
const SIGN: u8 = 4;
const ENCODING: u8 = 8;
const STOP: u8 = 16;
const OTHER: u8 = 32;
/// Stands for a letter at the beginning of a word too, where other signs are signs.
const OPENING: u8 = 64;

/// What a byte may be part of.
static KINDS: [u8; 256] = kinds();

const fn kinds() -> [u8; 256] {
    let mut kinds = [0; 256];
    let mut byte = 0_usize;
    while byte < 256 {
        let b = byte as u8;
        kinds[byte] = match b {
            b'a'..=b'z' | b'A'..=b'Z' => ALPHABETIC | ENCODING,
            b'0'..=b'9' => DIGIT | ENCODING,
            b'+' => SIGN | ENCODING,
            b'/' | b'-' | b'_' => ENCODING,
            b'@' | b'$' => SIGN | OPENING,
            b'!' | b'|' => SIGN,
            b'.' | b'?' | b'\n' | b':' | b';' | b'"' => STOP,
            b'%' | b'\\' | b'&' => OTHER,
            b' ' | b'\t' | b'\r' | 0x0b | 0x0c => 0,
            0..0x20 | 0x7f => OTHER,
            0x80..=0xff => OTHER,
            _ => 0,
        };
        byte += 1;
    }
    kinds
}

/// How much likelier a letter from A to M is in a language than the one 13 places on, and how much less likely that one is: eight times the
/// natural logarithm of the ratio of their shares of English, French, Spanish and German letters, the languages counting alike.
const LIKELIER: [i8; 13] = [1, -11, 3, 15, 6, -13, -10, -3, 14, -7, 8, 12, 14];

/// The weight of a letter, on average, from which on a sentence amid rotated ones is plain. Languages have 2 to 6.
const SURE: i64 = 2;

/// The same for every byte.
static WEIGHTS: [i8; 256] = {
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

/// Looks at every byte once.
pub(super) fn scan(text: &str) -> Hints {
    let bytes = text.as_bytes();
    let mut hints = Hints::default();
    let mut words = Words::default();
    let (mut sentence, mut all) = (Sentence::default(), Sentence::default());
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let kind = KINDS[bytes[at] as usize];
        if kind & ALPHABETIC != 0 {
            // Most of a text: the letters of a word.
            let mut weight = 0_i64;
            while at < bytes.len() && KINDS[bytes[at] as usize] & ALPHABETIC != 0 {
                weight += i64::from(WEIGHTS[bytes[at] as usize]);
                at += 1;
            }
            let letters = at - start;
            sentence.letters += letters;
            sentence.weight += weight;
            hints.ascii_letters = true;
            hints.leet |= words.sign_before;
            words.cells(letters);
            words.encoding(letters);
            continue;
        }
        at += 1;
        if kind & DIGIT != 0 {
            words.cells(1);
            words.encoding(1);
            words.sign_before = true;
            continue;
        }
        if kind & OTHER != 0 && bytes[start] >= 0x80 {
            let c = text[start..].chars().next().unwrap_or(' ');
            at = start + c.len_utf8();
            let class = class::of(c);
            hints.seen |= class.flags();
            hints.leet |= words.sign_before && class.is(CASED);
            if class.is(CASED | NUMBER) {
                words.cells(1);
            } else if class.is(LETTER | MARK) && !class.is(INVISIBLE) {
                // Letters of alphabets without case stand alone in ordinary text.
                words.cells(2);
            } else {
                words.gap(&mut hints, text, start);
            }
            words.end_encoding(&mut hints);
            words.sign_before = false;
            continue;
        }
        if kind & ENCODING != 0 {
            words.encoding(1);
        } else {
            words.end_encoding(&mut hints);
        }
        // Signs that end or begin a sentence stand for letters only behind others.
        let sign_before =
            kind & OPENING != 0 || kind & SIGN != 0 && (words.cells > 0 || words.sign_before);
        words.gap(&mut hints, text, start);
        words.sign_before = sign_before;
        if kind & STOP != 0 {
            hints.rotated |= sentence.is_rotated();
            all.add(&sentence);
            sentence = Sentence::default();
        } else if kind & OTHER != 0 {
            hints.escaped |= starts_escape(&bytes[start..]);
            hints.seen |= class::of(char::from(bytes[start])).flags();
        }
    }
    words.gap(&mut hints, text, bytes.len());
    words.end_encoding(&mut hints);
    all.add(&sentence);
    hints.rotated |= sentence.is_rotated() || all.is_rotated();
    hints
}

/// Whether a sentence, or the text as a whole, is likelier to be of a language with its letters moved by 13 places.
pub(super) fn is_rotated(text: &str) -> bool {
    let mut all = Sentence::default();
    let mut is_any = false;
    for (_, sentence) in sentences(text) {
        is_any |= sentence.is_rotated();
        all.add(&sentence);
    }
    is_any || all.is_rotated()
}

/// Whether an escape of a character may begin here.
pub(super) fn starts_escape(bytes: &[u8]) -> bool {
    match bytes {
        [b'%', a, b, ..] => a.is_ascii_hexdigit() && b.is_ascii_hexdigit(),
        [b'\\', b'x' | b'u' | b'U', ..] | [b'&', b'#', ..] => true,
        _ => false,
    }
}

/// The letters from A to Z of a text or a part of it.
#[derive(Default)]
pub(super) struct Sentence {
    letters: usize,
    weight: i64,
}

impl Sentence {
    fn add(&mut self, other: &Self) {
        self.letters += other.letters;
        self.weight += other.weight;
    }

    /// Whether it is sure to be of a language as it is.
    pub(super) fn is_plain(&self) -> bool {
        self.letters >= MIN_ROTATED && self.weight > SURE * self.letters as i64
    }

    /// Whether it is likelier to be of a language with its letters moved by 13 places.
    pub(super) fn is_rotated(&self) -> bool {
        self.letters >= MIN_ROTATED && self.weight < 0
    }
}

impl Sum for Sentence {
    fn sum<I: Iterator<Item = Self>>(sentences: I) -> Self {
        let mut all = Self::default();
        sentences.for_each(|sentence| all.add(&sentence));
        all
    }
}

/// The sentences of a text, each to the sign that ends it.
pub(super) fn sentences(text: &str) -> impl Iterator<Item = (Range<usize>, Sentence)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let mut sentence = Sentence::default();
        for byte in &text.as_bytes()[start..] {
            let kind = KINDS[usize::from(*byte)];
            sentence.letters += usize::from(kind & ALPHABETIC);
            sentence.weight += i64::from(WEIGHTS[usize::from(*byte)]);
            at += 1;
            if kind & STOP != 0 {
                break;
            }
        }
        (start < at).then_some((start..at, sentence))
    })
}

/// What has been seen of the current word, and of those like it before.
#[derive(Default)]
struct Words {
    /// Letters and digits since the last gap.
    cells: usize,
    /// Characters since the last word.
    gap: usize,
    /// Words of one letter, just now.
    singles: usize,
    /// Words of two hexadecimal digits, just now.
    pairs: usize,
    /// Bytes of the alphabets of encodings, just now.
    encoding: usize,
    /// Whether the last character was a digit, or a sign that can stand for a letter.
    sign_before: bool,
}

impl Words {
    #[inline(always)]
    fn cells(&mut self, count: usize) {
        if self.gap > MAX_GAP {
            self.singles = 0;
        }
        self.gap = 0;
        self.cells += count;
        self.sign_before = false;
    }

    #[inline(always)]
    fn encoding(&mut self, count: usize) {
        self.encoding += count;
    }

    #[inline(always)]
    fn end_encoding(&mut self, hints: &mut Hints) {
        hints.encoded |= self.encoding >= MIN_ENCODED;
        self.encoding = 0;
    }

    #[inline(always)]
    fn gap(&mut self, hints: &mut Hints, text: &str, at: usize) {
        match self.cells {
            0 => {}
            1 => {
                self.singles += 1;
                self.pairs = 0;
                hints.spelt |= self.singles >= MIN_SPELT;
            }
            2 => {
                self.singles = 0;
                let pair = &text.as_bytes()[at - 2..at];
                let is_hex = pair.iter().all(u8::is_ascii_hexdigit);
                self.pairs = if is_hex { self.pairs + 1 } else { 0 };
                hints.encoded |= self.pairs >= MIN_HEX_PAIRS;
            }
            _ => (self.singles, self.pairs) = (0, 0),
        }
        self.cells = 0;
        self.gap += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_gives_no_hints() {
        for text in [
            "How do I bake bread at home? I have flour, water and salt!",
            "In 1945 there were 12 of them; see page 34.",
            "Mr. J. R. Smith",
            "Wow!!! Really?",
            "items.map(|item| !item + offset) || !x",
        ] {
            let hints = scan(text);
            let expected = Hints {
                ascii_letters: true,
                ..Hints::default()
            };
            assert_eq!(hints, expected, "{text}");
        }
        assert_eq!(scan(""), Hints::default());
    }

    #[test]
    fn each_hint_is_given() {
        assert!(scan("b a k e").spelt);
        assert!(scan("b.a.k.e.").spelt);
        assert!(scan("х л е б").spelt);
        assert!(scan("b4ke").leet && scan("br3ad").leet && scan("p@stry").leet);
        assert!(scan("@bout").leet && scan("b!!l").leet && scan("k|d").leet);
        assert!(scan("aG93IHRvIGJha2Uh").encoded);
        assert!(scan("62 61 6b 65 62 61").encoded);
        assert!(scan("b%61ke").escaped && scan("&#98;").escaped && scan("\\x62").escaped);
        assert!(scan("Ubj qb V onxr oernq ng ubzr").rotated);
        assert!(scan("Jve onpxra Oebg").rotated);
        assert!(is_rotated("I bake. Ubj qb V onxr oernq") && !is_rotated("I bake bread at home."));
        assert!(scan("b\u{200b}ake").seen & class::INVISIBLE != 0);
        assert!(scan("b\u{8}ake").seen & class::INVISIBLE != 0);
    }
}

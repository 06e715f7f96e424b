//! Spells words in leet out: what each may be, and which spelling the tokenizer knows best.

use super::words::{LEET, LETTERS, NUMERAL, ONE, OTHER, UPPER, Word, kind};
use crate::text::pieces::Tokens;

/// How many spellings are remembered: one for so many bytes of text, up to so many.
const BYTES_PER_KNOWN: usize = 16;
const MAX_KNOWN: usize = 1 << 13;

/// Spells words of a text out.
pub(super) struct Speller<'a> {
    pub(super) text: &'a str,
    tokens: Tokens<'a>,
    /// A space, and a word.
    attempt: Vec<u8>,
    /// What was spelt.
    plain: String,
    /// Words that were spelt before, each at one place that its bytes tell: a later word takes the
    /// place.
    known: Vec<Option<Known>>,
}

/// A word that was spelt before.
#[derive(Clone, Copy)]
struct Known {
    word: ShortWord,
    begins: bool,
    spelling: Spelling,
}

/// The bytes of a word of at most 16, none of which is 0.
type ShortWord = [u64; 2];

/// How a word is spelt in letters.
#[derive(Clone, Copy)]
pub(super) struct Spelling {
    /// Where it is in [`Speller::plain`].
    start: u32,
    length: u32,
    /// Whether the tokenizer knows it as a whole.
    pub(super) is_known: bool,
    /// Whether it takes fewer tokens so.
    pub(super) is_better: bool,
    /// Whether it takes so few tokens as words do, and identifiers do not.
    pub(super) is_like_word: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Capitals {
    None,
    First,
    All,
}

impl<'a> Speller<'a> {
    pub(super) fn new(text: &'a str, tokens: Tokens<'a>) -> Self {
        Self {
            text,
            tokens,
            attempt: Vec::new(),
            plain: String::new(),
            known: Vec::new(),
        }
    }

    /// The spelling that takes the fewest tokens; `None` if one of the word's digits stands for no
    /// letter.
    pub(super) fn spell(&mut self, word: &Word<'_>) -> Option<Spelling> {
        if word.seen & NUMERAL != 0 {
            return None;
        }
        let is_open = kind(word.text, 0).0 & LEET != 0;
        let begins = is_open && self.begins(word);
        let Some(short) = self.short(word) else {
            return Some(self.best(word, is_open, begins));
        };
        let places = (self.text.len() / BYTES_PER_KNOWN).next_power_of_two();
        let places = places.min(MAX_KNOWN);
        let place = place_of(short) & (places - 1);
        if let Some(known) = self.known.get(place).copied().flatten()
            && known.word == short
            && known.begins == begins
        {
            return Some(known.spelling);
        }
        let spelling = self.best(word, is_open, begins);
        self.known.resize(places, None);
        self.known[place] = Some(Known {
            word: short,
            begins,
            spelling,
        });
        Some(spelling)
    }

    /// The bytes of a short word that is not at the very end of the text.
    fn short(&self, word: &Word<'_>) -> Option<ShortWord> {
        let bytes = self.text.as_bytes()[word.start..].first_chunk::<16>()?;
        let rest = 16_u32.checked_sub(word.text.len() as u32)?;
        let bytes = u128::from_le_bytes(*bytes) & u128::MAX.unbounded_shr(rest * 8);
        Some([bytes as u64, (bytes >> 64) as u64])
    }

    /// `is_open` tells whether the word begins with what stands for a letter, and `begins` whether
    /// that is a capital there.
    fn best(&mut self, word: &Word<'_>, is_open: bool, begins: bool) -> Spelling {
        let is_capital = word.seen & (UPPER | OTHER) != 0 && is_capital(word.text);
        let expected = match () {
            () if is_capital => Capitals::All,
            () if begins => Capitals::First,
            () => Capitals::None,
        };
        // The case that is expected, unless the word is known as a whole in the other, as a German
        // noun is.
        let other = (is_open && !is_capital).then_some(match expected {
            Capitals::First => Capitals::None,
            _ => Capitals::First,
        });
        let ones: &[u8] = match word.seen & ONE {
            0 => b"i",
            _ => b"il",
        };
        let mut best = (b'i', expected);
        let mut last = best;
        let mut least = usize::MAX;
        for capitals in [Some(expected), other].into_iter().flatten() {
            for one in ones {
                if least <= 1 {
                    break;
                }
                last = (*one, capitals);
                self.attempt(word.text, last);
                let most = if capitals == expected { least } else { 2 };
                let count = self.count(most);
                if count < most {
                    (least, best) = (count, last);
                }
            }
        }
        let start = self.plain.len();
        if best != last {
            self.attempt(word.text, best);
        }
        self.plain += text_of(&self.attempt[1..]);
        self.attempt.truncate(1);
        self.attempt.extend_from_slice(word.text.as_bytes());
        Spelling {
            start: start as u32,
            length: (self.plain.len() - start) as u32,
            is_known: least <= 1,
            is_better: self.count(least.saturating_add(1)) > least,
            is_like_word: least <= most_tokens(word.text),
        }
    }

    /// Most tokenizers know words with a space before them.
    fn attempt(&mut self, word: &str, (one, capitals): (u8, Capitals)) {
        self.attempt.clear();
        self.attempt.push(b' ');
        let letter = |byte: u8| match LETTERS[usize::from(byte)] {
            b'1' => one,
            letter => letter,
        };
        // The one sign that is not of ASCII.
        match word.is_ascii() || !word.contains('€') {
            true => self.attempt.extend(word.bytes().map(letter)),
            false => {
                let word = word.replace('€', "e");
                self.attempt.extend(word.bytes().map(letter));
            }
        }
        match capitals {
            Capitals::None => {}
            Capitals::First => self.attempt[1..2].make_ascii_uppercase(),
            Capitals::All => self.attempt.make_ascii_uppercase(),
        }
    }

    /// The word as it is spelt.
    pub(super) fn spelt(&self, spelling: Spelling) -> &str {
        &self.plain[spelling.start as usize..][..spelling.length as usize]
    }

    fn count(&self, most: usize) -> usize {
        (self.tokens)(&self.attempt, most)
    }

    /// Takes the sign off an address, such as @home; but "@t" is "at", because the tokenizer knows
    /// that as a whole.
    pub(super) fn leave_address(&mut self, word: &mut Word<'_>) {
        let is_word = self.spell(word).is_some_and(|spelling| spelling.is_known);
        if !is_word {
            *word = Word::new(word.start + 1, &word.text[1..]);
        }
    }

    /// Whether a word is written with a capital: as "I" is, and as sentences begin.
    fn begins(&self, word: &Word<'_>) -> bool {
        // As most words are.
        if let [.., letter, b' '] = &self.text.as_bytes()[..word.start]
            && letter.is_ascii_alphanumeric()
        {
            return word.text == "1";
        }
        let before = self.text[..word.start].trim_end().chars().next_back();
        before.is_none_or(|c| matches!(c, '.' | '?' | '!')) || word.text == "1"
    }
}

/// Where a word is remembered.
fn place_of(word: ShortWord) -> usize {
    // Knuth's multiplicative hash: the upper bits depend on all of them.
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = (word[0] ^ word[1].rotate_left(29)).wrapping_mul(GOLDEN);
    (mixed >> 40) as usize
}

/// Letters are put for signs, both of ASCII, in a text.
pub(super) fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// The tokens that a word in leet takes at most once it is spelt out. Measured with the vocabulary
/// of the bundled model on words of seven languages, of which it leaves out 4 %, and on random
/// identifiers, of which it takes none of 18,000.
fn most_tokens(word: &str) -> usize {
    /// Hexadecimal digits that are no number are words only up to here.
    const MIN_HEXADECIMAL: usize = 8;
    let length = word.chars().count();
    match () {
        () if length >= MIN_HEXADECIMAL && is_hexadecimal(word) => 1,
        () if is_mixed_case(word) => 1,
        () if is_capital(word) => (length / 3).max(1),
        () if length < 8 => (length / 2).max(1),
        () => (2 * length + 2) / 5,
    }
}

/// Whether all of a word are hexadecimal digits.
pub(super) fn is_hexadecimal(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a word has a capital behind its first character, and a small letter too.
pub(super) fn is_mixed_case(word: &str) -> bool {
    word.chars().skip(1).any(char::is_uppercase) && word.chars().any(char::is_lowercase)
}

/// Whether a word is in capitals, and more than one.
fn is_capital(word: &str) -> bool {
    let capitals = word.chars().filter(|c| c.is_uppercase()).count();
    capitals > 1 && !word.chars().any(char::is_lowercase)
}

//! Words with digits and signs for letters.

use std::borrow::Cow;
use std::ops::Range;

use super::class::{self, CASED, LETTER};
use super::pieces::Tokens;
use super::rewrite::{ChangeKind, Edits};
use super::spelling::is_cell;

/// A text is in leet, down to its numbers, from this many words on, if they are this share (a quarter) of its words.
const MIN_LEET_WORDS: usize = 3;
const MIN_LEET_SHARE: usize = 4;
/// The longest number that stands for a word in such a text.
const MAX_LEET_NUMBER: usize = 4;
/// A word that only begins with a digit has at least this many letters after it: "4th" is not "ath".
const MIN_AFTER_DIGIT: usize = 3;

/// Puts letters for digits and signs in words, where that makes a word the tokenizer knows better: where it takes fewer tokens.
///
/// A word with a digit or sign among its letters is taken by itself. Others, numbers among them, only in a text that is in leet.
pub(super) fn edits(text: &str, tokens: Tokens<'_>) -> Edits {
    let (mut count, mut likely) = (0, 0);
    let mut found = Vec::new();
    let mut speller = Speller::new(text, tokens);
    for mut word in words(text) {
        count += usize::from(word.has_letters);
        if word.text.starts_with('@') && word.has_letters {
            speller.leave_address(&mut word);
        }
        if !word.has_leet {
            continue;
        }
        // Numbers wait until it is known whether the text is in leet.
        let mut spelling = None;
        if word.has_letters {
            spelling = speller.spell(&word);
            likely += match &spelling {
                Some(spelling) => usize::from(spelling.is_better),
                None => continue,
            };
        }
        found.push((word, spelling));
    }
    let is_leet = likely >= MIN_LEET_WORDS && likely * MIN_LEET_SHARE >= count;
    let mut edits = Edits::default();
    for (word, spelling) in found {
        let is_better = spelling.as_ref().is_some_and(|spelling| spelling.is_better);
        let is_sure = || is_better && is_leet_shaped(word.text);
        if !(is_leet || is_sure()) {
            continue;
        }
        let spelling = spelling.or_else(|| speller.spell(&word));
        let is_wanted = |s: &Spelling| s.is_better || word.has_letters || is_short(&word, s);
        if let Some(spelling) = spelling.filter(is_wanted) {
            let range = word.start..word.start + word.text.len();
            edits.replace(range, &speller.plain[spelling.place], ChangeKind::Leet);
        }
    }
    edits
}

/// Spells words of a text out, one after the other, into one string.
struct Speller<'a> {
    text: &'a str,
    tokens: Tokens<'a>,
    plain: String,
    attempt: Vec<u8>,
}

/// A word in letters.
struct Spelling {
    /// Where it is in [`Speller::plain`].
    place: Range<usize>,
    tokens: usize,
    /// Whether it takes fewer tokens so.
    is_better: bool,
}

impl<'a> Speller<'a> {
    fn new(text: &'a str, tokens: Tokens<'a>) -> Self {
        Self {
            text,
            tokens,
            plain: String::new(),
            attempt: Vec::new(),
        }
    }

    /// The spelling that takes the fewest tokens; `None` if one of the word's digits stands for no letter.
    fn spell(&mut self, word: &Word<'_>) -> Option<Spelling> {
        let bytes = word.text.bytes();
        let seen = bytes.fold(0, |seen, b| seen | KINDS[usize::from(b)]);
        if seen & NUMERAL != 0 {
            return None;
        }
        let is_capital = seen & (UPPER | OTHER) != 0 && is_capital(word.text);
        let is_open = !is_capital && word.text.chars().next().and_then(leet).is_some();
        let begins = is_open && self.begins(word);
        let has_one = seen & ONE != 0;
        // The one sign that is not of ASCII.
        let text = match seen & OTHER != 0 && word.text.contains('€') {
            true => Cow::Owned(word.text.replace('€', "e")),
            false => Cow::Borrowed(word.text),
        };
        let start = self.plain.len();
        let mut least = usize::MAX;
        let expected = begins;
        // The case that is expected, unless the word is known as a whole in the other, as a German noun is.
        for (one, begins, is_other) in [
            (b'i', begins, true),
            (b'l', begins, has_one),
            (b'i', !begins, is_open),
            (b'l', !begins, is_open && has_one),
        ] {
            if !is_other || least <= 1 {
                continue;
            }
            // Most tokenizers know words with a space before them.
            self.attempt.clear();
            self.attempt.push(b' ');
            let letters = text.bytes().map(|b| LETTERS[usize::from(b)]);
            let letters = letters.map(|b| if b == b'1' { one } else { b });
            self.attempt.extend(letters);
            let capitals = match () {
                () if is_capital => 1..self.attempt.len(),
                () if begins => 1..2,
                () => 0..0,
            };
            self.attempt[capitals].make_ascii_uppercase();
            let most = if begins == expected { least } else { 2 };
            let count = self.count(most.min(least));
            let is_best = count < least && (begins == expected || count <= 1);
            if is_best || self.plain.len() == start {
                least = count;
                self.plain.truncate(start);
                self.plain += text_of(&self.attempt[1..]);
            }
        }
        self.attempt.truncate(1);
        self.attempt.extend_from_slice(word.text.as_bytes());
        Some(Spelling {
            place: start..self.plain.len(),
            tokens: least,
            is_better: self.count(least.saturating_add(1)) > least,
        })
    }

    fn count(&self, most: usize) -> usize {
        (self.tokens)(&self.attempt, most)
    }

    /// Takes the sign off an address, such as @home; but "@t" is "at", because the tokenizer knows that as a whole.
    fn leave_address(&mut self, word: &mut Word<'_>) {
        let is_word = self
            .spell(word)
            .is_some_and(|spelling| spelling.tokens <= 1);
        if !is_word {
            word.text = &word.text[1..];
            word.start += 1;
            word.has_leet = word.text.chars().any(|c| leet(c).is_some());
        }
    }

    /// Whether a word is written with a capital: as "I" is, and as sentences begin.
    fn begins(&self, word: &Word<'_>) -> bool {
        let before = self.text[..word.start].trim_end().chars().next_back();
        before.is_none_or(|c| matches!(c, '.' | '?' | '!')) || word.text == "1"
    }
}

/// Letters are put for signs, both of ASCII, in a text.
fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Whether a word is in capitals, and more than one.
fn is_capital(word: &str) -> bool {
    let capitals = word.chars().filter(|c| c.is_uppercase()).count();
    capitals > 1 && !word.chars().any(char::is_lowercase)
}

/// Whether a word has a digit or sign among its letters, and not just a number before or behind it.
fn is_leet_shaped(word: &str) -> bool {
    let is_letter = |c: char| class::of(c).is(CASED);
    let letters = word.chars().filter(|c| is_letter(*c)).count();
    let (Some(first), Some(last)) = (word.find(is_letter), word.rfind(is_letter)) else {
        return false;
    };
    let has_inside = word[first..last].chars().any(|c| leet(c).is_some());
    let starts = first == 1 && letters >= MIN_AFTER_DIGIT;
    has_inside || starts
}

/// In a text in leet: numbers short enough to be words, that are words the tokenizer knows.
fn is_short(word: &Word<'_>, spelling: &Spelling) -> bool {
    word.text.len() <= MAX_LEET_NUMBER && spelling.tokens <= 1
}

/// The letter that a digit or sign stands for; '1' for those that stand for i or l.
const fn leet(c: char) -> Option<char> {
    Some(match c {
        '0' => 'o',
        '1' | '!' | '|' => '1',
        '3' | '€' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' | '+' => 't',
        '8' => 'b',
        '9' | '6' => 'g',
        _ => return None,
    })
}

/// A run of letters, numbers, and signs that stand for letters.
struct Word<'a> {
    start: usize,
    text: &'a str,
    has_letters: bool,
    has_leet: bool,
}

const CELL: u8 = 1;
const LEET: u8 = 2;
const ALPHABETIC: u8 = 4;
const OTHER: u8 = 8;
/// A digit that stands for no letter.
const NUMERAL: u8 = 16;
/// Stands for i or l.
const ONE: u8 = 32;
const UPPER: u8 = 64;

/// What a byte may be part of.
static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < kinds.len() {
        let c = byte as u8 as char;
        kinds[byte] = match () {
            () if byte >= 0x80 => OTHER,
            () if matches!(leet(c), Some('1')) => CELL | LEET | ONE,
            () if leet(c).is_some() => CELL | LEET,
            () if c.is_ascii_uppercase() => CELL | ALPHABETIC | UPPER,
            () if c.is_ascii_alphabetic() => CELL | ALPHABETIC,
            () if c.is_ascii_digit() => CELL | NUMERAL,
            () => 0,
        };
        byte += 1;
    }
    kinds
};

/// What stands for a letter becomes that, and all else stays.
static LETTERS: [u8; 256] = {
    let mut letters = [0; 256];
    let mut byte = 0;
    while byte < letters.len() {
        letters[byte] = match leet(byte as u8 as char) {
            Some(letter) if byte < 0x80 => letter as u8,
            _ => byte as u8,
        };
        byte += 1;
    }
    letters
};

/// What the character at `at` is part of, and its bytes.
#[inline]
fn kind(text: &str, at: usize) -> (u8, usize) {
    let kind = KINDS[usize::from(text.as_bytes()[at])];
    if kind != OTHER {
        return (kind, 1);
    }
    let c = text[at..].chars().next().unwrap_or(' ');
    let kind = match () {
        () if leet(c).is_some() => CELL | LEET,
        () if class::of(c).is(LETTER) => CELL | ALPHABETIC,
        () if is_cell(c) => CELL,
        () => 0,
    };
    (kind, c.len_utf8())
}

/// The words of a text, without the signs that end or begin a sentence.
fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let is_outside = |c| matches!(c, '!' | '|' | '+');
    let mut at = 0;
    std::iter::from_fn(move || {
        let mut start = at;
        let mut seen = 0;
        while at < text.len() {
            let (kind, length) = kind(text, at);
            if kind & CELL == 0 {
                if seen != 0 {
                    break;
                }
                start = at + length;
            }
            seen |= kind;
            at += length;
        }
        if seen == 0 {
            return None;
        }
        let mut word = &text[start..at];
        let mut has_leet = seen & LEET != 0;
        if has_leet && (word.starts_with(is_outside) || word.ends_with(is_outside)) {
            word = word.trim_end_matches(is_outside);
            start += word.len() - word.trim_start_matches(is_outside).len();
            word = word.trim_start_matches(is_outside);
            has_leet = word.chars().any(|c| leet(c).is_some());
        }
        Some(Word {
            start,
            text: word,
            has_letters: seen & ALPHABETIC != 0,
            has_leet,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::rewrite::View;

    /// Knows the words of the tests: one token each, and one per character of any other word.
    fn tokens(text: &[u8], most: usize) -> usize {
        let text = text_of(text);
        const KNOWN: [&str; 10] = [
            "bake", "bread", "at", "At", "home", "illegal", "pastry", "BAKE", "to", "I",
        ];
        let count = match KNOWN.contains(&text.trim()) {
            true => 1,
            false => text.chars().count(),
        };
        count.min(most)
    }

    fn plain(text: &str) -> String {
        let edits = edits(text, &tokens);
        View::edited(text, edits).text().to_owned()
    }

    #[test]
    fn digits_and_signs_for_letters() {
        for (leet, expected) in [
            ("b4k3 br34d", "bake bread"),
            ("B4K3", "BAKE"),
            ("1ll3g4l p@$try", "illegal pastry"),
            ("b4k€", "bake"),
            ("@t h0m3 b4k3 br34d", "At home bake bread"),
            ("@b4k3ry b4k3", "@b4k3ry bake"),
            ("h0m3 b4k3 br34d 70 100 47", "home bake bread to 100 at"),
            ("1 b4k3 br34d 47 h0m3", "I bake bread at home"),
            ("47 h0m3 1 b4k3 br34d", "At home I bake bread"),
            ("b4k3!|+ !br34d 1945", "bake!|+ !bread 1945"),
        ] {
            assert_eq!(plain(leet), expected, "{leet}");
        }
        for benign in [
            "",
            "!!",
            "the 4th at 5pm",
            "mp3 and h264, 3D",
            "win10!",
            "47 and 15",
            "a@b.example",
            "@baker @bakery @home",
        ] {
            assert_eq!(plain(benign), benign);
        }
    }

    #[test]
    fn words_are_told_apart() {
        let found: Vec<_> = words("|b4ke| é1! 中2 +|! x, ½ 12")
            .map(|word| (word.start, word.text, word.has_letters, word.has_leet))
            .collect();
        assert_eq!(
            found,
            [
                (1, "b4ke", true, true),
                (7, "é1", true, true),
                (12, "中2", true, false),
                (17, "", false, false),
                (21, "x", true, false),
                (24, "½", false, false),
                (27, "12", false, true),
            ]
        );
    }
}

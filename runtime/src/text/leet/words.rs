//! Words in leet: letters, numbers, and signs that stand for letters.

use crate::text::class::{self, LETTER};
use crate::text::spelling::is_cell;

/// The letter that a digit or sign stands for; '1' for those that stand for i or l.
pub(super) const fn leet(c: char) -> Option<char> {
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
pub(super) struct Word<'a> {
    pub(super) start: usize,
    pub(super) text: &'a str,
    /// What its characters are.
    pub(super) seen: u8,
}

impl<'a> Word<'a> {
    pub(super) fn new(start: usize, text: &'a str) -> Self {
        let (mut seen, mut at) = (0, 0);
        while at < text.len() {
            let (kind, length) = kind(text, at);
            seen |= kind;
            at += length;
        }
        Self { start, text, seen }
    }
}

const CELL: u8 = 1;
pub(super) const LEET: u8 = 2;
pub(super) const ALPHABETIC: u8 = 4;
pub(super) const OTHER: u8 = 8;
/// A digit that stands for no letter.
pub(super) const NUMERAL: u8 = 16;
/// Stands for i or l.
pub(super) const ONE: u8 = 32;
pub(super) const UPPER: u8 = 64;

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
pub(super) static LETTERS: [u8; 256] = {
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
#[inline(always)]
pub(super) fn kind(text: &str, at: usize) -> (u8, usize) {
    match KINDS[usize::from(text.as_bytes()[at])] {
        OTHER => other_kind(text, at),
        kind => (kind, 1),
    }
}

#[cold]
fn other_kind(text: &str, at: usize) -> (u8, usize) {
    let c = text[at..].chars().next().unwrap_or(' ');
    let kind = match () {
        () if leet(c).is_some() => CELL | LEET | OTHER,
        () if !is_cell(c) => 0,
        () if class::of(c).is(LETTER) => CELL | ALPHABETIC | OTHER,
        () => CELL | OTHER,
    };
    (kind, c.len_utf8())
}

/// The words of a text, without the signs that end or begin a sentence.
pub(super) fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
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
        let word = &text[start..at];
        if seen & LEET != 0 && (word.starts_with(is_outside) || word.ends_with(is_outside)) {
            let word = word.trim_end_matches(is_outside);
            let bare = word.trim_start_matches(is_outside);
            return Some(Word::new(start + word.len() - bare.len(), bare));
        }
        Some(Word {
            start,
            text: word,
            seen,
        })
    })
}

/// The words of a text that lie at places of it.
pub(super) fn words_at<'a>(text: &'a str, places: &'a [u32]) -> impl Iterator<Item = Word<'a>> {
    let mut end = 0;
    places.iter().filter_map(move |place| {
        let place = *place as usize;
        if place < end {
            return None;
        }
        let before = text[..place].char_indices().rev();
        let first = before
            .take_while(|(at, _)| kind(text, *at).0 & CELL != 0)
            .last();
        let start = first.map_or(place, |(at, _)| at);
        let mut word = words(&text[start..]).next()?;
        word.start += start;
        end = word.start + word.text.len();
        Some(word)
    })
}

/// How far around a word the other parts of what may be an identifier are looked at, in bytes.
const AROUND: usize = 128;

/// The other groups of what stands between white space around a word, if signs such as hyphens join
/// them: the parts of a UUID, of a licence key, of a path.
pub(super) fn groups_around<'a>(text: &'a str, word: &Word<'_>) -> impl Iterator<Item = Word<'a>> {
    let (start, end) = (word.start, word.start + word.text.len());
    let bytes = text.as_bytes();
    let joins = |sign: Option<&u8>, other: Option<&u8>| {
        matches!(
            sign,
            Some(b'-' | b'_' | b':' | b'=' | b'.' | b'/' | b'#' | b'+')
        ) && other.is_some_and(u8::is_ascii_alphanumeric)
    };
    let behind = |n: usize| start.checked_sub(n).and_then(|at| bytes.get(at));
    let is_joined = joins(bytes.get(end), bytes.get(end + 1)) || joins(behind(1), behind(2));
    let around = match is_joined {
        true => {
            let first = text.floor_char_boundary(start.saturating_sub(AROUND));
            let last = text.ceil_char_boundary((end + AROUND).min(text.len()));
            let before = text[first..start].rfind(char::is_whitespace);
            let after = text[end..last].find(char::is_whitespace);
            before.map_or(first, |at| first + at)..after.map_or(last, |at| end + at)
        }
        false => start..start,
    };
    let is_between = |c: char| !c.is_alphanumeric();
    let mut next = around.start;
    let groups = text[around].split_inclusive(is_between);
    groups.filter_map(move |group| {
        let at = next;
        next += group.len();
        let group = group.trim_end_matches(is_between);
        let is_other = !group.is_empty() && !(start..end).contains(&at);
        is_other.then(|| Word::new(at, group))
    })
}

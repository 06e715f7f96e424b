//! The slow twin of [`scan`](super::scan), which a property test compares it with: one character
//! after the other, in plain loops.

use super::hints::{Hints, Leet, MAX_GAP, MIN_ENCODED, MIN_HEX_PAIRS, MIN_SPELT};
use super::starts_escape;
use crate::text::class::{self, CASED, INVISIBLE, LETTER, MARK, NUMBER};
use crate::text::sentence::sentences;

/// What [`scan`](super::scan) gives, except [`Leet::mixed`].
pub(super) fn scan(text: &str) -> Hints {
    let mut hints = Hints {
        leet: Leet {
            places: Some(Vec::new()),
            ..Leet::default()
        },
        ..Hints::default()
    };
    let (mut singles, mut pairs, mut gap) = (0, 0, 0);
    let mut word = String::new();
    let (mut sign_before, mut part_before) = (false, false);
    // A gap ends the last word.
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        let class = class::of(c);
        let is_foreign = !c.is_ascii();
        let is_cell = c.is_ascii_alphanumeric()
            || is_foreign && class.is(CASED | NUMBER)
            || is_foreign && class.is(LETTER | MARK) && !class.is(INVISIBLE);
        if is_foreign || c.is_ascii_control() && !c.is_ascii_whitespace() && c != '\x0b' {
            hints.seen |= class.flags();
        }
        hints.ascii_letters |= c.is_ascii_alphabetic();
        let is_letter = c.is_ascii_alphabetic() || is_foreign && class.is(CASED);
        hints.leet.seen += usize::from(sign_before && is_letter);
        let is_other = is_foreign && is_cell && !class.is(CASED);
        if sign_before && (is_letter || is_other) || c == '€' {
            hints.leet.places.get_or_insert_default().push(at as u32);
        }
        // A word of leet: its letters and digits, and the signs that can stand for letters.
        let is_part = is_cell || matches!(c, '@' | '$' | '!' | '|' | '+' | '€');
        hints.leet.lettered += usize::from(is_part && !part_before && is_letter);
        part_before = is_part;
        let is_behind = !word.is_empty() || sign_before;
        let stands = c.is_ascii_digit() || matches!(c, '@' | '$');
        sign_before = stands || is_behind && matches!(c, '!' | '|' | '+');
        if is_cell {
            if gap > MAX_GAP {
                singles = 0;
            }
            gap = 0;
            word.push(c);
            continue;
        }
        gap += 1;
        let is_one = word.chars().count() == 1 && {
            let class = word.chars().next().map(class::of);
            class.is_some_and(|class| class.is(CASED | NUMBER))
        };
        let is_pair = word.len() == 2 && word.bytes().all(|b| b.is_ascii_hexdigit());
        if !word.is_empty() {
            singles = if is_one { singles + 1 } else { 0 };
            pairs = if is_pair { pairs + 1 } else { 0 };
        }
        hints.spelt |= singles >= MIN_SPELT;
        hints.hex_pairs |= pairs >= MIN_HEX_PAIRS;
        word.clear();
    }
    let is_symbol = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    let mut start = 0;
    for run in text.split_inclusive(|c| !is_symbol(c)) {
        if run.trim_end_matches(|c| !is_symbol(c)).len() >= MIN_ENCODED {
            hints.runs.push(start);
        }
        start += run.len() as u32;
    }
    hints.escaped = (0..text.len()).any(|at| starts_escape(&text.as_bytes()[at..]));
    for (range, sentence) in sentences(text) {
        hints.rotated.all.add(sentence);
        if sentence.is_rotated() {
            hints.rotated.starts.push(range.start as u32);
        }
    }
    hints
}

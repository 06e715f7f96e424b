//! One quick look at a text: which disguises it could hold at all, and where. Most text holds none,
//! and nothing else is done to it.

use super::block::{Block, SIZE, Sets, blocks, count, each, ends_of_runs_with, runs_of};
use super::class;
use super::part::{found_again, parts};
use super::rewrite::Edits;
use super::sentence::{Rotated, Sentences};

/// Single letters in a row that make a spelt-out word.
pub(super) const MIN_SPELT: usize = 4;
/// Characters between two of them, at most.
pub(super) const MAX_GAP: usize = 4;
/// The shortest encoded run that is looked into: 12 bytes of base64.
pub(super) const MIN_ENCODED: usize = 16;
/// The shortest run of hexadecimal pairs with something between them.
pub(super) const MIN_HEX_PAIRS: usize = 6;
/// Where there are more places than one in so many bytes, looking at all words is quicker.
const BYTES_PER_PLACE: usize = 32;

/// What a text may hold. Each is a guess that the rule in question confirms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    /// The properties of all of its characters, of those outside ASCII and of control characters.
    pub(super) seen: u32,
    /// A letter from A to Z.
    pub(super) ascii_letters: bool,
    /// Single letters in a row.
    pub(super) spelt: bool,
    pub(super) leet: Leet,
    /// Where long runs of characters begin that encodings use.
    pub(super) runs: Vec<u32>,
    /// Many pairs of hexadecimal digits.
    pub(super) hex_pairs: bool,
    /// Something that escapes of characters begin with.
    pub(super) escaped: bool,
    pub(super) rotated: Rotated,
}

/// Digits and signs among letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Leet {
    /// How many letters are behind a digit or sign, in one word.
    pub(super) seen: usize,
    /// At least one place in every word that has a digit or sign between letters, or begins with
    /// one; `None` if there are many.
    pub(super) places: Option<Vec<u32>>,
    /// How many words begin with a letter.
    pub(super) lettered: usize,
    /// No fewer words than have a letter and a digit or sign.
    pub(super) mixed: usize,
}

impl Leet {
    /// What the text that was edited may hold.
    pub(super) fn after(&self, text: &str, edits: &Edits) -> Self {
        let Some(parts) = parts(text, edits) else {
            return scan(edits.text()).leet;
        };
        let mut leet = Self {
            places: None,
            ..*self
        };
        let mut are_many = false;
        let places = self.places.as_deref().unwrap_or_default();
        let places = found_again(places, &parts, |part, places| {
            let before = scan(&text[part.before.clone()]).leet;
            let now = scan(&edits.text()[part.after.clone()]).leet;
            leet.seen = leet.seen + now.seen - before.seen;
            leet.lettered = leet.lettered + now.lettered - before.lettered;
            // There are no fewer than there are counted, but there may be.
            leet.mixed += now.mixed;
            match now.places {
                Some(now) => places.extend(now),
                None => are_many = true,
            }
        });
        leet.places = Some(places).filter(|_| self.places.is_some() && !are_many);
        leet
    }
}

/// Looks at every character once.
pub(super) fn scan(text: &str) -> Hints {
    let mut hints = Hints {
        leet: Leet {
            places: Some(Vec::new()),
            ..Leet::default()
        },
        ..Hints::default()
    };
    let (mut words, mut mixed) = (Words::default(), Mixed::default());
    let (mut run, mut sentences) = (Run::default(), Sentences::default());
    for block in blocks(text) {
        let sets = block.sets;
        hints.seen |= block.seen;
        hints.ascii_letters |= sets.letters != 0;
        mixed.add(&block, &sets, words.cells > 0, &mut hints.leet);
        words.add(text, &block, &sets, &mut hints);
        run.add(
            &block,
            sets.letters | sets.digits | sets.symbols,
            &mut hints.runs,
        );
        sentences.add(text, &block);
        each(sets.rare, |index| {
            let rare = &text.as_bytes()[block.start + index..];
            hints.escaped |= starts_escape(rare);
            hints.seen |= class::of(char::from(rare[0])).flags();
        });
    }
    mixed.end(&mut hints.leet);
    words.end_word(text, text.len(), &mut hints);
    run.end(&mut hints.runs);
    hints.rotated = sentences.finish(text);
    hints
}

/// Whether an escape of a character may begin here.
pub(super) fn starts_escape(bytes: &[u8]) -> bool {
    match bytes {
        [b'%', a, b, ..] => a.is_ascii_hexdigit() && b.is_ascii_hexdigit(),
        [b'\\', b'x' | b'u' | b'U', ..] | [b'&', b'#', ..] => true,
        _ => false,
    }
}

/// How many of a set follow each other from `start` on.
fn run_from(set: u64, start: usize) -> usize {
    (set >> start).trailing_ones() as usize
}

/// `count` of a set from `start` on, as a set.
fn some_from(set: u64, start: usize, count: usize) -> u64 {
    set & u64::MAX << start & u64::MAX >> (SIZE - start - count)
}

/// Words by their length: what has been seen of the current one, and of those like it before.
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
}

impl Words {
    #[inline(always)]
    fn add(&mut self, text: &str, block: &Block, sets: &Sets, hints: &mut Hints) {
        let cells = sets.cells();
        let [one, two, three] = [1, 2, 3].map(|count| u64::from(self.cells >= count));
        // What has a cell of one byte one place before it, and two places before it.
        let narrow = sets.letters | sets.digits;
        let (before, before_that) = (narrow << 1 | one, narrow << 2 | one << 1 | two);
        let mut long = narrow & before & before_that;
        if narrow != cells {
            // Nine bytes are three characters at least.
            let eight = runs_of(cells, 3);
            long |= (eight & eight >> 1) << 8;
        }
        let mut start = 0;
        let ends = block.all() & !cells & (cells << 1 | one);
        if hints.spelt && ends != 0 && self.pairs == 0 && ends & before_that == 0 {
            // Single letters are found, and there is no pair.
            start = SIZE - ends.leading_zeros() as usize;
            *self = Self::default();
        } else if long != 0 {
            let short = ends & !(long << 1 | three);
            if self.singles.max(self.pairs) + count(short) < MIN_SPELT {
                // Only what comes after the last longer word matters.
                start = SIZE - long.leading_zeros() as usize;
                *self = Self {
                    cells: 3,
                    ..Self::default()
                };
            }
        }
        while start < block.len {
            let run = run_from(cells, start);
            if run > 0 {
                if self.gap > MAX_GAP {
                    self.singles = 0;
                }
                self.gap = 0;
                let run_cells = some_from(cells, start, run);
                self.cells += block.characters(run_cells);
                if sets.uncased != 0 {
                    self.cells += block.characters(run_cells & sets.uncased);
                }
                start += run;
                continue;
            }
            self.end_word(text, block.start + start, hints);
            let run = run_from(!cells, start).min(block.len - start);
            self.gap += block.characters(some_from(!cells, start, run));
            start += run;
        }
    }

    #[inline(always)]
    fn end_word(&mut self, text: &str, end: usize, hints: &mut Hints) {
        match self.cells {
            0 => {}
            1 => {
                self.singles += 1;
                self.pairs = 0;
                hints.spelt |= self.singles >= MIN_SPELT;
            }
            2 => {
                self.singles = 0;
                let pair = &text.as_bytes()[end - 2..end];
                let is_hex = pair.iter().all(u8::is_ascii_hexdigit);
                self.pairs = if is_hex { self.pairs + 1 } else { 0 };
                hints.hex_pairs |= self.pairs >= MIN_HEX_PAIRS;
            }
            _ => (self.singles, self.pairs) = (0, 0),
        }
        self.cells = 0;
    }
}

/// The current run of characters that encodings use.
#[derive(Default)]
struct Run {
    start: u32,
    length: usize,
}

impl Run {
    #[inline(always)]
    fn add(&mut self, block: &Block, set: u64, runs: &mut Vec<u32>) {
        let first = run_from(set, 0);
        if self.length == 0 {
            self.start = block.start as u32;
        }
        self.length += first;
        if first == block.len {
            return;
        }
        self.end(runs);
        // As long as [`MIN_ENCODED`].
        let mut long = runs_of(set & u64::MAX << first, MIN_ENCODED.ilog2());
        while long != 0 {
            let start = long.trailing_zeros() as usize;
            let end = start + run_from(set, start);
            if end == block.len {
                break;
            }
            runs.push((block.start + start) as u32);
            long &= u64::MAX << end;
        }
        self.length = (set << (SIZE - block.len)).leading_ones() as usize;
        self.start = (block.start + block.len - self.length) as u32;
    }

    fn end(&mut self, runs: &mut Vec<u32>) {
        if self.length >= MIN_ENCODED {
            runs.push(self.start);
        }
        self.length = 0;
    }
}

/// What the current word, signs that stand for letters included, has in it.
#[derive(Default)]
struct Mixed {
    /// Whether it is one.
    is_word: bool,
    has_cell: bool,
    has_sign: bool,
    /// Whether the last character was a digit, or a sign that can stand for a letter.
    sign_before: bool,
}

impl Mixed {
    #[inline(always)]
    fn add(&mut self, block: &Block, sets: &Sets, cell_before: bool, leet: &mut Leet) {
        let last = block.len - 1;
        let letters = sets.letters | sets.cased;
        let (signs, openings) = (sets.signs, sets.openings);
        let word = sets.cells() | signs | sets.euros;
        let begins = word & !(word << 1 | u64::from(self.is_word));
        leet.lettered += count(begins & letters);
        self.is_word = word >> last & 1 != 0;
        if sets.digits | signs | sets.euros == 0 && !self.sign_before && !self.has_sign {
            self.has_cell = self.is_word;
            return;
        }
        // Signs that end or begin a sentence stand for letters only behind others.
        let mut stands = sets.digits | openings;
        let behind = sets.cells() << 1 | u64::from(cell_before | self.sign_before);
        stands |= signs & (behind | openings << 1);
        while signs & stands << 1 & !stands != 0 {
            stands |= signs & stands << 1;
        }
        let after = stands << 1 | u64::from(self.sign_before);
        self.sign_before = stands >> last & 1 != 0;
        leet.seen += count(after & letters);
        let places = after & (letters | sets.others) | sets.euros & block.starts;
        if places != 0
            && let Some(found) = &mut leet.places
        {
            each(places, |index| found.push((block.start + index) as u32));
            if found.len() > SIZE + block.start / BYTES_PER_PLACE {
                leet.places = None;
            }
        }
        if word & 1 == 0 {
            self.end(leet);
        }
        let ends = |set: u64, has: &mut bool| {
            let ends = ends_of_runs_with(word, set | u64::from(*has));
            *has = ends >> block.len & 1 != 0;
            ends as u64 & block.all()
        };
        let inside = signs & stands & (word >> 1 | 1 << last);
        let signed = ends(
            sets.digits | openings | sets.euros | inside,
            &mut self.has_sign,
        );
        let of_cells = ends(letters | sets.others, &mut self.has_cell);
        leet.mixed += count(of_cells & signed);
    }

    fn end(&mut self, leet: &mut Leet) {
        leet.mixed += usize::from(self.has_cell && self.has_sign);
        (self.has_cell, self.has_sign) = (false, false);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::class::{CASED, INVISIBLE, LETTER, MARK, NUMBER};
    use super::super::sentence::{rotated, sentences};
    use super::*;

    /// No hint; the counts of words and letters, and where one may be in leet if any is, are no
    /// hints by themselves.
    fn none(hints: &Hints) -> Hints {
        Hints {
            leet: Leet {
                seen: 0,
                ..hints.leet.clone()
            },
            rotated: Rotated {
                starts: Vec::new(),
                all: hints.rotated.all,
            },
            ..Hints::default()
        }
    }

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
                ..none(&hints)
            };
            assert_eq!(hints, expected, "{text}");
            assert!(!hints.any(), "{text}");
        }
        assert_eq!(scan(""), none(&scan("")));
    }

    #[test]
    fn each_hint_is_given() {
        assert!(scan("b a k e").spelt);
        assert!(scan("b.a.k.e.").spelt);
        assert!(scan("х л е б").spelt);
        for word in ["b4ke", "br3ad", "p@stry", "@bout", "b!!l", "k|d"] {
            assert_eq!(scan(word).leet.seen, 1, "{word}");
        }
        assert_eq!(scan("is aG93IHRvIGJha2Uh").runs, [3]);
        assert!(scan("62 61 6b 65 62 61").hex_pairs);
        assert!(scan("b%61ke").escaped && scan("&#98;").escaped && scan("\\x62").escaped);
        assert!(scan("Ubj qb V onxr oernq ng ubzr").rotated.any());
        assert!(scan("Jve onpxra Oebg").rotated.any());
        let is_rotated = |text| rotated(text).any();
        assert!(is_rotated("I bake. Ubj qb V onxr oernq") && !is_rotated("I bake bread at home."));
        assert!(scan("b\u{200b}ake").seen & class::INVISIBLE != 0);
        assert!(scan("b\u{8}ake").seen & class::INVISIBLE != 0);
    }

    /// The same, one character after the other.
    fn slow(text: &str) -> Hints {
        let mut hints = Hints::default();
        let (mut singles, mut pairs, mut gap) = (0, 0, 0);
        let mut word = String::new();
        let mut sign_before = false;
        // A gap ends the last word.
        for c in text.chars().chain([' ']) {
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

    proptest! {
        #[test]
        fn characters_are_seen_alike_by_the_block_and_one_by_one(
            text in "([a-e0-9 .!|@$+/é中т½\u{200b}\u{301}€%&#\\\\x\n-]|[a-e]{2,9}|[a-f0-9]{2}[ :,]|[a-z] |gur |\\PC){0,150}",
        ) {
            let mut hints = scan(&text);
            prop_assert_eq!(&rotated(&text), &hints.rotated);
            hints.leet = Leet { seen: hints.leet.seen, ..Leet::default() };
            prop_assert_eq!(hints, slow(&text));
        }
    }
}

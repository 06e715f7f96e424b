//! Words spelt letter by letter, and with digits and signs for letters.

use std::collections::HashMap;

use super::class::{self, CASED, INVISIBLE, LETTER, MARK, NUMBER, PICTOGRAPH, SPACE};
use super::rewrite::{ChangeKind, Edit};
use super::scan::MIN_SPELT;

/// A text is in leet, down to its numbers, from this many words on, if they are this share (a quarter) of its words.
const MIN_LEET_WORDS: usize = 3;
const MIN_LEET_SHARE: usize = 4;
/// The longest number that stands for a word in such a text.
const MAX_LEET_NUMBER: usize = 4;
/// White space between two letters of a word or two words, at most.
const MAX_SPACES: usize = 8;
/// Signs between two letters, at most.
const MAX_SIGNS: usize = 6;
/// A word that only begins with a digit has at least this many letters after it: "4th" is not "ath".
const MIN_AFTER_DIGIT: usize = 3;

/// Joins words that are spelt as single letters, whatever stands between the letters.
pub(super) fn spelt_edits(text: &str) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut stretch: Vec<Cell> = Vec::new();
    for word in words(text, is_cell) {
        // Only alphabets with case: elsewhere one letter is often a word.
        let is_single =
            word.text.chars().count() == 1 && class::of(word.first()).is(CASED | NUMBER);
        let gap_before = stretch.last().map(|last| &text[last.end..word.start]);
        let is_near = gap_before
            .is_none_or(|gap| signs_in(gap).count() <= MAX_SIGNS && spaces_in(gap) <= MAX_SPACES);
        if !is_single || !is_near {
            join(text, &stretch, &mut edits);
            stretch.clear();
        }
        if is_single {
            stretch.push(Cell {
                start: word.start,
                end: word.start + word.text.len(),
                is_letter: class::of(word.first()).is(LETTER),
            });
        }
    }
    join(text, &stretch, &mut edits);
    edits
}

struct Cell {
    start: usize,
    end: usize,
    is_letter: bool,
}

/// What stands between letters of a word: signs, or if there are none, white space of the least width.
struct Separator {
    signs: Vec<char>,
    has_pictographs: bool,
    spaces: usize,
}

impl Separator {
    fn of(gaps: &[&str]) -> Self {
        let bare = gaps.iter().filter(|gap| spaces_in(gap) == 0);
        let signs: Vec<char> = bare.filter_map(|gap| one(signs_in(gap))).collect();
        let spaces = match signs.is_empty() {
            true => gaps
                .iter()
                .map(|gap| spaces_in(gap))
                .filter(|n| *n > 0)
                .min(),
            false => None,
        };
        let is_pictograph = |c: char| class::of(c).is(PICTOGRAPH);
        Self {
            signs,
            has_pictographs: gaps.iter().any(|gap| gap.chars().any(is_pictograph)),
            spaces: spaces.unwrap_or(0),
        }
    }

    /// The gap without what separates characters: the other signs, and a space where there is more space than that.
    /// `after_cell` tells whether the gap follows a character of the word, so that a separator is due.
    fn without(&self, gap: &str, after_cell: bool) -> String {
        let mut kept = String::new();
        let mut spaces = 0;
        // A full stop between letters separates; the next one, and one that begins a word, ends a sentence.
        let mut is_due = after_cell;
        for c in gap.chars() {
            let class = class::of(c);
            if class.is(SPACE) {
                spaces += 1;
                is_due = false;
                continue;
            }
            if spaces > self.spaces {
                kept.push(' ');
            }
            spaces = 0;
            if !is_sign(c) || self.has_pictographs && class.is(PICTOGRAPH) {
                continue;
            }
            let separates = is_due && self.signs.contains(&c);
            if !separates {
                kept.push(c);
            }
            is_due = !separates;
        }
        if spaces > self.spaces {
            kept.push(' ');
        }
        kept
    }

    /// How many bytes of `text`, which follows a spelt-out word, are signs spelt out with it, to the end of the line of them.
    fn trailing(&self, text: &str) -> usize {
        let mut end = 0;
        let mut spaces = 0;
        for (at, c) in text.char_indices() {
            if class::of(c).is(SPACE) {
                spaces += 1;
                if spaces > self.spaces {
                    return end;
                }
            } else if is_sign(c) && !is_cell(c) {
                spaces = 0;
                end = at + c.len_utf8();
            } else {
                return 0;
            }
        }
        end
    }
}

/// Whether a character shows something.
fn is_sign(c: char) -> bool {
    !class::of(c).is(INVISIBLE | MARK | SPACE)
}

fn signs_in(gap: &str) -> impl Iterator<Item = char> {
    gap.chars().filter(|c| is_sign(*c))
}

fn spaces_in(gap: &str) -> usize {
    gap.chars().filter(|c| class::of(*c).is(SPACE)).count()
}

fn one(mut items: impl Iterator<Item = char>) -> Option<char> {
    let first = items.next();
    first.filter(|_| items.next().is_none())
}

fn join(text: &str, stretch: &[Cell], edits: &mut Vec<Edit>) {
    let letters = stretch.iter().filter(|cell| cell.is_letter).count();
    if letters < MIN_SPELT || letters * 2 < stretch.len() {
        return;
    }
    let ranges: Vec<_> = stretch
        .windows(2)
        .map(|pair| pair[0].end..pair[1].start)
        .collect();
    let gaps: Vec<&str> = ranges.iter().map(|range| &text[range.clone()]).collect();
    let separator = Separator::of(&gaps);
    let last = stretch.last().map_or(0, |cell| cell.end);
    let trailing = last..last + separator.trailing(&text[last..]);
    for range in ranges.into_iter().chain([trailing]) {
        let gap = &text[range.clone()];
        let with = separator.without(gap, true);
        if gap != with {
            edits.push(Edit {
                range,
                with,
                kind: ChangeKind::SpacedLetters,
            });
        }
    }
}

/// Puts letters for digits and signs in words, where that makes a word the tokenizer knows better: where it takes fewer tokens.
///
/// A word with a digit or sign among its letters is taken by itself. Others, numbers among them, only in a text that is in leet.
pub(super) fn leet_edits(text: &str, tokens: &dyn Fn(&str) -> usize) -> Vec<Edit> {
    let (mut count, mut likely) = (0, 0);
    let (mut sure, mut unsure) = (Vec::new(), Vec::new());
    // Counting tokens is slow, and words come again.
    let mut known = HashMap::new();
    for word in words(text, is_leet_cell) {
        let word = word.trimmed();
        let has_letters = word.text.chars().any(|c| class::of(c).is(LETTER));
        count += usize::from(has_letters);
        if !word.text.chars().any(|c| leet(c).is_some()) {
            continue;
        }
        let begins = begins(text, word);
        let spelling = known
            .entry((word.text, begins))
            .or_insert_with(|| spelt_out(word.text, begins, tokens));
        let Some((plain, is_better)) = spelling.clone() else {
            continue;
        };
        likely += usize::from(has_letters && is_better);
        if is_better && is_leet_shaped(word.text) {
            sure.push((word, plain));
        } else if is_better || is_short(word.text) {
            unsure.push((word, plain));
        }
    }
    if likely >= MIN_LEET_WORDS && likely * MIN_LEET_SHARE >= count {
        sure.append(&mut unsure);
        sure.sort_by_key(|(word, _)| word.start);
    }
    let edit = |(word, plain): (Word<'_>, String)| Edit {
        range: word.start..word.start + word.text.len(),
        with: plain,
        kind: ChangeKind::Leet,
    };
    sure.into_iter().map(edit).collect()
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

/// In a text in leet: numbers and words short enough to be words.
fn is_short(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    digits < word.chars().count() || digits <= MAX_LEET_NUMBER
}

/// Whether a word is written with a capital: as "I" is, and as sentences begin.
fn begins(text: &str, word: Word<'_>) -> bool {
    let is_first = text[..word.start]
        .trim_end()
        .chars()
        .next_back()
        .is_none_or(|c| matches!(c, '.' | '?' | '!'));
    is_first || word.text == "1"
}

/// The word in letters, and whether it takes fewer tokens so; `None` if one of its digits stands for no letter.
fn spelt_out(word: &str, begins: bool, tokens: &dyn Fn(&str) -> usize) -> Option<(String, bool)> {
    let capitals = word.chars().filter(|c| c.is_uppercase()).count();
    let is_capital = capitals > 1 && !word.chars().any(char::is_lowercase);
    let spell = |(one, begins): (char, bool)| {
        let letters = word.chars().enumerate().map(|(n, c)| match leet(c) {
            Some(letter) => {
                let letter = if letter == '1' { one } else { letter };
                let is_upper = is_capital || begins && n == 0;
                Some(if is_upper {
                    letter.to_ascii_uppercase()
                } else {
                    letter
                })
            }
            None => (!c.is_ascii_digit()).then_some(c),
        });
        letters.collect::<Option<String>>()
    };
    // Most tokenizers know words with a space before them.
    let cost = |word: &str| tokens(&format!(" {word}"));
    let before = cost(word);
    // Where both are as good, the case that is expected; a German noun shows itself by being better known as one.
    let variants = [('i', begins), ('l', begins), ('i', !begins), ('l', !begins)];
    let plain = variants.into_iter().filter_map(spell);
    let (after, plain) = plain
        .map(|plain| (cost(&plain), plain))
        .min_by_key(|(cost, _)| *cost)?;
    Some((plain, after < before))
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

#[derive(Clone, Copy)]
struct Word<'a> {
    start: usize,
    text: &'a str,
}

impl Word<'_> {
    fn first(&self) -> char {
        self.text.chars().next().unwrap_or(' ')
    }

    /// Without the signs that end or begin a sentence.
    fn trimmed(self) -> Self {
        let is_outside = |c| matches!(c, '!' | '|' | '+');
        let text = self.text.trim_end_matches(is_outside);
        let rest = text.trim_start_matches(is_outside);
        Self {
            start: self.start + text.len() - rest.len(),
            text: rest,
        }
    }
}

fn is_cell(c: char) -> bool {
    let is_other = |class: class::Class| class.is(LETTER | NUMBER | MARK) && !class.is(INVISIBLE);
    c.is_ascii_alphanumeric() || !c.is_ascii() && is_other(class::of(c))
}

/// Every character of a text in leet is asked: for most of them the answer is read from a table.
fn is_leet_cell(c: char) -> bool {
    const ASCII: [bool; 128] = {
        let mut table = [false; 128];
        let mut byte = 0;
        while byte < table.len() {
            let c = byte as u8 as char;
            table[byte] = c.is_ascii_alphanumeric() || leet(c).is_some();
            byte += 1;
        }
        table
    };
    match ASCII.get(c as usize) {
        Some(is_inside) => *is_inside,
        None => leet(c).is_some() || is_cell(c),
    }
}

/// Maximal runs of characters that `is_inside` accepts.
fn words(text: &str, is_inside: fn(char) -> bool) -> impl Iterator<Item = Word<'_>> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + text[rest..].find(is_inside)?;
        let end = text[start..]
            .find(|c| !is_inside(c))
            .map_or(text.len(), |n| start + n);
        rest = end;
        Some(Word {
            start,
            text: &text[start..end],
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::rewrite::View;

    /// Knows the words of the tests: one token each, and one per character of any other word.
    fn tokens(text: &str) -> usize {
        const KNOWN: [&str; 9] = [
            "bake", "bread", "at", "At", "home", "illegal", "pastry", "BAKE", "to",
        ];
        match KNOWN.contains(&text.trim()) {
            true => 1,
            false => text.chars().count(),
        }
    }

    fn plain(text: &str) -> String {
        let text = View::of(text).rewritten(spelt_edits(text));
        let edits = leet_edits(text.text(), &tokens);
        text.rewritten(edits).text().to_owned()
    }

    #[test]
    fn words_spelt_by_letters() {
        for (spelt, expected) in [
            ("b a k e   b r e a d", "bake bread"),
            ("b.a.k.e b.r.e.a.d!", "bake bread!"),
            ("I b-a-k-e a b*r*e*a*d", "I bake a bread"),
            ("b🙂a😀k🎉e", "bake"),
            ("b👩\u{200d}🚀a❤\u{fe0f}k🏽e", "bake"),
            ("х л е б", "хлеб"),
            ("I can b a k e", "I can bake"),
            ("l a ,   d o n ' t   b a k e", "la, don't bake"),
            ("d.o.n.'.t., b.a.k.e", "don't, bake"),
            ("b.a.k.e.. b.r.e.a.d.?", "bake. bread?"),
            ("b a k e ?   b r e a d .", "bake? bread."),
        ] {
            assert_eq!(plain(spelt), expected, "{spelt}");
        }
        for benign in [
            "the U.S.A. and I",
            "Mr. J. R. Smith",
            "빵 을 굽 는 법",
            "1 2 3 4 5 6",
            "我 要 做 面 包",
        ] {
            assert_eq!(plain(benign), benign);
        }
    }

    #[test]
    fn digits_and_signs_for_letters() {
        for (leet, expected) in [
            ("b4k3 br34d", "bake bread"),
            ("B4K3", "BAKE"),
            ("1ll3g4l p@$try", "illegal pastry"),
            ("1 b4k3 br34d 47 h0m3", "I bake bread at home"),
            ("47 h0m3 1 b4k3 br34d", "At home I bake bread"),
        ] {
            assert_eq!(plain(leet), expected, "{leet}");
        }
        for benign in [
            "the 4th at 5pm",
            "mp3 and h264, 3D",
            "win10!",
            "47 and 15",
            "a@b.example",
        ] {
            assert_eq!(plain(benign), benign);
        }
    }
}

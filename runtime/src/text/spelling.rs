//! Words spelt letter by letter, and with digits and signs for letters.

use super::class::{self, CASED, INVISIBLE, LETTER, MARK, NUMBER, SPACE};
use super::rewrite::{ChangeKind, Edit};
use super::scan::{MAX_GAP, MIN_SPELT};

/// A text is in leet, down to its numbers, from this many words on, if they are this share (a quarter) of its words.
const MIN_LEET_WORDS: usize = 2;
const MIN_LEET_SHARE: usize = 4;
/// The longest number that stands for a word in such a text.
const MAX_LEET_NUMBER: usize = 3;
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
            .is_none_or(|gap| gap.chars().count() <= MAX_GAP * 2 && cells_in(gap) <= MAX_GAP);
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

/// What stands between two single letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    /// Anything without white space.
    Signs,
    /// So many white spaces.
    Spaces(usize),
    /// Both.
    Mixed,
}

impl Gap {
    fn of(gap: &str) -> Self {
        let spaces = gap.chars().filter(|c| class::of(*c).is(SPACE)).count();
        match spaces {
            0 => Self::Signs,
            n if n == gap.chars().count() => Self::Spaces(n),
            _ => Self::Mixed,
        }
    }
}

/// Characters of a gap, an emoji with its joiners and selectors counting once.
fn cells_in(gap: &str) -> usize {
    gap.chars()
        .filter(|c| !class::of(*c).is(INVISIBLE | MARK))
        .count()
}

fn join(text: &str, stretch: &[Cell], edits: &mut Vec<Edit>) {
    let letters = stretch.iter().filter(|cell| cell.is_letter).count();
    if letters < MIN_SPELT || letters * 2 < stretch.len() {
        return;
    }
    let gaps: Vec<_> = stretch
        .windows(2)
        .map(|pair| pair[0].end..pair[1].start)
        .collect();
    // The narrowest kind of gap stands between letters, any other between words.
    let Some(narrowest) = gaps.iter().map(|gap| Gap::of(&text[gap.clone()])).min() else {
        return;
    };
    for gap in gaps {
        let with = match Gap::of(&text[gap.clone()]) == narrowest {
            true => "",
            false => " ",
        };
        if &text[gap.clone()] != with {
            edits.push(Edit {
                range: gap,
                with: with.to_owned(),
                kind: ChangeKind::SpacedLetters,
            });
        }
    }
}

/// Puts letters for digits and signs in words, where that makes a word the tokenizer knows better: where it takes fewer tokens.
pub(super) fn leet_edits(text: &str, tokens: &dyn Fn(&str) -> usize) -> Vec<Edit> {
    let (mut count, mut sure) = (0, Vec::new());
    let mut unsure = Vec::new();
    for word in words(text, is_leet_cell) {
        let word = word.trimmed();
        count += usize::from(!word.text.is_empty());
        if !word.text.chars().any(|c| leet(c).is_some()) {
            continue;
        }
        match (is_leet_shaped(word.text), spelt_out(word.text, tokens)) {
            (true, Some((plain, true))) => sure.push((word, plain)),
            (_, Some((plain, _))) if is_short(word.text) => unsure.push((word, plain)),
            _ => {}
        }
    }
    if sure.len() >= MIN_LEET_WORDS && sure.len() * MIN_LEET_SHARE >= count {
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

/// The word in letters, and whether it takes fewer tokens so; `None` if one of its digits stands for no letter.
fn spelt_out(word: &str, tokens: &dyn Fn(&str) -> usize) -> Option<(String, bool)> {
    let is_capital = word.chars().any(char::is_uppercase) && !word.chars().any(char::is_lowercase);
    let spell = |one: char| {
        let letters = word.chars().map(|c| match leet(c) {
            Some('1') if is_capital => Some(one.to_ascii_uppercase()),
            Some('1') => Some(one),
            Some(letter) if is_capital => Some(letter.to_ascii_uppercase()),
            Some(letter) => Some(letter),
            None => (!c.is_ascii_digit()).then_some(c),
        });
        letters.collect::<Option<String>>()
    };
    // Most tokenizers know words with a space before them.
    let cost = |word: &str| tokens(&format!(" {word}"));
    let before = cost(word);
    let plain = ['i', 'l'].into_iter().filter_map(spell);
    let (after, plain) = plain
        .map(|plain| (cost(&plain), plain))
        .min_by_key(|(cost, _)| *cost)?;
    Some((plain, after < before))
}

/// The letter that a digit or sign stands for; '1' for those that stand for i or l.
fn leet(c: char) -> Option<char> {
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

fn is_leet_cell(c: char) -> bool {
    leet(c).is_some() || is_cell(c)
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
        const KNOWN: [&str; 8] = [
            "bake", "bread", "at", "home", "illegal", "pastry", "BAKE", "to",
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
            ("b4k3 br34d 47 h0m3", "bake bread at home"),
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

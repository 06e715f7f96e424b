//! Words spelt letter by letter.

use std::collections::BTreeSet;

use super::class::{self, CASED, INVISIBLE, LETTER, MARK, NUMBER, PICTOGRAPH, SPACE};
use super::rewrite::{ChangeKind, Edits};
use super::scan::MIN_SPELT;

/// White space between two letters of a word or two words, at most.
const MAX_SPACES: usize = 8;
/// Signs between two letters, at most.
const MAX_SIGNS: usize = 6;

/// Joins words that are spelt as single letters, whatever stands between the letters.
pub(super) fn edits(text: &str) -> Edits {
    let mut edits = Edits::default();
    let mut stretch: Vec<Cell> = Vec::new();
    for word in words(text) {
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
    signs: BTreeSet<char>,
    has_pictographs: bool,
    spaces: usize,
}

impl Separator {
    fn of(gaps: &[&str]) -> Self {
        let bare = gaps.iter().filter(|gap| spaces_in(gap) == 0);
        let signs: BTreeSet<char> = bare.filter_map(|gap| one(signs_in(gap))).collect();
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

    /// How many bytes of `text`, which comes before a spelt-out word, are signs spelt out with it, from the beginning of the line of them.
    fn leading(&self, text: &str) -> usize {
        let mut start = text.len();
        let mut spaces = 0;
        for (at, c) in text.char_indices().rev() {
            if class::of(c).is(SPACE) {
                spaces += 1;
                if spaces > self.spaces || c == '\n' {
                    break;
                }
            } else if is_sign(c) && !is_cell(c) {
                spaces = 0;
                start = at;
            } else {
                return 0;
            }
        }
        // What begins with a separator was not spelt out.
        match text[start..].starts_with(|c| self.separates(c)) {
            true => 0,
            false => text.len() - start,
        }
    }

    fn separates(&self, c: char) -> bool {
        self.signs.contains(&c) || self.has_pictographs && class::of(c).is(PICTOGRAPH)
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

fn join(text: &str, stretch: &[Cell], edits: &mut Edits) {
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
    let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else {
        return;
    };
    let leading = first.start - separator.leading(&text[edits.end()..first.start])..first.start;
    let trailing = last.end..last.end + separator.trailing(&text[last.end..]);
    let leading = std::iter::once((leading, false));
    let others = ranges
        .into_iter()
        .chain([trailing])
        .map(|range| (range, true));
    for (range, after_cell) in leading.chain(others) {
        let gap = &text[range.clone()];
        let with = separator.without(gap, after_cell);
        if gap != with {
            edits.replace(range, &with, ChangeKind::SpacedLetters);
        }
    }
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
}

/// Whether a character may be part of a word.
pub(super) fn is_cell(c: char) -> bool {
    let is_other = |class: class::Class| class.is(LETTER | NUMBER | MARK) && !class.is(INVISIBLE);
    c.is_ascii_alphanumeric() || !c.is_ascii() && is_other(class::of(c))
}

/// The words of a text.
fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + text[rest..].find(is_cell)?;
        let end = text[start..]
            .find(|c| !is_cell(c))
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

    fn plain(text: &str) -> String {
        View::of(text).rewritten(&edits(text)).text().to_owned()
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
            ("¿🙂b😀a🎉k🙂e😀?", "¿bake?"),
            ("so ¿.¡.b.a.k.e.?.!", "so ¿¡bake?!"),
            ("@ b a k e   @ b r e a d", "@bake @bread"),
            ("ok?\n¿ b a k e ?", "ok?\n¿bake?"),
            ("so ...b.a.k.e", "so ...bake"),
            ("🎉🎉b🙂a🙂k🙂e", "🎉🎉bake"),
            ("I say - b a k e", "I say - bake"),
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
}

//! Words spelt letter by letter.

use std::collections::BTreeSet;
use std::ops::Range;

use super::bits::{each, ends_of_runs_with};
use super::block::blocks;
use super::class::{self, Class, INVISIBLE, LETTER, MARK, PICTOGRAPH, SPACE};
use super::rewrite::{ChangeKind, Editor, Edits};
use super::scan::MIN_SPELT;

/// White space between two letters of a word or two words, at most.
const MAX_SPACES: usize = 8;
/// Signs between two letters, at most.
const MAX_SIGNS: usize = 6;

/// Joins words that are spelt as single letters, whatever stands between the letters.
pub(super) fn edits(text: &str) -> Edits {
    let mut editor = Editor::new(text);
    let mut stretch = Stretch::default();
    each_single(text, |cell, follows_single| {
        let is_letter = match text.as_bytes()[cell.start] {
            byte if byte.is_ascii() => byte.is_ascii_alphabetic(),
            _ => text[cell.clone()].starts_with(|c| class::of(c).is(LETTER)),
        };
        // How far it is from the one before.
        let gap = stretch.end().filter(|_| follows_single);
        let gap = gap.map(|end| Gap::of(&text[end..cell.start]));
        let gap = gap.filter(|gap| gap.signs <= MAX_SIGNS && gap.spaces <= MAX_SPACES);
        if gap.is_none() {
            stretch.join(text, &mut editor);
            stretch.clear();
        }
        stretch.push(cell, is_letter, gap);
    });
    stretch.join(text, &mut editor);
    editor.finish()
}

/// Finds the words of one character, a letter that has case or a number, and tells whether the word
/// before is one too.
///
/// ```text
/// text     I b-a-k-e it 2 x
/// single   x.x.x.x.x....x.x
/// follows  ..x.x.x.x......x   another single
/// ```
#[inline(always)]
fn each_single(text: &str, mut found: impl FnMut(Range<usize>, bool)) {
    // Of a word that may go on in the next block: whether it is one, and whether it is none of
    // those.
    let (mut is_word, mut is_other) = (false, false);
    let mut follows_single = false;
    let mut single = |end: usize, follows: bool| {
        let start = text.floor_char_boundary(end - 1);
        found(start..end, follows);
    };
    for block in blocks(text) {
        let cells = block.sets.cells();
        let before = cells << 1 | u64::from(is_word);
        // Characters but the first of their words, and letters that have no case.
        let others = cells & before & block.starts | block.sets.uncased;
        let goes_on = u64::from(is_other) & cells;
        let other_ends = ends_of_runs_with(cells, others | goes_on);
        let ends = before & !cells & block.all();
        let mut other = ends & (other_ends as u64 | u64::from(is_other));
        each(ends & !other, |index| {
            let earlier = other & !(u64::MAX << index);
            other &= !earlier;
            single(block.start + index, follows_single && earlier == 0);
            follows_single = true;
        });
        follows_single &= other == 0;
        is_word = cells >> (block.len - 1) & 1 != 0;
        is_other = other_ends >> block.len & 1 != 0;
    }
    if is_word && !is_other {
        single(text.len(), follows_single);
    }
}

/// Single letters and digits in a row.
#[derive(Default)]
struct Stretch {
    /// Where each is. Half the size of ranges: a text that is spelt out has millions.
    cells: Vec<(u32, u32)>,
    letters: usize,
    /// What the gaps between them tell.
    separator: Separator,
}

impl Stretch {
    /// Where the last of them ends.
    fn end(&self) -> Option<usize> {
        self.cells.last().map(|(_, end)| *end as usize)
    }

    fn push(&mut self, cell: Range<usize>, is_letter: bool, gap_before: Option<Gap>) {
        if let Some(gap) = gap_before {
            self.separator.learn(&gap);
        }
        self.cells.push((cell.start as u32, cell.end as u32));
        self.letters += usize::from(is_letter);
    }

    fn clear(&mut self) {
        self.cells.clear();
        self.letters = 0;
        self.separator = Separator::default();
    }

    /// Joins them to words, if they are spelt out.
    fn join(&self, text: &str, editor: &mut Editor<'_>) {
        let letters = self.letters;
        if letters < MIN_SPELT || letters * 2 < self.cells.len() {
            return;
        }
        let (Some(first), Some(last)) = (self.cells.first(), self.cells.last()) else {
            return;
        };
        let (first, last) = (first.0 as usize, last.1 as usize);
        let separator = &self.separator;
        let leading = first - separator.leading(&text[editor.end()..first])..first;
        let trailing = last..last + separator.trailing(&text[last..]);
        let mut kept = String::new();
        let mut edit = |range: Range<usize>, after_cell| {
            let gap = &text[range.clone()];
            if after_cell && separator.is(gap) {
                editor.remove(range, ChangeKind::SpacedLetters);
                return;
            }
            separator.without(gap, after_cell, &mut kept);
            if gap != kept {
                editor.replace(range, &kept, ChangeKind::SpacedLetters);
            }
        };
        edit(leading, false);
        for pair in self.cells.windows(2) {
            edit(pair[0].1 as usize..pair[1].0 as usize, true);
        }
        edit(trailing, true);
    }
}

/// What stands between two cells.
#[derive(Default)]
struct Gap {
    signs: usize,
    spaces: usize,
    /// The last of the signs.
    sign: Option<char>,
    has_pictographs: bool,
}

impl Gap {
    #[inline]
    fn of(text: &str) -> Self {
        let mut gap = Self::default();
        text.chars().for_each(|c| gap.add(c));
        gap
    }

    #[inline]
    fn add(&mut self, c: char) {
        // What most gaps are made of.
        if c == ' ' {
            self.spaces += 1;
            return;
        }
        if c.is_ascii_graphic() {
            self.signs += 1;
            self.sign = Some(c);
            return;
        }
        let class = class::of(c);
        if class.is(SPACE) {
            self.spaces += 1;
        } else if is_shown(class) {
            self.signs += 1;
            self.sign = Some(c);
        }
        self.has_pictographs |= class.is(PICTOGRAPH);
    }
}

/// What stands between letters of a word: signs, or if there are none, white space of the least
/// width.
#[derive(Default)]
struct Separator {
    /// Those of ASCII, a bit for each.
    ascii: u128,
    /// A set, because a text may have another sign in every gap.
    others: BTreeSet<char>,
    has_pictographs: bool,
    /// The least white space of a gap that has some.
    least_space: usize,
}

impl Separator {
    /// How much white space separates: none where signs do.
    fn spaces(&self) -> usize {
        match self.ascii == 0 && self.others.is_empty() {
            true => self.least_space,
            false => 0,
        }
    }

    fn has(&self, sign: char) -> bool {
        match sign.is_ascii() {
            true => self.ascii >> sign as u32 & 1 != 0,
            false => self.others.contains(&sign),
        }
    }

    /// Takes what it can tell from one more gap.
    fn learn(&mut self, gap: &Gap) {
        self.has_pictographs |= gap.has_pictographs;
        match gap.sign {
            Some(sign) if gap.spaces == 0 && gap.signs == 1 => match sign.is_ascii() {
                true => self.ascii |= 1 << sign as u32,
                false => drop(self.others.insert(sign)),
            },
            _ if gap.spaces > 0 && (self.least_space == 0 || gap.spaces < self.least_space) => {
                self.least_space = gap.spaces;
            }
            _ => {}
        }
    }

    /// Whether a gap, as most are, is one separator.
    fn is(&self, gap: &str) -> bool {
        let mut characters = gap.chars();
        match (characters.next(), characters.next()) {
            (Some(' '), None) => self.spaces() > 0,
            (Some(sign), None) => self.has(sign),
            _ => false,
        }
    }

    /// Writes to `kept` the gap without what separates characters: the other signs, and a space
    /// where there is more space than that. `after_cell` tells whether the gap follows a character
    /// of the word, so that a separator is due.
    fn without(&self, gap: &str, after_cell: bool, kept: &mut String) {
        kept.clear();
        let mut spaces = 0;
        // A full stop between letters separates; the next one, and one that begins a word, ends a
        // sentence.
        let mut is_due = after_cell;
        for c in gap.chars() {
            let class = class::of(c);
            if class.is(SPACE) {
                spaces += 1;
                is_due = false;
                continue;
            }
            if spaces > self.spaces() {
                kept.push(' ');
            }
            spaces = 0;
            if !is_shown(class) || self.has_pictographs && class.is(PICTOGRAPH) {
                continue;
            }
            let separates = is_due && self.has(c);
            if !separates {
                kept.push(c);
            }
            is_due = !separates;
        }
        if spaces > self.spaces() {
            kept.push(' ');
        }
    }

    /// How many bytes of `text`, which comes before a spelt-out word, are signs spelt out with it,
    /// from the beginning of the line of them.
    fn leading(&self, text: &str) -> usize {
        let mut start = text.len();
        let mut spaces = 0;
        for (at, c) in text.char_indices().rev() {
            if class::of(c).is(SPACE) {
                spaces += 1;
                if spaces > self.spaces() || c == '\n' {
                    break;
                }
            } else if is_sign(c) {
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
        self.has(c) || self.has_pictographs && class::of(c).is(PICTOGRAPH)
    }

    /// How many bytes of `text`, which follows a spelt-out word, are signs spelt out with it, to
    /// the end of the line of them.
    fn trailing(&self, text: &str) -> usize {
        let mut end = 0;
        let mut spaces = 0;
        for (at, c) in text.char_indices() {
            if class::of(c).is(SPACE) {
                spaces += 1;
                if spaces > self.spaces() {
                    return end;
                }
            } else if is_sign(c) {
                spaces = 0;
                end = at + c.len_utf8();
            } else {
                return 0;
            }
        }
        end
    }
}

/// Whether a character shows something, and is no mark on another.
fn is_shown(class: Class) -> bool {
    !class.is(INVISIBLE | MARK | SPACE)
}

fn is_sign(c: char) -> bool {
    is_shown(class::of(c)) && !is_cell(c)
}

/// Whether a character may be part of a word.
pub(super) fn is_cell(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii() && class::of(c).is_cell()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::bits::shown;
    use crate::text::rewrite::edited;

    fn plain(text: &str) -> String {
        edited(text, edits(text))
    }

    #[test]
    fn single_letters_are_as_their_example_shows() {
        let (mut singles, mut follows) = (0, 0);
        each_single("I b-a-k-e it 2 x", |cell, follows_single| {
            singles |= 1 << cell.start;
            follows |= u64::from(follows_single) << cell.start;
        });
        assert_eq!(singles, shown("x.x.x.x.x....x.x"));
        assert_eq!(follows, shown("..x.x.x.x......x"));
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

//! Words spelt letter by letter.

use std::collections::BTreeSet;
use std::ops::Range;

use super::class::{self, CASED, Class, INVISIBLE, LETTER, MARK, NUMBER, PICTOGRAPH, SPACE};
use super::rewrite::{ChangeKind, Edits};
use super::scan::MIN_SPELT;

/// White space between two letters of a word or two words, at most.
const MAX_SPACES: usize = 8;
/// Signs between two letters, at most.
const MAX_SIGNS: usize = 6;

/// Joins words that are spelt as single letters, whatever stands between the letters.
pub(super) fn edits(text: &str) -> Edits {
    let mut edits = Edits::default();
    let mut stretch = Stretch::default();
    // How far the next cell is from the one before.
    let mut gap = Gap::default();
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        let first = match byte.is_ascii() {
            true => char::from(*byte),
            false => text[at..].chars().next().unwrap_or(' '),
        };
        let (start, end) = (at, at + first.len_utf8());
        if !is_cell(first) {
            gap.add(first);
            at = end;
            continue;
        }
        at = end + cells(&text[end..]);
        let is_alone = at == end;
        // Only alphabets with case: elsewhere one letter is often a word.
        let class = class::of(first);
        let is_single = is_alone && class.is(CASED | NUMBER);
        let is_near = gap.signs <= MAX_SIGNS && gap.spaces <= MAX_SPACES;
        if !is_single || !is_near {
            stretch.join(text, &mut edits);
            stretch.clear();
        }
        if is_single {
            stretch.push(start..end, class.is(LETTER), &gap);
        }
        gap = Gap::default();
    }
    stretch.join(text, &mut edits);
    edits
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
    fn push(&mut self, cell: Range<usize>, is_letter: bool, gap_before: &Gap) {
        if !self.cells.is_empty() {
            self.separator.learn(gap_before);
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
    fn join(&self, text: &str, edits: &mut Edits) {
        let letters = self.letters;
        if letters < MIN_SPELT || letters * 2 < self.cells.len() {
            return;
        }
        let (Some(first), Some(last)) = (self.cells.first(), self.cells.last()) else {
            return;
        };
        let (first, last) = (first.0 as usize, last.1 as usize);
        let separator = &self.separator;
        let leading = first - separator.leading(&text[edits.end()..first])..first;
        let trailing = last..last + separator.trailing(&text[last..]);
        let mut kept = String::new();
        let mut edit = |range: Range<usize>, after_cell| {
            let gap = &text[range.clone()];
            if after_cell && separator.is(gap) {
                edits.remove(range, ChangeKind::SpacedLetters);
                return;
            }
            separator.without(gap, after_cell, &mut kept);
            if gap != kept {
                edits.replace(range, &kept, ChangeKind::SpacedLetters);
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
    fn add(&mut self, c: char) {
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

/// What stands between letters of a word: signs, or if there are none, white space of the least width.
#[derive(Default)]
struct Separator {
    /// A set, because a text may have another sign in every gap.
    signs: BTreeSet<char>,
    has_pictographs: bool,
    /// The least white space of a gap that has some.
    least_space: usize,
}

impl Separator {
    /// How much white space separates: none where signs do.
    fn spaces(&self) -> usize {
        match self.signs.is_empty() {
            true => self.least_space,
            false => 0,
        }
    }

    /// Takes what it can tell from one more gap.
    fn learn(&mut self, gap: &Gap) {
        self.has_pictographs |= gap.has_pictographs;
        match gap.sign {
            Some(sign) if gap.spaces == 0 && gap.signs == 1 => {
                self.signs.insert(sign);
            }
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
            (Some(sign), None) => self.signs.contains(&sign),
            _ => false,
        }
    }

    /// Writes to `kept` the gap without what separates characters: the other signs, and a space where there is more space than that.
    /// `after_cell` tells whether the gap follows a character of the word, so that a separator is due.
    fn without(&self, gap: &str, after_cell: bool, kept: &mut String) {
        kept.clear();
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
            if spaces > self.spaces() {
                kept.push(' ');
            }
            spaces = 0;
            if !is_shown(class) || self.has_pictographs && class.is(PICTOGRAPH) {
                continue;
            }
            let separates = is_due && self.signs.contains(&c);
            if !separates {
                kept.push(c);
            }
            is_due = !separates;
        }
        if spaces > self.spaces() {
            kept.push(' ');
        }
    }

    /// How many bytes of `text`, which comes before a spelt-out word, are signs spelt out with it, from the beginning of the line of them.
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
        self.signs.contains(&c) || self.has_pictographs && class::of(c).is(PICTOGRAPH)
    }

    /// How many bytes of `text`, which follows a spelt-out word, are signs spelt out with it, to the end of the line of them.
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

/// The bytes of the characters that a text begins with and that may be part of a word.
fn cells(text: &str) -> usize {
    let ascii = text.bytes().take_while(u8::is_ascii_alphanumeric).count();
    match text.as_bytes().get(ascii) {
        Some(byte) if !byte.is_ascii() => {
            let rest = &text[ascii..];
            ascii + rest.find(|c| !is_cell(c)).unwrap_or(rest.len())
        }
        _ => ascii,
    }
}

/// Whether a character may be part of a word.
pub(super) fn is_cell(c: char) -> bool {
    let is_other = |class: Class| class.is(LETTER | NUMBER | MARK) && !class.is(INVISIBLE);
    c.is_ascii_alphanumeric() || !c.is_ascii() && is_other(class::of(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::rewrite::View;

    fn plain(text: &str) -> String {
        View::edited(text, edits(text)).text().to_owned()
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

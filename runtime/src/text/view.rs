//! A text made of another, which knows where every byte of it came from.

use std::ops::Range;

use super::rewrite::{COPY, Edit, Edits, Grain, UNEVEN, start_of};

/// A text made of another, and where its bytes came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    text: String,
    /// From the first rewriting to the last.
    maps: Vec<Map>,
}

/// Where the bytes of a text came from.
#[derive(Clone, Debug)]
enum Map {
    /// From between the edits and from what they write; with how many bytes there are.
    Edited(Vec<Edit>, usize),
    /// From pieces, each of which begins at a place of the text and came from a range.
    Pieces(Vec<(usize, Range<usize>)>),
}

/// A part of a rewritten text that was copied, or written by one edit, or is a piece.
#[derive(Clone, Debug)]
struct Stretch {
    /// Where it begins in the rewritten text.
    start: usize,
    /// The bytes that it came from.
    origin: Range<usize>,
    grain: Grain,
}

impl View {
    /// The pieces put together with line breaks; each came from its range of the text.
    pub(crate) fn of_pieces(pieces: impl IntoIterator<Item = (Range<usize>, String)>) -> Self {
        let mut view = Self::default();
        let mut map = Vec::new();
        for (origin, piece) in pieces {
            if !view.text.is_empty() {
                view.text.push('\n');
            }
            // The break belongs to the piece before it, so that stretches touch.
            map.push((view.text.len(), origin));
            view.text += &piece;
        }
        view.maps.push(Map::Pieces(map));
        view
    }

    /// A text that was edited.
    pub(crate) fn edited(edits: Edits) -> Self {
        Self::default().rewritten(edits)
    }

    /// The view, edited.
    pub(crate) fn rewritten(mut self, edits: Edits) -> Self {
        self.maps.push(Map::Edited(edits.list, edits.shown.len()));
        self.text = edits.shown;
        self
    }

    /// What it says.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// This view of a view, as a view of what the other is a view of.
    pub(crate) fn after(mut self, first: &Self) -> Self {
        self.maps.splice(0..0, first.maps.iter().cloned());
        self
    }

    /// The bytes of the first text that `range` of this one came from.
    pub(crate) fn origin(&self, range: Range<usize>) -> Range<usize> {
        self.maps
            .iter()
            .rev()
            .fold(range, |range, map| map.origin(range))
    }
}

impl Map {
    fn origin(&self, range: Range<usize>) -> Range<usize> {
        let Some(first) = self.of_byte(range.start) else {
            return 0..0;
        };
        let last = range.end.saturating_sub(1).max(range.start);
        let last = self.of_byte(last).unwrap_or_else(|| first.clone());
        let start = first.before(range.start);
        start..last.after(range.end).max(start)
    }

    /// The stretch that a byte of the rewritten text is in, or the last one before it.
    fn of_byte(&self, at: usize) -> Option<Stretch> {
        match self {
            Self::Edited(edits, length) => of_edited(edits, *length, at),
            Self::Pieces(pieces) => {
                let after = pieces.partition_point(|(start, _)| *start <= at);
                let (start, origin) = pieces.get(after.saturating_sub(1))?;
                Some(Stretch {
                    start: *start,
                    origin: origin.clone(),
                    grain: UNEVEN,
                })
            }
        }
    }
}

fn of_edited(edits: &[Edit], length: usize, at: usize) -> Option<Stretch> {
    let at = at.min(length.checked_sub(1)?);
    let (mut after, mut end) = (0, edits.len());
    while after < end {
        let middle = after.midpoint(end);
        match start_of(edits, middle) <= at {
            true => after = middle + 1,
            false => end = middle,
        }
    }
    let Some(index) = after.checked_sub(1) else {
        let end = edits.first().map_or(length, |edit| edit.start as usize);
        return Some(Stretch {
            start: 0,
            origin: 0..end,
            grain: COPY,
        });
    };
    let edit = &edits[index];
    let copied = edit.shown_end as usize;
    if at < copied {
        return Some(Stretch {
            start: start_of(edits, index),
            origin: edit.range(),
            grain: edit.grain,
        });
    }
    let start = edit.end as usize;
    let end = match edits.get(after) {
        Some(next) => next.start as usize,
        None => start + (length - copied),
    };
    Some(Stretch {
        start: copied,
        origin: start..end,
        grain: COPY,
    })
}

impl Stretch {
    /// Where the character that `at` lies in begins in the first text.
    fn before(&self, at: usize) -> usize {
        match self.grain {
            (_, 0) => self.origin.start,
            (from, to) => {
                let characters = at.saturating_sub(self.start) / usize::from(to);
                (self.origin.start + characters * usize::from(from)).min(self.origin.end)
            }
        }
    }

    /// Where the characters up to `at` end in the first text.
    fn after(&self, at: usize) -> usize {
        match self.grain {
            (_, 0) => self.origin.end,
            (from, to) => {
                let characters = at.saturating_sub(self.start).div_ceil(usize::from(to));
                (self.origin.start + characters * usize::from(from)).min(self.origin.end)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::rewrite::{ChangeKind, Editor};

    fn edits(text: &str, of: &[(Range<usize>, &str)]) -> Edits {
        let mut editor = Editor::new(text);
        for (range, with) in of {
            editor.replace(range.clone(), with, ChangeKind::Invisible);
        }
        editor.finish()
    }

    #[test]
    fn bytes_are_traced_through_several_rewritings() {
        let second = View::edited(edits("ab--cd==ef", &[(2..4, ""), (6..8, "+")]));
        assert_eq!(second.text(), "abcd+ef");
        let third = second
            .clone()
            .rewritten(edits(second.text(), &[(0..1, "xyz")]));
        assert_eq!(third.text(), "xyzbcd+ef");
        assert_eq!(second.origin(2..4), 4..6);
        assert_eq!(second.origin(4..5), 6..8);
        assert_eq!(third.origin(0..2), 0..1);
        assert_eq!(third.origin(3..5), 1..5);
        assert_eq!(third.origin(0..9), 0..10);
        assert_eq!(third.origin(8..9), 9..10);
    }

    #[test]
    fn swapped_characters_are_one_edit_and_are_told_apart() {
        let text = "<ｂａｋｅ>ёｂ";
        let mut editor = Editor::new(text);
        let plain = ['b', 'a', 'k', 'e', 'е', 'b'];
        let swapped = text.char_indices().filter(|(_, c)| !c.is_ascii());
        for ((at, c), to) in swapped.zip(plain) {
            editor.swap(at..at + c.len_utf8(), to, ChangeKind::Compatibility);
        }
        let edits = editor.finish();
        let counts: Vec<usize> = edits.iter().map(Edit::count).collect();
        assert_eq!(counts, [4, 1, 1]);
        let view = View::edited(edits);
        assert_eq!(view.text(), "<bake>еb");
        assert_eq!(view.origin(2..4), 4..10);
        assert_eq!(view.origin(0..6), 0..14);
        // Half of a character is all of it.
        assert_eq!(view.origin(7..8), 14..16);
        assert_eq!(view.origin(8..9), 16..19);
    }

    #[test]
    fn pieces_come_from_their_ranges() {
        let view = View::of_pieces([(3..9, "one".to_owned()), (20..30, "two".to_owned())]);
        assert_eq!(view.text(), "one\ntwo");
        assert_eq!(view.origin(0..3), 3..9);
        assert_eq!(view.origin(4..7), 20..30);
        assert_eq!(view.origin(1..5), 3..30);
        let shorter = View::edited(edits(view.text(), &[(0..4, "")]));
        assert_eq!(shorter.after(&view).origin(0..3), 20..30);
    }
}

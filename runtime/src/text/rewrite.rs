//! Rewriting a text while remembering where every byte of it came from.

use std::ops::Range;

/// What made a text differ from what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// Characters that show nothing, between ones that do: default-ignorable code points and
    /// control characters.
    Invisible,
    /// Tag characters, which spell ASCII without showing it.
    Tag,
    /// Variation selectors that select nothing; runs of them can spell bytes.
    VariationSelector,
    /// Bidirectional controls in text that needs none, and overrides that show text backwards.
    BidiControl,
    /// Letters in compatibility forms, such as full-width, circled or mathematical ones (NFKC).
    Compatibility,
    /// Letters of one alphabet that pass for those of another (UTS 39).
    Confusable,
    /// Combining marks stacked on letters that are not written with them.
    CombiningMarks,
    /// Words spelt as single letters with something between them.
    SpacedLetters,
    /// Digits and signs in the place of letters.
    Leet,
    /// Base64 of a text.
    Base64,
    /// The bytes of a text in hexadecimal.
    Hex,
    /// Escapes of characters, as in URLs, HTML and source code.
    Escape,
    /// Latin letters moved by 13 places.
    Rot13,
}

impl ChangeKind {
    /// The name in JSON and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invisible => "invisible",
            Self::Tag => "tag",
            Self::VariationSelector => "variation_selector",
            Self::BidiControl => "bidi_control",
            Self::Compatibility => "compatibility",
            Self::Confusable => "confusable",
            Self::CombiningMarks => "combining_marks",
            Self::SpacedLetters => "spaced_letters",
            Self::Leet => "leet",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Escape => "escape",
            Self::Rot13 => "rot13",
        }
    }
}

/// A text that is being rewritten: parts of it in order, which do not overlap and begin and end
/// between characters, are written otherwise, and what lies between them is kept.
pub(crate) struct Editor<'a> {
    text: &'a str,
    edits: Edits,
}

/// What was written instead of parts of a text, and the text with it.
///
/// A text in disguise has an edit for every few bytes of it, and what they weigh is what undoing it
/// costs: they are kept small, and are the map of the rewritten text as well.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    list: Vec<Edit>,
    /// The rewritten text; while it is being written, as far as the last edit; empty if there is
    /// none.
    shown: String,
}

/// A part of a text that was written otherwise. Places are bytes; a text has at most
/// [`MAX_TEXT_BYTES`](super::MAX_TEXT_BYTES), and what is encoded in it no more than a few times as
/// many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edit {
    start: u32,
    end: u32,
    /// Where what is written for it ends in the rewritten text.
    shown_end: u32,
    /// Why.
    pub(crate) kind: ChangeKind,
    grain: Grain,
}

/// The bytes of each character in the first text and in the rewritten one, where all of a stretch
/// are alike; 0 where they are not.
type Grain = (u8, u8);

const COPY: Grain = (1, 1);
const UNEVEN: Grain = (0, 0);

impl Edit {
    /// The part of the text.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// How many characters or words it changes.
    pub(crate) fn count(&self) -> usize {
        match self.grain {
            (0, _) => 1,
            (from, _) => self.range().len() / usize::from(from),
        }
    }
}

impl Edits {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Edit> {
        self.list.iter()
    }

    /// The rewritten text.
    pub(crate) fn text(&self) -> &str {
        &self.shown
    }

    /// Tells where bytes that are kept are in the rewritten text, if asked in their order.
    pub(crate) fn moved(&self) -> impl FnMut(usize) -> usize {
        let mut edits = self.list.iter().peekable();
        let (mut end, mut shown_end) = (0, 0);
        move |at| {
            while let Some(edit) = edits.next_if(|edit| edit.end as usize <= at) {
                (end, shown_end) = (edit.end as usize, edit.shown_end as usize);
            }
            shown_end + (at - end)
        }
    }

    /// The parts of the text, and what is written for each.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (Range<usize>, &str)> {
        (0..self.list.len()).map(|index| self.nth(index))
    }

    /// The part of the text that one of them is about, and what is written for it.
    pub(crate) fn nth(&self, index: usize) -> (Range<usize>, &str) {
        let edit = &self.list[index];
        let shown = start_of(&self.list, index)..edit.shown_end as usize;
        (edit.range(), &self.shown[shown])
    }
}

impl<'a> Editor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            edits: Edits::default(),
        }
    }

    /// Where the last edit ends.
    pub(crate) fn end(&self) -> usize {
        self.edits.list.last().map_or(0, |edit| edit.end as usize)
    }

    /// How many edits there are.
    pub(crate) fn count(&self) -> usize {
        self.edits.list.len()
    }

    /// Leaves a part out.
    pub(crate) fn remove(&mut self, range: Range<usize>, kind: ChangeKind) {
        self.replace(range, "", kind);
    }

    /// Writes `with` for a part.
    pub(crate) fn replace(&mut self, range: Range<usize>, with: &str, kind: ChangeKind) {
        self.keep_to(range.start);
        push(&mut self.edits.shown, with);
        self.add(range, kind, UNEVEN);
    }

    /// Writes one character for the part that stands for it, of at most 255 bytes. Those in a row
    /// that are of the same lengths are one edit, whose characters still can be told apart.
    pub(crate) fn swap(&mut self, range: Range<usize>, to: char, kind: ChangeKind) {
        let grain = (range.len() as u8, to.len_utf8() as u8);
        match self.edits.list.last_mut() {
            Some(last)
                if last.end as usize == range.start && last.kind == kind && last.grain == grain =>
            {
                self.edits.shown.push(to);
                last.end = range.end as u32;
                last.shown_end = self.edits.shown.len() as u32;
            }
            _ => {
                self.keep_to(range.start);
                self.edits.shown.push(to);
                self.add(range, kind, grain);
            }
        }
    }

    /// The edits, and the text with them.
    pub(crate) fn finish(mut self) -> Edits {
        if !self.edits.is_empty() {
            self.keep_to(self.text.len());
        }
        self.edits
    }

    /// Copies what lies between the last edit and the next.
    fn keep_to(&mut self, start: usize) {
        if self.edits.list.is_empty() {
            self.edits.shown.reserve(self.text.len());
        }
        let end = self.end();
        push(&mut self.edits.shown, &self.text[end..start]);
    }

    /// Adds an edit that writes what the rewritten text ends with.
    fn add(&mut self, range: Range<usize>, kind: ChangeKind, grain: Grain) {
        self.edits.list.push(Edit {
            start: range.start as u32,
            end: range.end as u32,
            shown_end: self.edits.shown.len() as u32,
            kind,
            grain,
        });
    }
}

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

/// Adds to a text what most often is one byte or none.
#[inline]
fn push(text: &mut String, more: &str) {
    match more.as_bytes() {
        [] => {}
        [byte] => text.push(char::from(*byte)),
        _ => text.push_str(more),
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

/// Where what is written for an edit begins in the rewritten text: behind that of the one before,
/// and what is kept between them.
fn start_of(edits: &[Edit], index: usize) -> usize {
    let start = edits[index].start;
    let before = index.checked_sub(1).map(|index| edits[index]);
    before.map_or(start, |before| before.shown_end + (start - before.end)) as usize
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

/// A text after its edits, if there are any.
#[cfg(test)]
pub(super) fn edited(text: &str, edits: Edits) -> String {
    match edits.is_empty() {
        true => text.to_owned(),
        false => edits.shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

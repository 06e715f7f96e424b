//! Rewriting a text while remembering where every byte of it came from.

use std::ops::Range;

/// What made a text differ from what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// Characters that show nothing, between ones that do: default-ignorable code points and control characters.
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

/// What to write instead of parts of a text: parts in order that do not overlap, and begin and end between characters.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    list: Vec<Edit>,
    /// What they write, in one string: texts in disguise have an edit for every few bytes.
    with: String,
}

/// A part of a text, and what to write instead of it.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    /// Bytes of the text.
    pub(crate) range: Range<usize>,
    /// Why.
    pub(crate) kind: ChangeKind,
    /// How many characters or words it changes.
    pub(crate) count: usize,
    /// The part of [`Edits::with`] that is written; empty to remove.
    with: Range<usize>,
    grain: Grain,
}

/// The bytes of each character in the first text and in the rewritten one, where all of a stretch are alike; 0 where they are not.
type Grain = (u8, u8);

const COPY: Grain = (1, 1);
const UNEVEN: Grain = (0, 0);

impl Edits {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Edit> {
        self.list.iter()
    }

    /// Where the last of them ends.
    pub(crate) fn end(&self) -> usize {
        self.list.last().map_or(0, |edit| edit.range.end)
    }

    /// Leaves a part out.
    pub(crate) fn remove(&mut self, range: Range<usize>, kind: ChangeKind) {
        self.replace(range, "", kind);
    }

    /// Writes `with` for a part.
    pub(crate) fn replace(&mut self, range: Range<usize>, with: &str, kind: ChangeKind) {
        let start = self.with.len();
        self.with.push_str(with);
        self.list.push(Edit {
            range,
            kind,
            count: 1,
            with: start..self.with.len(),
            grain: UNEVEN,
        });
    }

    /// Writes one character for the part that stands for it, of at most 255 bytes. Those in a row that are of the same lengths are one
    /// edit, whose characters still can be told apart.
    pub(crate) fn swap(&mut self, range: Range<usize>, to: char, kind: ChangeKind) {
        let grain = (range.len() as u8, to.len_utf8() as u8);
        self.with.push(to);
        match self.list.last_mut() {
            Some(last)
                if last.range.end == range.start && last.kind == kind && last.grain == grain =>
            {
                last.range.end = range.end;
                last.with.end = self.with.len();
                last.count += 1;
            }
            _ => self.list.push(Edit {
                range,
                kind,
                count: 1,
                with: self.with.len() - to.len_utf8()..self.with.len(),
                grain,
            }),
        }
    }
}

/// A text made of another, and where its bytes came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    text: String,
    /// From the first rewriting to the last.
    maps: Vec<Map>,
}

/// Consecutive stretches of a text; the end of one is the start of the next.
type Map = Vec<Stretch>;

#[derive(Clone, Debug)]
struct Stretch {
    /// Where it begins in the rewritten text.
    start: usize,
    /// The bytes that it came from.
    origin: Range<usize>,
    grain: Grain,
}

impl View {
    /// The text itself.
    pub(crate) fn of(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            maps: Vec::new(),
        }
    }

    /// The pieces put together with line breaks; each came from its range of the text.
    pub(crate) fn of_pieces(pieces: impl IntoIterator<Item = (Range<usize>, String)>) -> Self {
        let mut view = Self::default();
        let mut map = Map::new();
        for (origin, piece) in pieces {
            if !view.text.is_empty() {
                view.text.push('\n');
            }
            // The break belongs to the piece before it, so that stretches touch.
            map.push(Stretch {
                start: view.text.len(),
                origin,
                grain: UNEVEN,
            });
            view.text += &piece;
        }
        view.maps.push(map);
        view
    }

    /// What it says.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The view with `edits` made.
    pub(crate) fn rewritten(mut self, edits: &Edits) -> Self {
        if edits.is_empty() {
            return self;
        }
        let mut text = String::with_capacity(self.text.len());
        let mut map = Map::with_capacity(edits.list.len() * 2 + 1);
        let mut copied = 0;
        let copy = |text: &mut String, map: &mut Map, origin: Range<usize>| {
            if !origin.is_empty() {
                map.push(Stretch {
                    start: text.len(),
                    origin: origin.clone(),
                    grain: COPY,
                });
                text.push_str(&self.text[origin]);
            }
        };
        for edit in &edits.list {
            copy(&mut text, &mut map, copied..edit.range.start);
            copied = edit.range.end;
            if !edit.with.is_empty() {
                map.push(Stretch {
                    start: text.len(),
                    origin: edit.range.clone(),
                    grain: edit.grain,
                });
                text.push_str(&edits.with[edit.with.clone()]);
            }
        }
        copy(&mut text, &mut map, copied..self.text.len());
        self.maps.push(map);
        self.text = text;
        self
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
            .fold(range, |range, map| origin(map, range))
    }
}

fn origin(map: &Map, range: Range<usize>) -> Range<usize> {
    let of_byte = |at: usize| {
        let index = map.partition_point(|stretch| stretch.start <= at);
        map.get(index.saturating_sub(1))
    };
    let Some(first) = of_byte(range.start) else {
        return 0..0;
    };
    let last = of_byte(range.end.saturating_sub(1).max(range.start)).unwrap_or(first);
    let start = first.before(range.start);
    start..last.after(range.end).max(start)
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

    fn edits(of: &[(Range<usize>, &str)]) -> Edits {
        let mut edits = Edits::default();
        for (range, with) in of {
            edits.replace(range.clone(), with, ChangeKind::Invisible);
        }
        edits
    }

    #[test]
    fn bytes_are_traced_through_several_rewritings() {
        let second = View::of("ab--cd==ef").rewritten(&edits(&[(2..4, ""), (6..8, "+")]));
        assert_eq!(second.text(), "abcd+ef");
        let third = second.clone().rewritten(&edits(&[(0..1, "xyz")]));
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
        let mut edits = Edits::default();
        let plain = ['b', 'a', 'k', 'e', 'е', 'b'];
        let swapped = text.char_indices().filter(|(_, c)| !c.is_ascii());
        for ((at, c), to) in swapped.zip(plain) {
            edits.swap(at..at + c.len_utf8(), to, ChangeKind::Compatibility);
        }
        let counts: Vec<usize> = edits.iter().map(|edit| edit.count).collect();
        assert_eq!(counts, [4, 1, 1]);
        let view = View::of(text).rewritten(&edits);
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
        let shorter = View::of(view.text()).rewritten(&edits(&[(0..4, "")]));
        assert_eq!(shorter.after(&view).origin(0..3), 20..30);
    }
}

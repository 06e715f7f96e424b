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

/// A part of a text, and what to write instead of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Bytes of the text.
    pub(crate) range: Range<usize>,
    /// Empty to remove it.
    pub(crate) with: String,
    /// Why.
    pub(crate) kind: ChangeKind,
}

/// A text made of another, and where its bytes came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    text: String,
    /// From the last rewriting back to the first.
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
    /// Whether it is a copy of them, byte by byte.
    is_copy: bool,
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
                is_copy: false,
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

    /// The view with `edits` made. They must be in order, must not overlap, and must begin and end between characters.
    pub(crate) fn rewritten(&self, edits: Vec<Edit>) -> Self {
        if edits.is_empty() {
            return self.clone();
        }
        let mut text = String::with_capacity(self.text.len());
        let mut map = Map::new();
        let mut copied = 0;
        let copy = |text: &mut String, map: &mut Map, origin: Range<usize>| {
            if !origin.is_empty() {
                map.push(Stretch {
                    start: text.len(),
                    origin: origin.clone(),
                    is_copy: true,
                });
                *text += &self.text[origin];
            }
        };
        for edit in edits {
            copy(&mut text, &mut map, copied..edit.range.start);
            copied = edit.range.end;
            if !edit.with.is_empty() {
                map.push(Stretch {
                    start: text.len(),
                    origin: edit.range,
                    is_copy: false,
                });
                text += &edit.with;
            }
        }
        copy(&mut text, &mut map, copied..self.text.len());
        let mut maps = vec![map];
        maps.extend(self.maps.iter().cloned());
        Self { text, maps }
    }

    /// This view of a view, as a view of what the other is a view of.
    pub(crate) fn after(mut self, first: &Self) -> Self {
        self.maps.extend(first.maps.iter().cloned());
        self
    }

    /// The bytes of the first text that `range` of this one came from.
    pub(crate) fn origin(&self, range: Range<usize>) -> Range<usize> {
        self.maps
            .iter()
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
    let start = match first.is_copy {
        true => {
            (first.origin.start + range.start.saturating_sub(first.start)).min(first.origin.end)
        }
        false => first.origin.start,
    };
    let last = of_byte(range.end.saturating_sub(1).max(range.start)).unwrap_or(first);
    let end = match last.is_copy {
        true => (last.origin.start + range.end.saturating_sub(last.start)).min(last.origin.end),
        false => last.origin.end,
    };
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(range: Range<usize>, with: &str) -> Edit {
        Edit {
            range,
            with: with.to_owned(),
            kind: ChangeKind::Invisible,
        }
    }

    #[test]
    fn bytes_are_traced_through_several_rewritings() {
        let first = View::of("ab--cd==ef");
        let second = first.rewritten(vec![edit(2..4, ""), edit(6..8, "+")]);
        assert_eq!(second.text(), "abcd+ef");
        let third = second.rewritten(vec![edit(0..1, "xyz")]);
        assert_eq!(third.text(), "xyzbcd+ef");
        assert_eq!(second.origin(2..4), 4..6);
        assert_eq!(second.origin(4..5), 6..8);
        assert_eq!(third.origin(0..2), 0..1);
        assert_eq!(third.origin(3..5), 1..5);
        assert_eq!(third.origin(0..9), 0..10);
        assert_eq!(third.origin(8..9), 9..10);
    }

    #[test]
    fn pieces_come_from_their_ranges() {
        let view = View::of_pieces([(3..9, "one".to_owned()), (20..30, "two".to_owned())]);
        assert_eq!(view.text(), "one\ntwo");
        assert_eq!(view.origin(0..3), 3..9);
        assert_eq!(view.origin(4..7), 20..30);
        assert_eq!(view.origin(1..5), 3..30);
        let shorter = view.rewritten(vec![edit(0..4, "")]);
        assert_eq!(shorter.origin(0..3), 20..30);
    }
}

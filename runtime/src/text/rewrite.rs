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
    /// A chat template around the text, such as ChatML, which is no part of what it says.
    ChatTemplate,
}

impl ChangeKind {
    /// Whether the text without it says exactly what the text with it does: it was encoded, or
    /// stood in a chat template. All others are guesses at what is meant.
    pub(crate) fn is_exact(self) -> bool {
        match self {
            Self::Base64 | Self::Hex | Self::Escape | Self::ChatTemplate => true,
            Self::Invisible
            | Self::Tag
            | Self::VariationSelector
            | Self::BidiControl
            | Self::Compatibility
            | Self::Confusable
            | Self::CombiningMarks
            | Self::SpacedLetters
            | Self::Leet
            | Self::Rot13 => false,
        }
    }

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
            Self::ChatTemplate => "chat_template",
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
    pub(super) list: Vec<Edit>,
    /// The rewritten text; while it is being written, as far as the last edit; empty if there is
    /// none.
    pub(super) shown: String,
}

/// A part of a text that was written otherwise. Places are bytes; a text has at most
/// [`MAX_TEXT_BYTES`](super::MAX_TEXT_BYTES), and what is encoded in it no more than a few times as
/// many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edit {
    pub(super) start: u32,
    pub(super) end: u32,
    /// Where what is written for it ends in the rewritten text.
    pub(super) shown_end: u32,
    /// Why.
    pub(crate) kind: ChangeKind,
    pub(super) grain: Grain,
}

/// The bytes of each character in the first text and in the rewritten one, where all of a stretch
/// are alike; 0 where they are not.
pub(super) type Grain = (u8, u8);

pub(super) const COPY: Grain = (1, 1);
pub(super) const UNEVEN: Grain = (0, 0);

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

/// Adds to a text what most often is one byte or none.
#[inline]
fn push(text: &mut String, more: &str) {
    match more.as_bytes() {
        [] => {}
        [byte] => text.push(char::from(*byte)),
        _ => text.push_str(more),
    }
}

/// Where what is written for an edit begins in the rewritten text: behind that of the one before,
/// and what is kept between them.
pub(super) fn start_of(edits: &[Edit], index: usize) -> usize {
    let start = edits[index].start;
    let before = index.checked_sub(1).map(|index| edits[index]);
    before.map_or(start, |before| before.shown_end + (start - before.end)) as usize
}

/// A text after its edits, if there are any.
#[cfg(test)]
pub(super) fn edited(text: &str, edits: Edits) -> String {
    match edits.is_empty() {
        true => text.to_owned(),
        false => edits.shown,
    }
}

//! Which sentences of a text may be a language with its letters moved by 13 places.

use std::ops::Range;

use super::bits::{count, each};
use super::block::{Block, blocks};
use super::part::{found_again, parts};
use super::rewrite::{Edit, Edits};
use super::sentence::{Sentence, end_of_sentence, weight_of};

/// Sentences whose letters would be more like a language's after moving by 13 places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rotated {
    /// Where each begins.
    pub(super) starts: Vec<u32>,
    /// All letters of the text.
    pub(super) all: Sentence,
}

impl Rotated {
    /// Whether the text as a whole is one.
    pub(super) fn is_all(&self) -> bool {
        self.all.is_rotated()
    }

    pub(super) fn any(&self) -> bool {
        self.is_all() || !self.starts.is_empty()
    }

    /// The sentences, as parts of the text.
    pub(super) fn sentences(&self, text: &str) -> impl Iterator<Item = Range<usize>> {
        let starts = self.starts.iter().map(|start| *start as usize);
        starts.map(|start| start..end_of_sentence(text, start))
    }

    /// Whether edits of the text may change which there are, if they end no sentence and begin
    /// none.
    pub(super) fn may_change(&self, text: &str, edits: &Edits) -> bool {
        let mut edits = edits.iter().map(Edit::range).peekable();
        let is_touched = |place: Range<usize>| {
            while edits.next_if(|edit| edit.end <= place.start).is_some() {}
            edits.peek().is_some_and(|edit| edit.start < place.end)
        };
        self.is_all() || self.sentences(text).any(is_touched)
    }

    /// Those of the text that was edited.
    pub(super) fn after(&self, text: &str, edits: &Edits) -> Self {
        let Some(parts) = parts(text, edits) else {
            return rotated(edits.text());
        };
        let mut all = self.all;
        let starts = found_again(&self.starts, &parts, |part, starts| {
            let now = rotated(&edits.text()[part.after.clone()]);
            all.add(now.all);
            all.remove(rotated(&text[part.before.clone()]).all);
            starts.extend(now.starts);
        });
        Self { starts, all }
    }

    /// Leaves those that still are rotated after edits that end no sentence and begin none.
    pub(super) fn retain(&mut self, edits: &Edits, after: &Self) {
        let mut moved = edits.moved();
        let mut starts_after = after.starts.iter().peekable();
        self.starts.retain(|start| {
            let now = moved(*start as usize) as u32;
            while starts_after.next_if(|other| **other < now).is_some() {}
            starts_after.peek() == Some(&&now)
        });
        if !after.is_all() {
            self.all = Sentence::default();
        }
    }
}

/// The sentences that may be rotated, which [`scan`](super::scan::scan) tells too.
pub(super) fn rotated(text: &str) -> Rotated {
    let mut sentences = Sentences::default();
    blocks(text).for_each(|block| sentences.add(text, &block));
    sentences.finish(text)
}

/// The current sentence, and all of them.
#[derive(Default)]
pub(super) struct Sentences {
    start: usize,
    /// Where what is weighed of the current sentence begins: most are too short to be weighed at
    /// all.
    weighed: usize,
    current: Sentence,
    rotated: Rotated,
}

impl Sentences {
    /// Adds a block.
    ///
    /// ```text
    /// text     Ubj? Gur png fng
    /// letters  xxx..xxx.xxx.xxx
    /// stops    ...x............
    /// ```
    ///
    /// The first sentence has 3 letters, too few to be weighed; the one that goes on has 9 so far.
    #[inline(always)]
    pub(super) fn add(&mut self, text: &str, block: &Block) {
        let sets = &block.sets;
        let mut letters = sets.letters;
        self.rotated.all.add(Sentence {
            letters: count(letters),
            weight: block.weight,
        });
        each(sets.stops, |index| {
            let of_sentence = letters & !(u64::MAX << index);
            letters &= !of_sentence;
            self.current.letters += count(of_sentence);
            self.end(text, block.start, block.start + index + 1);
        });
        self.current.letters += count(letters);
        match sets.stops {
            0 => self.current.weight += block.weight,
            _ => self.weighed = block.start + block.len,
        }
    }

    /// Ends a sentence of which what lies before `block` is weighed.
    #[inline(always)]
    fn end(&mut self, text: &str, block: usize, end: usize) {
        if self.current.is_long() {
            let weight = |range: Range<usize>| weight_of(&text.as_bytes()[range]);
            self.current.weight += weight(self.start.max(block)..end);
            if self.start < block {
                self.current.weight += weight(self.start..self.weighed);
            }
            if self.current.is_rotated() {
                self.rotated.starts.push(self.start as u32);
            }
        }
        (self.start, self.weighed) = (end, end);
        self.current = Sentence::default();
    }

    pub(super) fn finish(mut self, text: &str) -> Rotated {
        self.end(text, text.len(), text.len());
        self.rotated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::bits::shown;

    #[test]
    fn sentences_are_as_their_example_shows() {
        let text = "Ubj? Gur png fng";
        let block = blocks(text).next().unwrap();
        assert_eq!(block.sets.letters, shown("xxx..xxx.xxx.xxx"));
        assert_eq!(block.sets.stops, shown("...x............"));
        let mut sentences = Sentences::default();
        sentences.add(text, &block);
        assert_eq!((sentences.start, sentences.current.letters), (4, 9));
        assert_eq!(sentences.rotated.all.letters, 12);
        assert!(sentences.finish(text).is_all());
    }
}

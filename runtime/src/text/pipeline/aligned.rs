//! A text that was made of another, with the place that each of its bytes has there.

use std::borrow::Cow;
use std::ops::Range;

/// A character of a changed text, and what it did to the text before: 0 if it stands for the next
/// character, more if it was put in behind the one before it, `-n` if it stands for the next
/// character and the `n` behind that.
pub(super) type Changed = (char, isize);

/// A text, and where its bytes come from.
///
/// A character that was put in has the place of the one before it, and one that stands for several
/// has the place of the first. These are the rules of the crate `tokenizers`.
pub(super) struct Aligned<'a> {
    text: Cow<'a, str>,
    /// The bytes of the source that every byte stands for; `None` while the text is the source.
    places: Option<Vec<(usize, usize)>>,
}

impl<'a> Aligned<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text: Cow::Borrowed(text),
            places: None,
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of the source that some bytes of the text stand for; one at least is asked for.
    pub(super) fn place(&self, bytes: Range<usize>) -> Range<usize> {
        let last = bytes.end.max(bytes.start + 1) - 1;
        self.place_of(bytes.start).0..self.place_of(last).1
    }

    fn place_of(&self, byte: usize) -> (usize, usize) {
        match &self.places {
            Some(places) => places.get(byte).copied().unwrap_or_default(),
            None => (
                self.text.floor_char_boundary(byte),
                self.text.ceil_char_boundary(byte + 1),
            ),
        }
    }

    /// Makes the text that is told character by character.
    pub(super) fn change(&mut self, characters: impl IntoIterator<Item = Changed>) {
        let mut made = Made::with_room_for(&self.text);
        let mut before = self.text.chars();
        let mut at = 0;
        for (c, change) in characters {
            let place = match (change > 0, at) {
                (true, 0) => (0, 0),
                (true, at) => self.place_of(at - 1),
                (false, at) => self.place_of(at),
            };
            if change <= 0 {
                let gone = before.by_ref().take(1 + change.unsigned_abs());
                at += gone.map(char::len_utf8).sum::<usize>();
            }
            made.push(c, place);
        }
        self.become_made(made);
    }

    /// Writes `other` in place of each of these parts, which are in order.
    pub(super) fn replace(&mut self, parts: impl IntoIterator<Item = Range<usize>>, other: &str) {
        let mut parts = parts.into_iter().peekable();
        if parts.peek().is_none() {
            return;
        }
        let mut made = Made::with_room_for(&self.text);
        let mut at = 0;
        for part in parts {
            self.copy(at..part.start, &mut made);
            let place = self.place_of(part.end - 1);
            other.chars().for_each(|c| made.push(c, place));
            at = part.end;
        }
        self.copy(at..self.text.len(), &mut made);
        self.become_made(made);
    }

    /// Puts a character before the text, at the place of its first one.
    pub(super) fn prepend(&mut self, c: char) {
        let mut made = Made::with_room_for(&self.text);
        made.push(c, self.place_of(0));
        self.copy(0..self.text.len(), &mut made);
        self.become_made(made);
    }

    fn copy(&self, part: Range<usize>, made: &mut Made) {
        made.text.push_str(&self.text[part.clone()]);
        match &self.places {
            Some(places) => made.places.extend_from_slice(&places[part]),
            None => made.places.extend(part.map(|byte| self.place_of(byte))),
        }
    }

    fn become_made(&mut self, made: Made) {
        self.text = Cow::Owned(made.text);
        self.places = Some(made.places);
    }
}

/// A text that is being made.
struct Made {
    text: String,
    places: Vec<(usize, usize)>,
}

impl Made {
    fn with_room_for(text: &str) -> Self {
        // Some characters grow.
        let room = text.len() + text.len() / 2;
        Self {
            text: String::with_capacity(room),
            places: Vec::with_capacity(room),
        }
    }

    fn push(&mut self, c: char, place: (usize, usize)) {
        self.text.push(c);
        self.places.extend(std::iter::repeat_n(place, c.len_utf8()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::NormalizedString;
    use tokenizers::normalizer::Range as Offsets;

    use super::*;

    fn agree(found: &Aligned<'_>, expected: &NormalizedString) {
        assert_eq!(found.text(), expected.get());
        for (at, c) in found.text().char_indices() {
            let bytes = at..at + c.len_utf8();
            let place = expected.convert_offsets(Offsets::Normalized(bytes.clone()));
            assert_eq!(
                Some(found.place(bytes)),
                place,
                "{at} of {:?}",
                found.text()
            );
        }
    }

    proptest! {
        #[test]
        fn places_are_the_crates(
            text in "[a é中😀]{1,20}",
            changes in prop::collection::vec((any::<char>(), 0..4_u8), 0..20),
        ) {
            let mut left = text.chars().count();
            let mut characters = Vec::new();
            for (c, change) in changes {
                let change = isize::from(change) - 2;
                // No more may go than there are.
                let gone = 1 + change.unsigned_abs();
                if change > 0 || gone <= left {
                    left -= if change > 0 { 0 } else { gone };
                    characters.push((c, change));
                }
            }
            let (mut found, mut expected) =
                (Aligned::new(&text), NormalizedString::from(text.as_str()));
            agree(&found, &expected);
            found.change(characters.iter().copied());
            expected.transform(characters, 0);
            agree(&found, &expected);
        }

        #[test]
        fn what_is_replaced_and_put_before_has_the_crates_places(
            text in "[a é中😀]{1,20}",
            content in "[a▁é]{0,3}",
        ) {
            let (mut found, mut expected) =
                (Aligned::new(&text), NormalizedString::from(text.as_str()));
            for (pattern, content) in [(' ', "▁"), ('é', content.as_str()), ('a', "▁")] {
                let parts: Vec<_> = found.text().match_indices(pattern)
                    .map(|(at, part)| at..at + part.len()).collect();
                found.replace(parts, content);
                expected.replace(pattern, content).unwrap();
                if found.text().is_empty() {
                    return Ok(());
                }
                agree(&found, &expected);
                found.prepend('▁');
                expected.prepend("▁");
                agree(&found, &expected);
            }
        }
    }
}

//! The parts of a text that edits are in. Only there is looked again; what was found elsewhere is
//! kept.

use std::ops::Range;

use super::rewrite::Edits;
use super::sentence::{end_of_sentence, start_of_sentence};

/// Where parts make up more than this share of a text (a quarter), looking at all of it is simpler
/// and as quick.
const MAX_SHARE: usize = 4;
/// Bytes that a part has, about.
const BYTES_PER_PART: usize = 32;

/// Whole sentences with all of the edits that are in them: where they are in the text, and where in
/// the rewritten one.
pub(super) struct Part {
    pub(super) before: Range<usize>,
    pub(super) after: Range<usize>,
}

/// The parts of a text that `edits` are in, in order; `None` if they are most of it.
pub(super) fn parts(text: &str, edits: &Edits) -> Option<Vec<Part>> {
    let most = text.len() / MAX_SHARE;
    if edits.iter().len() > most / BYTES_PER_PART {
        return None;
    }
    let mut parts: Vec<Part> = Vec::new();
    let mut bytes = 0;
    for (edit, with) in edits.changes() {
        let shift = |at: usize, part: &Part| part.after.end + at - part.before.end;
        // An edit of the last part moves that one's end, which lies behind it.
        let mut part = match parts.pop() {
            Some(last) if edit.start < last.before.end => last,
            last => {
                let earliest = last.as_ref().map_or(0, |last| last.before.end);
                let start = start_of_sentence(text, earliest, edit.start);
                let after = last.as_ref().map_or(start, |last| shift(start, last));
                parts.extend(last);
                Part {
                    before: start..start,
                    after: after..after,
                }
            }
        };
        bytes -= part.before.len();
        let end = match edit.end < part.before.end {
            true => part.before.end,
            false => end_of_sentence(text, edit.end),
        };
        part.after.end = shift(end, &part) + with.len() - edit.len();
        part.before.end = end;
        bytes += part.before.len();
        parts.push(part);
        if bytes > most {
            return None;
        }
    }
    Some(parts)
}

/// What was found at `places`, in order, found again after edits: in `parts` by looking, and
/// elsewhere where it was.
pub(super) fn found_again(
    places: &[u32],
    parts: &[Part],
    mut look: impl FnMut(&Part, &mut Vec<u32>),
) -> Vec<u32> {
    let mut found = Vec::with_capacity(places.len());
    let mut places = places.iter().copied().peekable();
    let mut keep_to = |end: usize, (from, to): (usize, usize), found: &mut Vec<u32>| {
        while let Some(place) = places.next_if(|place| (*place as usize) < end) {
            let place = place as usize;
            // What is in a part is looked for.
            if place >= from {
                found.push((place - from + to) as u32);
            }
        }
    };
    // Where what is kept begins, before and after.
    let mut kept = (0, 0);
    for part in parts {
        keep_to(part.before.start, kept, &mut found);
        let first = found.len();
        look(part, &mut found);
        for place in &mut found[first..] {
            *place += part.after.start as u32;
        }
        kept = (part.before.end, part.after.end);
    }
    keep_to(usize::MAX, kept, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rewrite::{ChangeKind, Editor};
    use super::super::rotated::rotated;
    use super::super::scan::scan;

    proptest! {
        /// Edits of some of a text, and what is found in it again, are the same as if all of it had
        /// been looked at.
        #[test]
        fn what_is_found_again_is_what_is_found(
            text in "([a-e0-9 .!|@$+é?\n]|[a-e]{2,9} |x1y|gur dhvpx oebja sbk|\
                     the quick brown fox){20,300}",
            places in prop::collection::vec(
                (any::<prop::sample::Index>(), 0..4_usize, "[a-e0-9 .?]{0,3}"),
                0..4,
            ),
        ) {
            let mut at = 0;
            let mut editor = Editor::new(&text);
            let starts = places.iter().map(|(place, ..)| place.index(text.len() + 1));
            let mut starts: Vec<_> = starts.collect();
            starts.sort_unstable();
            for (start, (_, length, with)) in starts.into_iter().zip(&places) {
                let start = text.floor_char_boundary(start.max(at));
                let end = text.ceil_char_boundary((start + length).min(text.len()));
                if start >= at {
                    editor.replace(start..end, with, ChangeKind::Leet);
                    at = end;
                }
            }
            let edits = editor.finish();
            if edits.is_empty() {
                return Ok(());
            }
            let before = scan(&text);
            let expected = scan(edits.text());
            let found = before.rotated.after(&text, &edits);
            prop_assert_eq!(&found, &rotated(edits.text()));
            prop_assert_eq!(&found, &expected.rotated);
            let found = before.leet.after(&text, &edits);
            prop_assert_eq!(found.seen, expected.leet.seen);
            prop_assert_eq!(found.lettered, expected.leet.lettered);
            prop_assert_eq!(found.places, expected.leet.places);
            prop_assert!(found.mixed >= expected.leet.mixed);
        }
    }
}

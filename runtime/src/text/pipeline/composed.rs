//! Letters and their accents as one character where there is one: Unicode's normal form C.
//!
//! The crate `unicode-normalization` knows what composes, but not where each character comes from,
//! so that its rules are applied here; and it knows more of Unicode than the crate `tokenizers`,
//! which what is trained with it has to be read as.

use unicode_normalization::char::{canonical_combining_class, compose, decompose_canonical};
use unicode_normalization::{IsNormalized, is_nfc_quick};

use super::aligned::Changed;

/// Characters that Unicode has since its version 10, as far as they compose or combine: the crate
/// `tokenizers` knows version 9. What else is in these ranges does neither.
const NEWER: [(u32, u32); 23] = [
    (0x5c8, 0x5c9),
    (0x7fd, 0x7fd),
    (0x897, 0x8d3),
    (0x9fe, 0x9fe),
    (0xc3c, 0xc3c),
    (0xd3b, 0xd3c),
    (0xeba, 0xeba),
    (0x1715, 0x1715),
    (0x1abf, 0x1af0),
    (0x1df6, 0x1dfa),
    (0xa82c, 0xa82c),
    (0x105c9, 0x105e4),
    (0x10d24, 0x10f85),
    (0x11070, 0x11070),
    (0x1133b, 0x1133b),
    (0x11382, 0x113d0),
    (0x1145e, 0x1145e),
    (0x11839, 0x11a99),
    (0x11d42, 0x1612f),
    (0x16d63, 0x16ff1),
    (0x1d127, 0x1d128),
    (0x1d250, 0x1d281),
    (0x1e08f, 0x1e6f5),
];

/// Whether a text surely stays as it is.
pub(in super::super) fn is_composed(text: &str) -> bool {
    text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes
}

/// The composed text, and what became of each character.
pub(super) fn composed(text: &str) -> Vec<Changed> {
    let mut composed: Vec<Changed> = Vec::with_capacity(text.len());
    // The last character that others may be composed with, and the class of the one before.
    let (mut starter, mut last_class) = (None, None);
    for (class, c, change) in decomposed(text) {
        if let Some(at) = starter {
            let (first, so_far): Changed = composed[at];
            let is_blocked = last_class.is_some_and(|last| last >= class);
            if !is_blocked && let Some(both) = composition(first, c) {
                composed[at] = (both, so_far + change - 1);
                continue;
            }
        }
        match (class, starter) {
            (0, _) => (starter, last_class) = (Some(composed.len()), None),
            (_, Some(_)) => last_class = Some(class),
            (_, None) => {}
        }
        composed.push((c, change));
    }
    composed
}

/// Every character in its parts, with the class of each; marks on one letter are in the order of
/// their classes.
fn decomposed(text: &str) -> Vec<(u8, char, isize)> {
    let mut parts: Vec<(u8, char, isize)> = Vec::with_capacity(text.len());
    // Where the marks that are not yet in order begin.
    let mut start = 0;
    for c in text.chars() {
        let mut change = 0;
        let mut push = |part| {
            let class = class(part);
            if class == 0 {
                parts[start..].sort_by_key(|(class, ..)| *class);
                start = parts.len();
            }
            parts.push((class, part, change));
            change = 1;
        };
        match is_newer(c) {
            true => push(c),
            false => decompose_canonical(c, push),
        }
    }
    parts[start..].sort_by_key(|(class, ..)| *class);
    parts
}

fn class(c: char) -> u8 {
    match is_newer(c) {
        true => 0,
        false => canonical_combining_class(c),
    }
}

fn composition(first: char, second: char) -> Option<char> {
    match is_newer(first) || is_newer(second) {
        true => None,
        false => compose(first, second),
    }
}

fn is_newer(c: char) -> bool {
    let c = c as u32;
    let next = NEWER.partition_point(|(_, last)| *last < c);
    NEWER.get(next).is_some_and(|(first, _)| *first <= c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::NormalizedString;
    use tokenizers::normalizer::Range as Offsets;

    use super::super::aligned::Aligned;
    use super::*;

    fn agree(text: &str) {
        let mut expected = NormalizedString::from(text);
        expected.nfc();
        let mut found = Aligned::new(text);
        found.change(composed(text));
        assert_eq!(found.text(), expected.get(), "{text:?}");
        for (at, c) in found.text().char_indices() {
            let bytes = at..at + c.len_utf8();
            let place = expected.convert_offsets(Offsets::Normalized(bytes.clone()));
            assert_eq!(Some(found.place(bytes)), place, "{at} of {text:?}");
        }
        if is_composed(text) {
            assert_eq!(expected.get(), text);
        }
    }

    /// Alone, and between others that compose, combine and are put in order.
    #[test]
    fn every_character_is_composed_as_the_crate_composes_it() {
        for c in '\0'..=char::MAX {
            agree(&format!(
                "{c}\u{301}{c}a{c}\u{323}{c}\u{301}e\u{301}{c}\u{327}"
            ));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_text_is_composed_as_the_crate_composes_it(
            text in "([aeoе가각각ä\u{958}\u{915}\u{93c}\u{9cb}\u{9c7}\u{9be}\u{f73}\u{f71}\u{344}]\
                |[\u{300}-\u{345}\u{5b0}-\u{5bd}\u{1abf}\u{1133b}\u{11938}\u{16d63}]|\\PC){0,20}",
        ) {
            agree(&text);
        }
    }
}

//! Combining marks: which belong to the letters under them, and which are stacked to hide them.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use super::class::{self, CASED, STACKING};
use super::rewrite::{ChangeKind, Edit};

/// No language stacks this many marks that its letters do not compose with; Vietnamese and Yoruba, which stack, compose.
const FLOOD: usize = 3;
/// Hebrew and Arabic vowels and accents stack higher.
const FLOOD_OF_OTHERS: usize = 6;
/// Struck-out or lone odd letters occur; this many, and this share of the letters, are a disguise.
const MIN_ODD: usize = 3;
const MIN_ODD_SHARE: usize = 8;
/// The canonical combining class of marks drawn over a letter.
const OVERLAY: u8 = 1;

/// Removes the stacking marks of a text in which they flood; no edits for other texts.
pub(crate) fn edits(text: &str) -> Vec<Edit> {
    let (mut odd, mut cased, mut flooded) = (0, 0, false);
    let mut strip = Vec::new();
    for (at, cluster) in clusters(text) {
        let base = cluster.chars().next().unwrap_or(' ');
        let marks = cluster.chars().count() - 1;
        let is_cased = class::of(base).is(CASED);
        cased += usize::from(is_cased);
        if marks == 0 {
            continue;
        }
        if is_cased {
            let composed: String = cluster.nfc().collect();
            let left = composed.chars().count() - 1;
            let is_drawn_over = cluster
                .chars()
                .any(|c| canonical_combining_class(c) == OVERLAY);
            flooded |= left >= FLOOD;
            odd +=
                usize::from(is_drawn_over || composed.chars().next().is_some_and(|c| c.is_ascii()));
            strip.push((at, base, cluster.len()));
        } else if marks >= FLOOD_OF_OTHERS {
            flooded = true;
            strip.push((at, base, cluster.len()));
        } else if base.is_ascii_graphic() || class::of(base).is(class::SPACE) {
            strip.push((at, base, cluster.len()));
        }
    }
    if !flooded && (odd < MIN_ODD || odd * MIN_ODD_SHARE < cased) {
        return Vec::new();
    }
    let edit = |(at, base, length): (usize, char, usize)| Edit {
        range: at + base.len_utf8()..at + length,
        with: String::new(),
        kind: ChangeKind::CombiningMarks,
    };
    strip.into_iter().map(edit).collect()
}

/// Characters, each with the stacking marks after it.
fn clusters(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut characters = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (start, first) = characters.next()?;
        let mut end = start + first.len_utf8();
        while let Some((at, c)) = characters.next_if(|(_, c)| class::of(*c).is(STACKING)) {
            end = at + c.len_utf8();
        }
        Some((start, &text[start..end]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::rewrite::View;

    fn plain(text: &str) -> String {
        View::of(text).rewritten(edits(text)).text().to_owned()
    }

    #[test]
    fn floods_are_removed() {
        assert_eq!(plain("b\u{300}\u{316}\u{321}\u{334}ake"), "bake");
        assert_eq!(plain("b\u{336}a\u{336}k\u{336}e\u{336}"), "bake");
        assert_eq!(
            plain("b\u{308}a\u{308}k\u{308}e\u{308} r\u{308}y\u{308}e\u{308}"),
            "bake rye"
        );
    }

    #[test]
    fn marks_that_letters_are_written_with_stay() {
        for benign in [
            "café Ünïcödé",
            "cafe\u{301} déja\u{300} vu",
            "Tiê\u{301}ng Viê\u{323}t",
            "ẹ\u{300}kọ\u{301} Yorùbá",
            "ɛ\u{301}kɔ\u{300} m\u{300}bá",
            "שָׁלוֹם עֲלֵיכֶם",
            "مَرْحَبًا",
            "हिन्दी",
            "g\u{303}uahe\u{303}",
        ] {
            assert_eq!(plain(benign), benign, "{benign:?}");
        }
    }
}

//! Combining marks: which belong to the letters under them, and which are stacked to hide them.

use unicode_normalization::UnicodeNormalization;

use super::block::each_odd;
use super::class::{self, CASED, OVERLAY, STACKING};
use super::rewrite::{ChangeKind, Editor, Edits};

/// No language stacks this many marks that its letters do not compose with; Vietnamese and Yoruba,
/// which stack, compose.
const FLOOD: usize = 3;
/// Hebrew and Arabic vowels and accents stack higher.
const FLOOD_OF_OTHERS: usize = 6;
/// Struck-out or lone odd letters occur; this many, and this share of the letters, are a disguise.
const MIN_ODD: usize = 3;
const MIN_ODD_SHARE: usize = 8;
/// Letters with marks that are remembered: a text has few that differ.
const REMEMBERED: usize = 256;

/// Removes the stacking marks of a text in which they flood; no edits for other texts.
pub(super) fn edits(text: &str) -> Edits {
    let (mut odd, mut flooded) = (0, false);
    let mut cased = text.bytes().filter(u8::is_ascii_alphabetic).count();
    let mut strip = Editor::new(text);
    let mut seen = [("", Composed::default()); REMEMBERED];
    let mut end = 0;
    each_odd(text, |at, c, class| {
        cased += usize::from(!c.is_ascii() && class.is(CASED));
        // The first mark on a character.
        if at < end || !class.is(STACKING) {
            return;
        }
        let marks = text[at..].find(|c| !class::of(c).is(STACKING));
        end = marks.map_or(text.len(), |length| at + length);
        let Some(base) = text[..at].chars().next_back() else {
            return;
        };
        let cluster = &text[at - base.len_utf8()..end];
        let class = class::of(base);
        let is_stripped = if class.is(CASED) {
            // One flood is enough.
            if !flooded {
                let (known, composed) = &mut seen[place(cluster)];
                if *known != cluster {
                    (*known, *composed) = (cluster, Composed::of(cluster));
                }
                flooded = composed.left >= FLOOD;
                odd += usize::from(composed.is_odd);
            }
            true
        } else if text[at..end].chars().count() >= FLOOD_OF_OTHERS {
            flooded = true;
            true
        } else {
            base.is_ascii_graphic() || class.is(class::SPACE)
        };
        if is_stripped {
            strip.remove(at..end, ChangeKind::CombiningMarks);
        }
    });
    match flooded || odd >= MIN_ODD && odd * MIN_ODD_SHARE >= cased {
        true => strip.finish(),
        false => Edits::default(),
    }
}

/// What a letter with its marks composes to.
#[derive(Clone, Copy, Default)]
struct Composed {
    /// Marks that are left.
    left: usize,
    /// Whether a mark is drawn over the letter, or none composes with it though it is of ASCII.
    is_odd: bool,
}

impl Composed {
    fn of(cluster: &str) -> Self {
        let mut composed = cluster.nfc();
        let first = composed.next();
        let is_drawn_over = cluster.chars().any(|c| class::of(c).is(OVERLAY));
        Self {
            left: composed.count(),
            is_odd: is_drawn_over || first.is_some_and(|first| first.is_ascii()),
        }
    }
}

/// Where a letter with its marks is remembered.
fn place(cluster: &str) -> usize {
    let mix = |hash: usize, byte: u8| hash.wrapping_mul(31).wrapping_add(usize::from(byte));
    cluster.bytes().fold(0, mix) % REMEMBERED
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::rewrite::edited;

    fn plain(text: &str) -> String {
        edited(text, edits(text))
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

//! What a scan of a text finds.

use crate::text::class::{COMPAT_LETTER, INVISIBLE, LOOKALIKE, STACKING};
use crate::text::rotated::Rotated;

/// Single letters in a row that make a spelt-out word.
pub(in crate::text) const MIN_SPELT: usize = 4;
/// Characters between two of them, at most.
pub(in crate::text) const MAX_GAP: usize = 4;
/// The shortest encoded run that is looked into: 12 bytes of base64.
pub(in crate::text) const MIN_ENCODED: usize = 16;
/// The shortest run of hexadecimal pairs with something between them.
pub(in crate::text) const MIN_HEX_PAIRS: usize = 6;
/// What a text may hold. Each is a guess that the rule in question confirms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::text) struct Hints {
    /// The properties of all of its characters, of those outside ASCII and of control characters.
    pub(in crate::text) seen: u32,
    /// A letter from A to Z.
    pub(in crate::text) ascii_letters: bool,
    /// Single letters in a row.
    pub(in crate::text) spelt: bool,
    pub(in crate::text) leet: Leet,
    /// Where long runs of characters begin that encodings use.
    pub(in crate::text) runs: Vec<u32>,
    /// Many pairs of hexadecimal digits.
    pub(in crate::text) hex_pairs: bool,
    /// Something that escapes of characters begin with.
    pub(in crate::text) escaped: bool,
    pub(in crate::text) rotated: Rotated,
}

/// Digits and signs among letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::text) struct Leet {
    /// How many letters are behind a digit or sign, in one word.
    pub(in crate::text) seen: usize,
    /// At least one place in every word that has a digit or sign between letters, or begins with
    /// one; `None` if there are many.
    pub(in crate::text) places: Option<Vec<u32>>,
    /// How many words begin with a letter.
    pub(in crate::text) lettered: usize,
    /// No fewer words than have a letter and a digit or sign.
    pub(in crate::text) mixed: usize,
}

impl Hints {
    /// Whether one of its characters has any of these properties.
    pub(in crate::text) fn has(&self, flags: u32) -> bool {
        self.seen & flags != 0
    }

    /// Whether there is any rule to ask.
    pub(in crate::text) fn any(&self) -> bool {
        self.spelt
            || self.leet.seen > 0
            || self.hex_pairs
            || !self.runs.is_empty()
            || self.escaped
            || self.rotated.any()
            || self.has(INVISIBLE | STACKING | COMPAT_LETTER)
            || self.has(LOOKALIKE) && self.ascii_letters
    }
}

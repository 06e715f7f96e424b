//! A token of a text, and what is in none.

use std::ops::Range;

/// A token of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Token {
    pub(in super::super) id: u32,
    /// The bytes that it covers.
    pub(in super::super) place: Range<usize>,
}

/// A word has what is in no token, and there is none for that.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("what the vocabulary lacks has no token there, since unk_id is missing")]
pub(in super::super) struct Unknown;

//! From text to windows of tokens, and to the language whose thresholds apply.

pub(crate) mod language;
pub(crate) mod tokenize;
pub(crate) mod window;

/// The longest text, prompt and response together, that is checked in one call.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

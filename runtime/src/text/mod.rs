//! From text to windows of tokens, and to the language whose thresholds apply.

mod alphabet;
mod block;
mod class;
mod encoded;
mod invisible;
pub(crate) mod language;
mod leet;
mod lookalike;
mod marks;
pub(crate) mod normalize;
mod part;
mod pieces;
pub(crate) mod rewrite;
mod rotated;
mod scan;
mod sentence;
mod spelling;
pub(crate) mod tokenize;
pub(crate) mod view;
pub(crate) mod window;
pub(crate) mod words;

/// The longest text, prompt and response together, that is checked in one call.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

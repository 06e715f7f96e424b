//! From text to windows of tokens, and to the language whose thresholds apply.
//!
//! The modules in reading order. [`normalize::views`] leads through the first four groups.
//!
//! What a text is made of:
//! - [`alphabet`]: which letters of Latin, Greek and Cyrillic look alike.
//! - [`class`]: what Unicode says about a character, looked up once and kept by page.
//! - [`bits`]: sets of up to 64 places, a bit for each.
//! - [`block`]: 64 bytes of a text, as sets: which of them are letters, digits, signs.
//! - [`sentence`]: where sentences end, and how much their letters look like a language's.
//!
//! How it is rewritten:
//! - [`rewrite`]: a text with parts of it written otherwise.
//! - [`view`]: a text made of another, which knows where each of its bytes came from.
//! - [`part`]: the parts of a text that edits are in, so that only these are looked at again.
//!
//! Which disguises it may have:
//! - [`rotated`]: sentences that look like rot13.
//! - [`scan`]: one quick look for a hint of any disguise. A text without hints has no views.
//!
//! How each disguise is taken off, in the order of the rules:
//! - [`template`]: chat templates around a text, which are no part of it.
//! - [`encoded`]: escapes of characters first; later base64, hexadecimal and rot13.
//! - [`invisible`]: characters that show nothing, and the messages that they spell.
//! - [`marks`]: combining marks stacked on letters.
//! - [`lookalike`]: letters in compatibility forms, and letters of other alphabets.
//! - [`spelling`]: words that are spelt letter by letter.
//! - [`leet`]: digits and signs for letters.
//! - [`normalize`]: all of the rules in a row; gives the views of a text.
//!
//! What the network gets, of the text and of each view:
//! - [`byte_level`]: bytes as the characters of a vocabulary.
//! - [`pieces`]: about how many tokens a text has, counted quickly: the rules that guess ask it.
//! - [`token_model`]: the models of tokenizers, which make tokens of a word.
//! - [`pipeline`]: our tokenizers, from the file to tokens and their places.
//! - [`words`]: the token ids of words that were seen before.
//! - [`tokenizer_check`], [`hugging_face`]: the tokenizers of the crate `tokenizers`, for the rest.
//! - [`tokenize`]: token ids, from those above.
//! - [`window`]: the windows that cover the tokens.
//!
//! And beside that way:
//! - [`language`]: the language of a text.

mod alphabet;
mod bits;
mod block;
mod byte_level;
mod class;
mod encoded;
#[cfg(feature = "tokenizers")]
mod hugging_face;
mod invisible;
pub(crate) mod language;
mod leet;
mod lookalike;
mod marks;
pub(crate) mod normalize;
mod part;
mod pieces;
mod pipeline;
pub(crate) mod rewrite;
mod rotated;
mod scan;
mod sentence;
mod spelling;
mod template;
mod token_model;
pub(crate) mod tokenize;
pub(crate) mod tokenizer_check;
pub(crate) mod view;
pub(crate) mod window;
mod words;

/// The longest text, prompt and response together, that is checked in one call.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

/// The tokenizer's file of a bundled model.
#[cfg(test)]
fn bundled(model: &str) -> Vec<u8> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read(root.join("models").join(model).join("tokenizer.json")).expect("a bundled model")
}

//! What is checked, and what is said about it.

use std::ops::Range;

pub use crate::text::rewrite::ChangeKind;

/// The most [`Change`]s that a verdict lists.
pub const MAX_CHANGES: usize = 256;

/// A text to check: a prompt, a response, or a response together with the prompt it answers.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What the user wrote; empty to check a response alone.
    pub prompt: &'a str,
    /// What the model answered. It is scored together with the prompt, as [`Join`](crate::Join)
    /// says.
    pub response: Option<&'a str>,
    /// The BCP-47 tag of the text's language, as
    /// [`parse_language_tag`](crate::parse_language_tag) reads it; identified from the text when
    /// absent.
    pub language: Option<&'a str>,
}

impl<'a> Input<'a> {
    /// A prompt alone, in a language to be identified.
    pub fn prompt(text: &'a str) -> Self {
        Self {
            prompt: text,
            response: None,
            language: None,
        }
    }

    /// A response alone, in a language to be identified.
    pub fn response(text: &'a str) -> Self {
        Self::exchange("", text)
    }

    /// A response and the prompt it answers, in a language to be identified.
    pub fn exchange(prompt: &'a str, response: &'a str) -> Self {
        Self {
            prompt,
            response: Some(response),
            language: None,
        }
    }
}

/// What the model says about one [`Input`].
///
/// Category indices count into [`Model::categories`](crate::Model::categories).
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Whether any category's score exceeds its threshold.
    pub flagged: bool,
    /// The largest score of any category, a probability in [0, 1].
    pub score: f32,
    /// The flagged category that exceeds its threshold by most; `None` when nothing is flagged.
    pub category: Option<usize>,
    /// Per category, the largest probability over all windows of all views of the text.
    pub scores: Vec<f32>,
    /// The BCP-47 tag, in canonical form, of the language whose thresholds applied, or `"und"`.
    pub language: String,
    /// Tokens in the text as it is written.
    pub tokens: usize,
    /// Tokens of it that at least one window covered. Less than `tokens` only under
    /// [`Coverage::Partial`](crate::Coverage::Partial).
    pub tokens_scored: usize,
    /// Windows that the text as it is written was scored in; 0 for empty text, which is safe.
    pub windows: usize,
    /// Where the window with the largest score lies in the caller's text; `None` for empty text.
    pub span: Option<Span>,
    /// Every view of the text that was scored: as it is written, then as it reads without
    /// disguises, then the texts encoded in it.
    pub views: Vec<ScoredView>,
    /// What was undone to read the text without disguises; at most [`MAX_CHANGES`] of them.
    pub changes: Vec<Change>,
    /// How many changes there are, those that are not listed included.
    pub changes_total: usize,
    /// Whether the text is on the caller's list of allowed ones, and therefore not flagged.
    pub allowed: bool,
}

/// A part of an [`Input`], in bytes of the caller's strings, between characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The part of the prompt; empty if there is none.
    pub prompt: Range<usize>,
    /// The part of the response; empty if there is none.
    pub response: Range<usize>,
}

/// Which reading of a text was scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewKind {
    /// The text as it is written.
    Raw,
    /// The text with its disguises taken off.
    Normalized,
    /// The texts that it holds in encoded form.
    Decoded,
}

impl ViewKind {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Normalized => "normalized",
            Self::Decoded => "decoded",
        }
    }
}

/// One reading of a text, as it was scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredView {
    /// Which reading.
    pub kind: ViewKind,
    /// The largest score of any category in any of its windows, in [0, 1].
    pub score: f32,
    /// Its tokens.
    pub tokens: usize,
    /// Those that at least one window covered.
    pub tokens_scored: usize,
    /// Its windows.
    pub windows: usize,
}

/// A disguise, and where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it was.
    pub kind: ChangeKind,
    /// Where. Disguises of one kind close to each other are told as one.
    pub span: Span,
    /// How many single changes that was.
    pub count: usize,
}

/// The category that exceeds its threshold by most; `None` if none does. Both lists have one entry
/// per category.
pub(crate) fn flagged_category(scores: &[f32], thresholds: &[f32]) -> Option<usize> {
    let mut category = None;
    let mut largest_excess = 0.0;
    for (index, (score, threshold)) in scores.iter().zip(thresholds).enumerate() {
        if score - threshold > largest_excess {
            largest_excess = score - threshold;
            category = Some(index);
        }
    }
    category
}

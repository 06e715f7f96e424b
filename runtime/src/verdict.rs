//! What is said about a text.

use crate::input::Span;
pub use crate::text::rewrite::ChangeKind;

/// The most [`Change`]s that a verdict lists.
pub const MAX_CHANGES: usize = 256;

/// What the model says about one [`Input`](crate::Input).
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
    /// Per category, the largest probability over all windows of the views that count: all of them,
    /// unless the text is encoded or stands in a chat template, which its other views say exactly.
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

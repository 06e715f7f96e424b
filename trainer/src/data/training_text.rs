//! A text on its way to a learner, with what is known of it.

use std::borrow::Cow;

use rand_chacha::ChaCha8Rng;

/// What a row's label says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// No category applies.
    Safe,
    /// Exactly the labelled categories apply.
    Known,
    /// Some category applies; nobody said which.
    UnknownCategory,
}

/// One text, with what is known of it.
pub(crate) struct TrainingText<'a> {
    /// The text, as it is or code-switched.
    pub text: Cow<'a, str>,
    /// What it shares with its translations and copies.
    pub key: &'a str,
    /// What its label says.
    pub target: Target,
    /// Bit i is set when category i is known to apply.
    pub categories: u16,
    /// Label smoothing.
    pub smoothing: f32,
    /// The language, where the whole text is in it.
    pub language: Option<&'a str>,
    /// What it is made of, where it is several texts: a teacher judges each alone.
    pub parts: Vec<String>,
    /// Whether its label is that of all of it.
    pub is_whole: bool,
    /// Its number among the texts of a pass.
    pub index: usize,
    /// Whatever else is random about this text comes from here.
    pub rng: ChaCha8Rng,
}

impl TrainingText<'_> {
    /// Puts another text after this one: together they are unsafe when either is, in the categories
    /// of both.
    pub(super) fn append(&mut self, other: TrainingText<'_>) {
        if self.parts.is_empty() {
            self.parts.push(self.text.clone().into_owned());
        }
        self.parts.push(other.text.clone().into_owned());
        self.is_whole &= other.is_whole;
        let text = format!("{} {}", self.text, other.text);
        self.text = Cow::Owned(text);
        self.target = match (self.target, other.target) {
            (Target::Safe, target) | (target, Target::Safe) => target,
            (Target::Known, Target::Known) => Target::Known,
            _ => Target::UnknownCategory,
        };
        self.categories |= other.categories;
        if self.target == Target::UnknownCategory {
            self.categories = 0;
        }
        self.smoothing = self.smoothing.max(other.smoothing);
        self.language = self.language.filter(|_| self.language == other.language);
        self.rng = other.rng;
    }
}

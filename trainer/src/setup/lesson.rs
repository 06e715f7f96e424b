//! What a classifier is trained on, and how long.

use crate::data::rows::Corpus;
use crate::model::teacher::Teacher;

/// What a classifier learns, and how long.
#[derive(Clone, Copy)]
pub(crate) struct Lesson<'l> {
    /// Labelled rows.
    pub data: &'l Corpus,
    /// Has learned from the same rows.
    pub teacher: Option<&'l Teacher>,
    /// Optimizer steps of stage 1.
    pub steps: usize,
    /// Whether it is to tell languages too, where the recipe has a language head.
    pub tells_languages: bool,
}

//! What is checked, and what is said about it.

/// A text to check: a prompt, or a response together with the prompt it answers.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What the user wrote.
    pub prompt: &'a str,
    /// What the model answered. It is scored together with the prompt, as `prompt + " " + response`.
    pub response: Option<&'a str>,
    /// The BCP-47 tag of the text's language; identified from the text when absent.
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
    /// Per category, the largest probability over all windows of the text.
    pub scores: Vec<f32>,
    /// The BCP-47 tag of the language whose thresholds applied, or `"und"`.
    pub language: String,
    /// Tokens in the text.
    pub tokens: usize,
    /// Tokens that at least one window covered. Always equal to `tokens`: no text goes unscored.
    pub tokens_scored: usize,
    /// Windows the text was scored in; 0 for empty text, which is safe.
    pub windows: usize,
}

impl Verdict {
    /// Draws the verdict from scores and thresholds of equal length.
    pub(crate) fn decide(
        scores: Vec<f32>,
        thresholds: &[f32],
        language: String,
        tokens: usize,
        windows: usize,
    ) -> Self {
        let mut category = None;
        let mut largest_excess = 0.0;
        for (index, (score, threshold)) in scores.iter().zip(thresholds).enumerate() {
            if score - threshold > largest_excess {
                largest_excess = score - threshold;
                category = Some(index);
            }
        }
        Self {
            flagged: category.is_some(),
            score: scores.iter().copied().fold(0.0, f32::max),
            category,
            scores,
            language,
            tokens,
            tokens_scored: tokens,
            windows,
        }
    }
}

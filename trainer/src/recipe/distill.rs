//! The table `[distill]`: a larger guard whose opinions a decoder learns.

use std::path::PathBuf;

use serde::Deserialize;

use super::range::{Check, below_one, of_table, share};

/// A teacher, and what it is asked about.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DistillRecipe {
    /// The teacher's bundle, relative to the recipe's folder.
    pub teacher: PathBuf,
    /// How many texts it is asked about, rounded up to whole pools. The student sees them again and
    /// again, in new batches.
    pub texts: usize,
    /// How much of the loss is of the teacher's opinion; the rest is of the row's own label.
    pub share: f64,
    /// Weight of the squared error of the logits beside the cross-entropy of the probabilities.
    pub logit_error: f64,
    /// Weight of the mean squared error of the teacher's pooled state, which further outputs of the
    /// student say while it learns, each of its values with a mean of 0 and a deviation of 1; 0:
    /// it is not asked for its states.
    #[serde(default)]
    pub state_error: f64,
    /// Whether the rows of all matrices are rounded to what 8 bits hold when the student has
    /// learned: an export as int8 then changes no weight.
    #[serde(default)]
    pub round_weights: bool,
    /// Bytes of a text at most; of a longer one whole words from a random place on.
    pub text_bytes: usize,
    /// Share of the texts of which a few words are cut out.
    pub cropped: f64,
    /// Share of the texts that stand among harmless ones, in one of six places.
    pub buried: f64,
    /// Share of the sentence pairs among benign texts.
    pub pairs: f64,
    /// The folder of an encoder, relative to the data, whose embedding the student's starts from;
    /// absent: random values.
    #[serde(default)]
    pub embeddings: Option<PathBuf>,
}

impl DistillRecipe {
    pub(super) fn checks(&self) -> Vec<Check> {
        of_table(
            "distill",
            [
                ("texts", self.texts > 0, "at least 1"),
                ("share", share(self.share), "a share in [0, 1]"),
                (
                    "logit_error",
                    self.logit_error.is_finite() && self.logit_error >= 0.0,
                    "0 or a positive number",
                ),
                (
                    "state_error",
                    self.state_error.is_finite() && self.state_error >= 0.0,
                    "0 or a positive number",
                ),
                (
                    "text_bytes",
                    (64..=1_000_000).contains(&self.text_bytes),
                    "64 to 1000000",
                ),
                ("cropped", below_one(self.cropped), "a share in [0, 1)"),
                ("buried", below_one(self.buried), "a share in [0, 1)"),
                ("pairs", below_one(self.pairs), "a share in [0, 1)"),
            ],
        )
    }
}

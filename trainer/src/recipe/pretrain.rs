//! The table `[pretrain]`: stage 0.

use serde::Deserialize;

use super::optimizer::OptimizerRecipe;
use super::range::{Check, of_table};

/// Stage 0: language-model pre-training.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PretrainRecipe {
    /// Optimizer steps; 0 leaves the stage out.
    pub steps: usize,
    /// Tokens in a batch.
    pub batch_tokens: usize,
    /// Tokens in a packed row.
    pub window_tokens: usize,
    /// How its steps are taken.
    #[serde(flatten)]
    pub optimizer: OptimizerRecipe,
    /// Random tokens that join the batch's own in the softmax; 0: the whole vocabulary.
    pub negatives: usize,
}

impl PretrainRecipe {
    pub(super) fn checks(&self, max_position: usize) -> Vec<Check> {
        let mut checks = of_table(
            "pretrain",
            [
                (
                    "window_tokens",
                    (1..=max_position).contains(&self.window_tokens),
                    "1 to model.max_position",
                ),
                (
                    "batch_tokens",
                    self.batch_tokens >= self.window_tokens,
                    "at least pretrain.window_tokens",
                ),
            ],
        );
        checks.extend(self.optimizer.checks("pretrain"));
        checks
    }
}

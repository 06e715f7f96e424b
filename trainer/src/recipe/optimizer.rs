//! What all stages say about their optimizer.

use serde::Deserialize;

use super::range::{Check, below_one, of_table, positive, share};

/// How the steps of a stage are taken: keys of the stage's own table.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OptimizerRecipe {
    /// Peak learning rate, above 0.
    pub learning_rate: f64,
    /// Fraction of the steps spent warming up, in [0, 1).
    pub warmup: f64,
    /// Decoupled weight decay of matrices, in [0, 1].
    pub weight_decay: f64,
    /// Gradients are clipped to this global norm, above 0.
    pub max_gradient_norm: f64,
    /// Steps between saved states, at least 1.
    pub checkpoint_every: usize,
}

impl OptimizerRecipe {
    /// The keys that are numbers, and those that are whole numbers.
    pub(super) const NUMBERS: [&str; 4] = [
        "learning_rate",
        "warmup",
        "weight_decay",
        "max_gradient_norm",
    ];
    /// See [`OptimizerRecipe::NUMBERS`].
    pub(super) const WHOLE_NUMBERS: [&str; 1] = ["checkpoint_every"];

    pub(super) fn checks(&self, table: &str) -> Vec<Check> {
        of_table(
            table,
            [
                (
                    "learning_rate",
                    positive(self.learning_rate),
                    "a positive number",
                ),
                ("warmup", below_one(self.warmup), "a fraction in [0, 1)"),
                ("weight_decay", share(self.weight_decay), "0 to 1"),
                (
                    "max_gradient_norm",
                    positive(self.max_gradient_norm),
                    "a positive number",
                ),
                ("checkpoint_every", self.checkpoint_every > 0, "at least 1"),
            ],
        )
    }
}

//! What the training loop asks of a network, whatever its family.

use std::path::Path;

use tch::Tensor;

use crate::error::TrainError;
use crate::model::gradients::Gradients;
use crate::model::layout::Weights;
use crate::recipe::ComputeRecipe;

/// A network that is trained: a decoder or an encoder.
pub(crate) trait Network: Sized {
    /// The parameters that training changes, in one buffer.
    fn weights(&self) -> &Weights;

    /// See [`Network::weights`].
    fn weights_mut(&mut self) -> &mut Weights;

    /// The same network over other parameters of the same layout; it records no gradients.
    fn over_weights(&self, weights: Weights) -> Self;

    /// The network that is trained: over the same 32-bit weights, or over a copy in fewer bits. It
    /// records gradients.
    fn working(&self, compute: ComputeRecipe) -> Self;

    /// Adds the gradients of `loss`, `[]`, to `sum`; the loss is that of this network's passes,
    /// which is a [`Network::working`].
    fn backward(&self, loss: &Tensor, sum: &mut Gradients);
}

/// A network with a classifier on top.
pub(crate) trait Classifier: Network {
    /// Logits `[B, outputs]` in 32 bits of B rows of T tokens, padded on the right; row b has
    /// `lengths[b]` real ones.
    fn logits(&self, ids: &[i32], lengths: &[i32], tokens: usize) -> Tensor;

    /// Draws the classifier anew.
    fn reset_classifier(&mut self, seed: u64);

    /// Writes a Hugging Face folder: the network, the file `tokenizer`, logits of the inputs
    /// `golden` that an export must reproduce, and `guard`, which its manifest takes over. `labels`
    /// names the outputs.
    ///
    /// # Errors
    /// A file that cannot be written.
    fn save(
        &self,
        folder: &Path,
        labels: &[String],
        tokenizer: &Path,
        golden: &[Vec<i32>],
        guard: &serde_json::Value,
    ) -> Result<(), TrainError>;
}

//! What forward passes leave for a backward pass that computes layers again.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Tensor;

use super::positions::Positions;

/// Forward passes that no backward pass has used yet. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordedPasses(Arc<Mutex<Vec<ForwardPass>>>);

/// One forward pass.
#[derive(Debug)]
pub(crate) struct ForwardPass {
    /// The tokens, row by row.
    pub ids: Vec<i32>,
    /// Their positions and mask.
    pub positions: Positions,
    /// What entered each layer, `[N, C]` each.
    pub inputs: Vec<Tensor<2>>,
    /// What left the last layer, `[N, C]`: where the recorded graph begins.
    pub output: Tensor<2>,
}

impl RecordedPasses {
    pub(super) fn push(&self, pass: ForwardPass) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(pass);
    }

    /// Removes and returns all passes, in the order in which they were made.
    pub(crate) fn take(&self) -> Vec<ForwardPass> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

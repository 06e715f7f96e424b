//! A decoder as a network that is trained, and as a classifier.

use std::path::Path;

use tch::Tensor;

use super::Decoder;
use crate::error::TrainError;
use crate::model::backward::backward;
use crate::model::gradients::Gradients;
use crate::model::hugging_face::save_hugging_face;
use crate::model::layout::Weights;
use crate::model::network::{Classifier, Network};
use crate::recipe::ComputeRecipe;

impl Network for Decoder {
    fn weights(&self) -> &Weights {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut Weights {
        &mut self.weights
    }

    fn over_weights(&self, weights: Weights) -> Self {
        Self::over(&self.shape, self.vocabulary, weights)
    }

    fn working(&self, compute: ComputeRecipe) -> Self {
        self.working(compute)
    }

    fn backward(&self, loss: &Tensor, sum: &mut Gradients) {
        backward(self, loss, sum);
    }
}

impl Classifier for Decoder {
    fn logits(&self, ids: &[i32], lengths: &[i32], tokens: usize) -> Tensor {
        self.logits(ids, lengths, tokens)
    }

    fn reset_classifier(&mut self, seed: u64) {
        self.reset_score(seed);
    }

    fn save(
        &self,
        folder: &Path,
        labels: &[String],
        tokenizer: &Path,
        golden: &[Vec<i32>],
        guard: &serde_json::Value,
    ) -> Result<(), TrainError> {
        save_hugging_face((folder, labels), self, tokenizer, golden, guard)
    }
}

//! An encoder as a classifier.

use std::path::Path;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use super::folder::save_encoder;
use super::parameters::normal;
use super::{Encoder, affine};
use crate::error::TrainError;
use crate::model::network::Classifier;

impl Classifier for Encoder {
    fn logits(&self, ids: &[i32], lengths: &[i32], tokens: usize) -> Tensor {
        let (b, t, c) = (
            lengths.len() as i64,
            tokens as i64,
            self.shape.hidden as i64,
        );
        let device = self.device();
        let ids = Tensor::from_slice(ids)
            .to_device(device)
            .to_kind(Kind::Int64);
        let counts = Tensor::from_slice(lengths).to_device(device).view([b, 1]);
        let is_padded = lengths.iter().any(|&length| length as usize != tokens);
        let places = Tensor::arange(t, (Kind::Int, device));
        let padding = places.ge_tensor(&counts); // [B, T]
        let mask = is_padded.then(|| {
            let zeros = Tensor::zeros([b, t], (Kind::Float, device));
            zeros
                .masked_fill(&padding, f64::NEG_INFINITY)
                .view([b, 1, 1, t])
        });
        let hidden = self.hidden(&ids, [b, t], mask.as_ref()).view([b, t, c]);
        let real = padding.logical_not().to_kind(Kind::Float).view([b, 1, t]);
        let mean = real.matmul(&hidden).view([b, c]) / counts.to_kind(Kind::Float);
        affine(&self.dropped(mean), &self.classifier)
    }

    fn reset_classifier(&mut self, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let [weight, bias] = &mut self.classifier;
        let values = Tensor::from_slice(&normal(weight.value.numel(), &mut rng));
        weight.value.copy_(&values.view_as(&weight.value));
        let _ = bias.value.zero_();
    }

    fn save(
        &self,
        folder: &Path,
        labels: &[String],
        tokenizer: &Path,
        golden: &[Vec<i32>],
        guard: &serde_json::Value,
    ) -> Result<(), TrainError> {
        save_encoder(folder, self, labels, tokenizer, golden, guard)
    }
}

//! Stage 0: language-model pre-training, the stand-in for a pretrained base.

use std::collections::{BTreeMap, HashMap};

use burn::tensor::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::batch::PretrainStream;
use crate::decoder::Decoder;
use crate::loss::language_model_loss;
use crate::stage::Stage;

/// Next-token prediction over packed rows.
pub struct Pretrain {
    stream: PretrainStream,
    negatives: usize,
    vocabulary: usize,
    seed: u64,
    device: Device,
}

impl Pretrain {
    /// `negatives` random tokens join the batch's own in the softmax; 0 uses the whole vocabulary.
    pub fn new(
        stream: PretrainStream,
        negatives: usize,
        vocabulary: usize,
        seed: u64,
        device: Device,
    ) -> Self {
        Self {
            stream,
            negatives,
            vocabulary,
            seed,
            device,
        }
    }

    /// The softmax's tokens, and each target's place among them.
    fn candidates(&self, targets: &[i32], index: usize) -> (Vec<i32>, Vec<i32>) {
        if self.negatives == 0 {
            return ((0..self.vocabulary as i32).collect(), targets.to_vec());
        }
        let mut candidates = Vec::new();
        let mut places: HashMap<i32, i32> = HashMap::new();
        let mut place = |token: i32, candidates: &mut Vec<i32>| {
            *places.entry(token).or_insert_with(|| {
                candidates.push(token);
                candidates.len() as i32 - 1
            })
        };
        let targets = targets.iter().map(|&t| place(t, &mut candidates)).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(
            self.seed ^ (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        );
        for _ in 0..self.negatives {
            place(rng.random_range(0..self.vocabulary as i32), &mut candidates);
        }
        (candidates, targets)
    }
}

impl Stage for Pretrain {
    fn loss(&mut self, decoder: &Decoder, index: usize) -> (Tensor<1>, usize) {
        let batch = self.stream.batch(index);
        let (candidates, targets) = self.candidates(&batch.targets, index);
        let hidden = decoder.hidden(&batch.ids, batch.rows, batch.tokens);
        let loss = language_model_loss(
            hidden,
            decoder.embedding(),
            &candidates,
            &targets,
            &self.device,
        );
        (loss, batch.ids.len())
    }

    fn validate(&self, _decoder: &Decoder) -> Option<BTreeMap<String, f64>> {
        None
    }
}

//! Stage 0: language-model pre-training, the stand-in for a pretrained base.

use burn::tensor::{Device, Tensor};

use crate::data::packed::PretrainStream;
use crate::model::decoder::Decoder;
use crate::train::loss::{SampledVocabulary, language_model_loss};
use crate::train::stage::Stage;

/// Next-token prediction over packed rows.
pub(crate) struct PretrainStage {
    stream: PretrainStream,
    negatives: usize,
    vocabulary: usize,
    seed: u64,
    device: Device,
}

impl PretrainStage {
    /// `negatives` random tokens join the batch's own in the softmax; 0 uses the whole vocabulary.
    pub(crate) fn new(
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
}

impl Stage for PretrainStage {
    fn loss(&mut self, decoder: &Decoder, index: usize) -> (Tensor<1>, usize) {
        let batch = self.stream.batch(index);
        let seed = self.seed ^ (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let sampled =
            SampledVocabulary::draw(&batch.targets, self.negatives, self.vocabulary, seed);
        let hidden = decoder.hidden(&batch.ids, batch.rows, batch.tokens);
        let loss = language_model_loss(hidden, decoder.head(), sampled, &self.device);
        (loss, batch.ids.len())
    }
}

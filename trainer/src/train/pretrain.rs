//! Stage 0: language-model pre-training, the stand-in for a pretrained base.

use tch::Tensor;

use crate::data::packed::PretrainStream;
use crate::model::decoder::Decoder;
use crate::model::head::SampledVocabulary;
use crate::train::loss::language_model_loss;
use crate::train::stage::Stage;

/// Next-token prediction over packed rows.
pub(crate) struct PretrainStage {
    stream: PretrainStream,
    negatives: usize,
    vocabulary: usize,
    seed: u64,
}

impl PretrainStage {
    /// `negatives` random tokens join the batch's own in the softmax; 0 uses the whole vocabulary.
    pub(crate) fn new(
        stream: PretrainStream,
        negatives: usize,
        vocabulary: usize,
        seed: u64,
    ) -> Self {
        Self {
            stream,
            negatives,
            vocabulary,
            seed,
        }
    }
}

impl Stage for PretrainStage {
    fn loss(&mut self, decoder: &Decoder, index: usize) -> (Tensor, usize) {
        let batch = self.stream.batch(index);
        let seed = self.seed ^ (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let sampled =
            SampledVocabulary::draw(&batch.targets, self.negatives, self.vocabulary, seed);
        let hidden = decoder.hidden(&batch.ids, [batch.rows, batch.tokens], None);
        let loss = language_model_loss(decoder, &hidden, &sampled);
        (loss, batch.ids.len())
    }
}

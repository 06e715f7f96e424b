//! Stage 0: language-model pre-training, the stand-in for a pretrained base.

use crate::data::packed::PretrainStream;
use crate::distributed::Share;
use crate::model::decoder::Decoder;
use crate::model::head::SampledVocabulary;
use crate::train::loss::language_model_loss;
use crate::train::stage::{BatchLoss, Stage};

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
    fn loss(&mut self, decoder: &Decoder, index: usize, share: Share) -> BatchLoss {
        let batch = self.stream.batch(index);
        let seed = self.seed ^ (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // Every process draws for the whole batch: the softmax is the same, however it is cut.
        let mut sampled =
            SampledVocabulary::draw(&batch.targets, self.negatives, self.vocabulary, seed);
        let rows: Vec<usize> = share.rows(batch.rows).collect();
        let width = batch.tokens;
        let own = (!rows.is_empty()).then(|| {
            let of_rows = |values: &[i32]| -> Vec<i32> {
                let of_row = |&row: &usize| &values[row * width..][..width];
                rows.iter().flat_map(of_row).copied().collect()
            };
            sampled.targets = of_rows(&sampled.targets);
            let hidden = decoder.hidden(&of_rows(&batch.ids), [rows.len(), width], None);
            let mean = language_model_loss(decoder, &hidden, &sampled);
            share.of_mean(mean, rows.len(), batch.rows)
        });
        BatchLoss {
            own,
            tokens: batch.ids.len(),
        }
    }
}

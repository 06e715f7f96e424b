//! The last stage of an encoder: its language head alone learns, over what the trained layers say.
//!
//! Beside the categories the head sees too few texts in most languages. Alone it costs no backward
//! pass, and its texts are drawn evenly from all languages.

use crate::data::batch::Batcher;
use crate::distributed::Share;
use crate::model::encoder::Encoder;
use crate::model::layout::CATEGORIES;
use crate::model::network::Classifier;
use crate::train::classifier::language_head_loss;
use crate::train::stage::{BatchLoss, Stage};

/// The stage of the language head.
pub(crate) struct LanguageStage<'a> {
    batcher: Batcher<'a>,
}

impl<'a> LanguageStage<'a> {
    /// Trains on `batcher`'s batches.
    pub(crate) fn new(batcher: Batcher<'a>) -> Self {
        Self { batcher }
    }
}

impl Stage<Encoder> for LanguageStage<'_> {
    fn loss(&mut self, network: &Encoder, index: usize, share: Share) -> BatchLoss {
        let batch = self.batcher.batch(index);
        let (in_known_language, tokens) = (batch.in_known_language(), batch.real_tokens);
        let batch = batch.part(share);
        let own = (!batch.lengths.is_empty()).then(|| {
            let logits = network.logits(&batch.ids, &batch.lengths, batch.tokens);
            let first = CATEGORIES as i64;
            let languages = logits.narrow(1, first, logits.size()[1] - first);
            language_head_loss(&languages, &batch, share, in_known_language)
        });
        BatchLoss { own, tokens }
    }
}

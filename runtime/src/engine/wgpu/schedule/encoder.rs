//! What an encoder's forward pass does.

use super::{Schedule, Slot, Step, Tokens, quads};
use crate::bundle::Pooling;
use crate::engine::wgpu::shaders::{Mode, Products, Sight};
use crate::network::Matrix;
use crate::network::encoder::{Activation, Encoder, Layer};

impl Encoder<'_> {
    /// All matrices but the embedding, in the order in which they are used.
    pub(in super::super) fn matrices(&self) -> Vec<&Matrix<'_>> {
        let mut matrices = Vec::with_capacity(self.layers.len() * 5 + 2);
        for layer in &self.layers {
            matrices.extend(&layer.attention_input);
            matrices.extend([&layer.attention_output, &layer.up, &layer.down]);
        }
        matrices.extend(&self.pooler);
        matrices.push(&self.score);
        matrices
    }

    /// All norms, in the order in which they are used, each with its terms after its factors.
    pub(in super::super) fn norms(&self) -> Vec<Vec<u8>> {
        let layers = self.layers.iter();
        let layers = layers.flat_map(|layer| [layer.attention_norm, layer.norm]);
        let all = [self.embeddings_norm].into_iter().chain(layers);
        all.map(|norm| [norm.weight, norm.bias].concat()).collect()
    }

    /// The steps of a forward pass with bindings of at most `binding_bytes`; `None` if not even one
    /// quad of outputs fits, or not the positions.
    pub(in super::super) fn schedule(
        &self,
        binding_bytes: usize,
        products: Products,
    ) -> Option<Vec<Step>> {
        if self.positions.len() > binding_bytes {
            return None;
        }
        let mut schedule = Schedule::new(binding_bytes, products);
        schedule.embed(&self.embedding, true)?;
        schedule.normalise(Tokens::All);
        for (index, layer) in self.layers.iter().enumerate() {
            let is_last = index + 1 == self.layers.len();
            let judged = match self.form.pooling {
                Pooling::FirstToken if is_last => Tokens::First,
                _ => Tokens::All,
            };
            schedule.layer(layer, judged, self.form.activation)?;
        }
        let mut pooled = match self.form.pooling {
            Pooling::FirstToken => (Slot::Residual, Tokens::First),
            Pooling::Mean => {
                schedule.steps.push(Step::Pool);
                (Slot::Pooled, Tokens::All)
            }
            // No encoder's: see `Form`.
            Pooling::LastToken => (Slot::Residual, Tokens::Last),
        };
        if let Some(pooler) = &self.pooler {
            let query = (Slot::Query, Tokens::All);
            schedule.linear(pooler, Mode::Tanh, pooled, query, 0)?;
            pooled = query;
        }
        let logits = (Slot::Logits, Tokens::All);
        schedule.linear(&self.score, Mode::Plain, pooled, logits, 0)?;
        Some(schedule.steps)
    }
}

impl Schedule {
    fn normalise(&mut self, tokens: Tokens) {
        let norm = self.next_norm();
        let is_first = tokens == Tokens::First;
        self.steps.push(Step::Norm { norm, is_first });
    }

    /// A layer, of which the tokens that are `judged` go on.
    fn layer(&mut self, layer: &Layer<'_>, judged: Tokens, activation: Activation) -> Option<()> {
        let all = (Slot::Residual, Tokens::All);
        let packed = (Slot::Packed, Tokens::All);
        let residual = (Slot::Residual, judged);
        let is_last = judged != Tokens::All;
        match &layer.attention_input[..] {
            [input] if !is_last => self.linear(input, Mode::Plain, all, packed, 0)?,
            [query, kv] if is_last => {
                let y = (Slot::Query, Tokens::All);
                self.linear(query, Mode::Plain, residual, y, 0)?;
                self.linear(kv, Mode::Plain, all, packed, quads(query.columns.len()))?;
            }
            _ => return None,
        }
        let sight = Sight::All;
        self.steps.push(Step::Attention { is_last, sight });
        let mixed = (Slot::Mixed, Tokens::All);
        self.linear(&layer.attention_output, Mode::Add, mixed, residual, 0)?;
        self.normalise(judged);
        let inner = (Slot::Inner, Tokens::All);
        let up = match activation {
            Activation::Gelu => Mode::Gelu,
            Activation::GeluTanh => Mode::GeluTanh,
        };
        self.linear(&layer.up, up, residual, inner, 0)?;
        self.linear(&layer.down, Mode::Add, inner, residual, 0)?;
        self.normalise(judged);
        Some(())
    }
}

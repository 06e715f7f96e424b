//! A small made-up encoder, as a file.

use super::Format;
use super::encoder::{Activation, Form};
use super::sample::{EPSILON, Sample, Tensors};
use crate::bundle::Pooling;

impl Sample {
    /// The bytes of the `weights.data` of an encoder of this shape.
    pub(crate) fn encoder_file(&self, pooling: Pooling, has_pooler: bool) -> Vec<u8> {
        let mut tensors = Tensors::default();
        let (hidden, inner) = (self.heads * self.head_size, self.intermediate);
        let table = [self.vocabulary, hidden];
        tensors.matrix("embedding", table, self.embedding, self.vocabulary);
        let places = [self.max_position, hidden];
        tensors.matrix("position", places, Format::F32, 0);
        norm(&mut tensors, "embeddings_norm", hidden);
        for layer in 0..self.layers {
            let own = |name: &str| format!("layers.{layer}.{name}");
            let splits = layer + 1 == self.layers && pooling == Pooling::FirstToken;
            let inputs: &[(&str, usize)] = match splits {
                true => &[("q", hidden), ("kv", 2 * hidden)],
                false => &[("qkv", 3 * hidden)],
            };
            let fed = [("up", inner)];
            for (name, outputs) in inputs.iter().chain(&fed) {
                let name = own(name);
                tensors.projection(&name, [hidden, *outputs], self);
                tensors.vector(&format!("{name}.bias"), *outputs, 0.0);
            }
            tensors.projection(&own("attention_output"), [hidden, hidden], self);
            tensors.projection(&own("down"), [inner, hidden], self);
            if self.outliers.is_some_and(|outliers| outliers < inner) {
                tensors.floats(&own("down.shift"), &[1], [0.2]);
                tensors.vector(&own("down.shifted"), hidden, 0.0);
            }
            for name in ["attention_norm", "norm"] {
                norm(&mut tensors, &own(name), hidden);
                let bias = own(&format!("{name}.projection_bias"));
                tensors.vector(&bias, hidden, 0.0);
            }
        }
        let pooler = has_pooler.then_some(("pooler", hidden));
        for (name, outputs) in pooler.into_iter().chain([("logits", self.categories)]) {
            tensors.matrix(name, [hidden, outputs], Format::F32, outputs);
            tensors.vector(&format!("{name}.bias"), outputs, 0.0);
        }
        tensors.file()
    }

    /// What the file does not tell.
    pub(crate) fn encoder_form(&self, pooling: Pooling, activation: Activation) -> Form {
        Form {
            epsilon: EPSILON,
            heads: self.heads,
            activation,
            pooling,
        }
    }
}

fn norm(tensors: &mut Tensors, name: &str, hidden: usize) {
    tensors.vector(&format!("{name}.weight"), hidden, 1.0);
    tensors.vector(&format!("{name}.bias"), hidden, 0.0);
}

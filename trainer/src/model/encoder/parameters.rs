//! An encoder's parameters as views of its weights.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::shape::EncoderShape;
use crate::model::decoder::Leaf;

/// Standard deviation of a freshly drawn classifier, as in the reference code of BERT.
const INITIAL_DEVIATION: f32 = 0.02;

/// The parameters of a layer: weight `[outputs, inputs]` and bias of each part.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Queries, then keys, then values.
    pub(super) qkv: [Leaf; 2],
    pub(super) output: [Leaf; 2],
    pub(super) attention_norm: [Leaf; 2],
    pub(super) up: [Leaf; 2],
    pub(super) down: [Leaf; 2],
    pub(super) output_norm: [Leaf; 2],
}

impl Layer {
    /// The parameters of layer `layer`, each made by `leaf` from its name and dimensions.
    pub(super) fn new(
        shape: &EncoderShape,
        layer: usize,
        leaf: impl Fn(&str, &[i64]) -> Leaf,
    ) -> Self {
        let c = shape.hidden as i64;
        let f = shape.intermediate as i64;
        let part = |name: &str, kind: &str, dims: &[i64]| {
            leaf(&format!("bert.encoder.layer.{layer}.{name}.{kind}"), dims)
        };
        let linear = |name: &str, outputs: i64, inputs: i64| {
            [
                part(name, "weight", &[outputs, inputs]),
                part(name, "bias", &[outputs]),
            ]
        };
        let norm = |name: &str| ["weight", "bias"].map(|kind| part(name, kind, &[c]));
        Self {
            qkv: linear("attention.self.query", 3 * c, c),
            output: linear("attention.output.dense", c, c),
            attention_norm: norm("attention.output.LayerNorm"),
            up: linear("intermediate.dense", f, c),
            down: linear("output.dense", c, f),
            output_norm: norm("output.LayerNorm"),
        }
    }

    /// All of them.
    pub(super) fn leaves(&self) -> impl Iterator<Item = &Leaf> {
        let Self {
            qkv,
            output,
            attention_norm,
            up,
            down,
            output_norm,
        } = self;
        [qkv, output, attention_norm, up, down, output_norm]
            .into_iter()
            .flatten()
    }

    pub(super) fn leaves_mut(&mut self) -> impl Iterator<Item = &mut Leaf> {
        let Self {
            qkv,
            output,
            attention_norm,
            up,
            down,
            output_norm,
        } = self;
        [qkv, output, attention_norm, up, down, output_norm]
            .into_iter()
            .flatten()
    }
}

/// Normal numbers (Box-Muller from the seeded generator).
pub(super) fn normal(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let draw = |_| {
        let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
        radius * (std::f32::consts::TAU * rng.random::<f32>()).cos() * INITIAL_DEVIATION
    };
    (0..count).map(draw).collect()
}

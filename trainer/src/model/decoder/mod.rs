//! The network, once, for both players: a Qwen2-shaped causal decoder.
//!
//! Shapes: B rows, T tokens, C hidden, H query heads, K key/value heads, G = H / K,
//! D = C / H, F intermediate, V vocabulary, N = B x T.
//!
//! Activations stay two-dimensional, [N, C], through every linear layer: on the CPU
//! backend that is a third faster than three dimensions. No padding mask is needed:
//! rows are padded on the right, attention is causal, and nothing reads a padded position.
//!
//! It computes in the type of its parameters, 32-bit or bfloat16. Sums that many small numbers go
//! into are taken in 32 bits either way: the mean square of a norm, the softmax, the gradient of
//! the embedding, the classifier's logits.

mod cache;
mod parameter;
mod passes;
mod positions;

use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData, activation};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::recipe::ModelRecipe;

pub(crate) use cache::Cache;
pub(crate) use parameter::Parameter;
use parameter::initial_values;
pub(crate) use passes::{ForwardPass, RecordedPasses};
pub(crate) use positions::Positions;

/// The number of unsafe categories, and of the classifier's logits.
pub(crate) const CATEGORIES: usize = 12;

/// The decoder's parameters and shape.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    /// The shape it was built with.
    pub shape: ModelRecipe,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// All parameters, in a fixed order: embedding, the layers, final norm, score.
    pub parameters: Vec<Parameter>,
    /// Where [`Decoder::hidden`] records what a backward pass recomputes layers from; without it,
    /// the framework keeps every activation.
    pub recorded: Option<RecordedPasses>,
}

/// Indices of a layer's parameters, relative to the layer's first one.
const INPUT_NORM: usize = 0;
const QKV: usize = 1;
const QKV_BIAS: usize = 2;
const ATTENTION_OUTPUT: usize = 3;
const POST_NORM: usize = 4;
const GATE_UP: usize = 5;
const DOWN: usize = 6;
/// Parameters in one layer.
pub(crate) const PER_LAYER: usize = 7;

impl Decoder {
    /// A decoder with freshly drawn weights; the same seed gives the same weights.
    pub(crate) fn new(shape: &ModelRecipe, vocabulary: usize, seed: u64, device: &Device) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let parameters = Self::layout(shape, vocabulary)
            .into_iter()
            .map(|(name, [rows, columns])| {
                let values = initial_values(&name, rows * columns, shape.layers, &mut rng);
                Parameter::new(name, values, [rows, columns], device)
            })
            .collect();
        Self {
            shape: shape.clone(),
            vocabulary,
            parameters,
            recorded: None,
        }
    }

    /// The same network in another type of float, ready to be trained.
    pub(crate) fn cast(&self, dtype: FloatDType) -> Self {
        let mut result = self.clone();
        for parameter in &mut result.parameters {
            let value = parameter.value.clone().inner().cast(dtype);
            parameter.value = Tensor::from_inner(value).require_grad();
        }
        result
    }

    /// Names and shapes of every parameter, in order.
    pub(crate) fn layout(shape: &ModelRecipe, vocabulary: usize) -> Vec<(String, [usize; 2])> {
        let c = shape.hidden;
        let kv = shape.kv_heads * shape.head_size();
        let mut layout = vec![("embedding".to_owned(), [vocabulary, c])];
        for layer in 0..shape.layers {
            for (name, dims) in [
                ("input_norm", [1, c]),
                ("qkv", [c, c + 2 * kv]),
                ("qkv_bias", [1, c + 2 * kv]),
                ("attention_output", [c, c]),
                ("post_norm", [1, c]),
                ("gate_up", [c, 2 * shape.intermediate]),
                ("down", [shape.intermediate, c]),
            ] {
                layout.push((format!("layers.{layer}.{name}"), dims));
            }
        }
        layout.push(("norm".to_owned(), [1, c]));
        if !shape.tied {
            layout.push(("head".to_owned(), [vocabulary, c]));
        }
        layout.push(("score".to_owned(), [c, CATEGORIES]));
        layout
    }

    /// The token embedding `[V, C]`.
    pub(crate) fn embedding(&self) -> &Tensor<2> {
        &self.parameters[0].value
    }

    /// The weight of the norm after the last layer, `[1, C]`.
    pub(crate) fn norm(&self) -> &Parameter {
        &self.parameters[1 + self.shape.layers * PER_LAYER]
    }

    /// The language-model head `[V, C]`: the embedding, unless the network has one of its own.
    pub(crate) fn head(&self) -> &Tensor<2> {
        match self.shape.tied {
            true => self.embedding(),
            false => &self.parameters[self.parameters.len() - 2].value,
        }
    }

    /// The same network without a head of its own, for a classifier to start from.
    pub(crate) fn without_head(mut self) -> Self {
        if !self.shape.tied {
            self.parameters.remove(self.parameters.len() - 2);
            self.shape.tied = true;
        }
        self
    }

    /// The classifier head `[C, 12]`.
    pub(crate) fn score(&self) -> &Tensor<2> {
        &self.parameters[self.parameters.len() - 1].value
    }

    /// Draws the classifier head anew: a new player starts from the pretrained body.
    pub(crate) fn reset_score(&mut self, seed: u64, device: &Device) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let dims = [self.shape.hidden, CATEGORIES];
        let values = initial_values("score", dims[0] * dims[1], self.shape.layers, &mut rng);
        let last = self.parameters.len() - 1;
        self.parameters[last] = Parameter::new("score".to_owned(), values, dims, device);
    }

    fn weight(&self, layer: usize, index: usize) -> Tensor<2> {
        self.parameters[1 + layer * PER_LAYER + index].value.clone()
    }

    /// Hidden states `[N, C]` after the final norm. `ids` holds B x T tokens, row by row.
    pub(crate) fn hidden(&self, ids: &[i32], rows: usize, tokens: usize) -> Tensor<2> {
        match &self.recorded {
            Some(passes) => self.hidden_recorded(passes, ids, rows, tokens),
            None => self.forward(ids, rows, tokens, &mut Cache::default()),
        }
    }

    /// [`Decoder::hidden`] without a graph below the last layer; `passes` gets what enters each
    /// layer.
    fn hidden_recorded(
        &self,
        passes: &RecordedPasses,
        ids: &[i32],
        rows: usize,
        tokens: usize,
    ) -> Tensor<2> {
        let plain = self.without_gradients();
        let positions = plain.positions(0, [rows, tokens]);
        let mut x = plain.embed(ids);
        let mut inputs = Vec::with_capacity(plain.shape.layers);
        for layer in 0..plain.shape.layers {
            inputs.push(x.clone());
            x = plain.layer(layer, x, &positions, &mut Cache::default());
        }
        let output = Tensor::from_inner(x).require_grad();
        passes.push(ForwardPass {
            ids: ids.to_vec(),
            positions,
            inputs,
            output: output.clone(),
        });
        self.last_norm(output)
    }

    fn positions(&self, past: usize, size: [usize; 2]) -> Positions {
        let embedding = self.embedding();
        let device = embedding.device().without_autodiff();
        Positions::new(&self.shape, past, size, embedding.dtype().into(), &device)
    }

    /// The same weights without gradient recording, for scoring and for generation.
    pub(crate) fn without_gradients(&self) -> Self {
        let mut result = self.clone();
        for parameter in &mut result.parameters {
            parameter.value = parameter.value.clone().inner();
        }
        result.recorded = None;
        result
    }

    /// [`Decoder::hidden`] of the tokens that follow those in `cache`, which then holds them too.
    pub(crate) fn forward(
        &self,
        ids: &[i32],
        rows: usize,
        tokens: usize,
        cache: &mut Cache,
    ) -> Tensor<2> {
        let positions = self.positions(cache.tokens, [rows, tokens]);
        let mut x = self.embed(ids);
        for layer in 0..self.shape.layers {
            x = self.layer(layer, x, &positions, cache);
        }
        cache.tokens += tokens;
        self.last_norm(x)
    }

    /// The embeddings `[N, C]` of tokens.
    pub(crate) fn embed(&self, ids: &[i32]) -> Tensor<2> {
        let embedding = self.embedding().clone();
        let ids = Tensor::<1, Int>::from_data(
            TensorData::new(ids.to_vec(), [ids.len()]),
            &embedding.device(),
        );
        let dtype = FloatDType::from(embedding.dtype());
        // A frequent token's gradient is a sum over hundreds of positions, which 8 bits of mantissa
        // would cut off.
        embedding.cast(FloatDType::F32).select(0, ids).cast(dtype)
    }

    /// One layer: `[N, C]` to `[N, C]`.
    pub(crate) fn layer(
        &self,
        layer: usize,
        x: Tensor<2>,
        positions: &Positions,
        cache: &mut Cache,
    ) -> Tensor<2> {
        let normed = rms_norm(
            x.clone(),
            self.weight(layer, INPUT_NORM),
            self.shape.norm_eps,
        );
        let qkv = normed.matmul(self.weight(layer, QKV)) + self.weight(layer, QKV_BIAS);
        let mixed = self.attention(qkv, positions, cache, layer);
        let x = x + mixed.matmul(self.weight(layer, ATTENTION_OUTPUT));
        let normed = rms_norm(
            x.clone(),
            self.weight(layer, POST_NORM),
            self.shape.norm_eps,
        );
        let gate_up = normed.matmul(self.weight(layer, GATE_UP));
        let f = self.shape.intermediate;
        let gate = activation::silu(gate_up.clone().narrow(1, 0, f));
        x + (gate * gate_up.narrow(1, f, f)).matmul(self.weight(layer, DOWN))
    }

    /// The norm after the last layer.
    pub(crate) fn last_norm(&self, x: Tensor<2>) -> Tensor<2> {
        rms_norm(x, self.norm().value.clone(), self.shape.norm_eps)
    }

    /// Classifier logits `[B, 12]` in 32 bits: the head on each row's last real token.
    pub(crate) fn logits(&self, ids: &[i32], lengths: &[i32], tokens: usize) -> Tensor<2> {
        let hidden = self.hidden(ids, lengths.len(), tokens);
        let last: Vec<i32> = lengths
            .iter()
            .enumerate()
            .map(|(row, &length)| (row * tokens) as i32 + length - 1)
            .collect();
        let device = self.embedding().device();
        let last = Tensor::<1, Int>::from_data(TensorData::new(last, [lengths.len()]), &device);
        let score = self.score().clone().cast(FloatDType::F32);
        hidden.select(0, last).cast(FloatDType::F32).matmul(score)
    }

    /// Grouped-query attention. The G query heads that share a key head are laid one
    /// after the other along the query axis, so keys and values are never repeated.
    fn attention(
        &self,
        qkv: Tensor<2>,
        positions: &Positions,
        cache: &mut Cache,
        layer: usize,
    ) -> Tensor<2> {
        let (h, k, d) = (
            self.shape.heads,
            self.shape.kv_heads,
            self.shape.head_size(),
        );
        let g = h / k;
        let [b, t] = positions.size;
        let dtype = FloatDType::from(qkv.dtype());
        let heads = |from: usize, count: usize| {
            qkv.clone()
                .narrow(1, from * d, count * d)
                .reshape([b, t, count, d])
                .swap_dims(1, 2)
        };
        let q = positions
            .rope
            .rotate(heads(0, h))
            .reshape([b * k, g * t, d]);
        let keys = positions.rope.rotate(heads(h, k)).reshape([b * k, t, d]);
        let values = heads(h + k, k).reshape([b * k, t, d]);
        let (keys, values) = cache.extend(layer, keys, values);
        let scores = q
            .matmul(keys.swap_dims(1, 2))
            .cast(FloatDType::F32)
            .mul_scalar(1.0 / (d as f32).sqrt())
            + positions.mask.clone();
        let mixed = activation::softmax(scores, 2).cast(dtype).matmul(values);
        mixed
            .reshape([b, h, t, d])
            .swap_dims(1, 2)
            .reshape([b * t, h * d])
    }
}

fn rms_norm(x: Tensor<2>, weight: Tensor<2>, eps: f64) -> Tensor<2> {
    let dtype = FloatDType::from(x.dtype());
    let x = x.cast(FloatDType::F32);
    let scale = x
        .clone()
        .square()
        .mean_dim(1)
        .add_scalar(eps)
        .sqrt()
        .recip();
    (x * scale * weight.cast(FloatDType::F32)).cast(dtype)
}

#[cfg(test)]
mod tests;

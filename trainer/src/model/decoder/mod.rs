//! The network, once, for both players: a Qwen2-shaped causal decoder.
//!
//! Shapes: B rows, T tokens, C hidden, H query heads, K key/value heads, G = H / K,
//! D = C / H, F intermediate, V vocabulary, N = B x T.
//!
//! Activations stay two-dimensional, [N, C], through every linear layer: on the CPU
//! backend that is a third faster than three dimensions. No padding mask is needed:
//! rows are padded on the right, attention is causal, and nothing reads a padded place.
//!
//! It computes in the type of its parameters, 32-bit or bfloat16. Sums that many small numbers go
//! into are taken in 32 bits either way: the mean square of a norm, the softmax, the gradient of
//! the embedding, the classifier's logits.

mod cache;
mod positions;

use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData, activation};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::model::recompute::Recompute;
use crate::recipe::ModelRecipe;

pub use cache::Cache;
pub(crate) use positions::Positions;

/// The number of unsafe categories, and of the classifier's logits.
pub const CATEGORIES: usize = 12;

/// Standard deviation of freshly drawn weights, as in the Qwen2 reference code.
const INITIAL_DEVIATION: f32 = 0.02;

/// One named tensor. Vectors are kept as `[1, n]`, so that every parameter has rank 2
/// and the optimizer and the checkpoint need one code path.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Our name: `embedding`, `layers.3.qkv`, ...
    pub name: String,
    /// The value; linear weights are [inputs, outputs].
    pub value: Tensor<2>,
    /// Whether AdamW decays it (matrices yes; norms and biases no).
    pub decays: bool,
}

/// The decoder's parameters and shape.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// The shape it was built with.
    pub shape: ModelRecipe,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// All parameters, in a fixed order: embedding, the layers, final norm, score.
    pub parameters: Vec<Parameter>,
    /// Where [`Decoder::hidden`] notes what a backward pass recomputes layers from; without one,
    /// the framework keeps every activation.
    pub recompute: Option<Recompute>,
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
pub const PER_LAYER: usize = 7;

impl Decoder {
    /// A decoder with freshly drawn weights; the same seed gives the same weights.
    pub fn new(shape: &ModelRecipe, vocabulary: usize, seed: u64, device: &Device) -> Self {
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
            recompute: None,
        }
    }

    /// The same network in another type of float, ready to be trained.
    pub fn cast(&self, dtype: FloatDType) -> Self {
        let mut result = self.clone();
        for parameter in &mut result.parameters {
            let value = parameter.value.clone().inner().cast(dtype);
            parameter.value = Tensor::from_inner(value).require_grad();
        }
        result
    }

    /// Names and shapes of every parameter, in order.
    pub fn layout(shape: &ModelRecipe, vocabulary: usize) -> Vec<(String, [usize; 2])> {
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
    pub fn embedding(&self) -> &Tensor<2> {
        &self.parameters[0].value
    }

    /// The weight of the norm after the last layer, `[1, C]`.
    pub fn norm(&self) -> &Parameter {
        &self.parameters[1 + self.shape.layers * PER_LAYER]
    }

    /// The language-model head `[V, C]`: the embedding, unless the network has one of its own.
    pub fn head(&self) -> &Tensor<2> {
        match self.shape.tied {
            true => self.embedding(),
            false => &self.parameters[self.parameters.len() - 2].value,
        }
    }

    /// The same network without a head of its own, for a classifier to start from.
    pub fn without_head(mut self) -> Self {
        if !self.shape.tied {
            self.parameters.remove(self.parameters.len() - 2);
            self.shape.tied = true;
        }
        self
    }

    /// The classifier head `[C, 12]`.
    pub fn score(&self) -> &Tensor<2> {
        &self.parameters[self.parameters.len() - 1].value
    }

    /// Draws the classifier head anew: a new player starts from the pretrained body.
    pub fn reset_score(&mut self, seed: u64, device: &Device) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let dims = [self.shape.hidden, CATEGORIES];
        let values = initial_values("score", dims[0] * dims[1], self.shape.layers, &mut rng);
        let last = self.parameters.len() - 1;
        self.parameters[last] = Parameter::new("score".to_owned(), values, dims, device);
    }

    fn weight(&self, layer: usize, place: usize) -> Tensor<2> {
        self.parameters[1 + layer * PER_LAYER + place].value.clone()
    }

    /// Hidden states `[N, C]` after the final norm. `ids` holds B x T tokens, row by row.
    pub fn hidden(&self, ids: &[i32], rows: usize, tokens: usize) -> Tensor<2> {
        match &self.recompute {
            Some(recompute) => recompute.hidden(self, ids, rows, tokens),
            None => self.forward(ids, rows, tokens, &mut Cache::default()),
        }
    }

    /// [`Decoder::hidden`] of the tokens that follow those in `cache`, which then holds them too.
    pub fn forward(&self, ids: &[i32], rows: usize, tokens: usize, cache: &mut Cache) -> Tensor<2> {
        let positions = Positions::new(self, cache.tokens, [rows, tokens]);
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
    pub fn logits(&self, ids: &[i32], lengths: &[i32], tokens: usize) -> Tensor<2> {
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

impl Parameter {
    /// A trainable parameter from host values.
    pub fn new(name: String, values: Vec<f32>, dims: [usize; 2], device: &Device) -> Self {
        let decays = dims[0] > 1;
        let value = Tensor::<2>::from_data(TensorData::new(values, dims), device).require_grad();
        Self {
            name,
            value,
            decays,
        }
    }
}

/// Normal weights (Box-Muller from the seeded generator); norms start at one, biases at zero.
fn initial_values(name: &str, count: usize, layers: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    if name.ends_with("norm") {
        return vec![1.0; count];
    }
    if name.ends_with("bias") {
        return vec![0.0; count];
    }
    // Projections into the residual stream are scaled down with depth (GPT-2).
    let writes_residual = name.ends_with("attention_output") || name.ends_with("down");
    let deviation = if writes_residual {
        INITIAL_DEVIATION / (2.0 * layers as f32).sqrt()
    } else {
        INITIAL_DEVIATION
    };
    (0..count)
        .map(|_| {
            let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
            radius * (std::f32::consts::TAU * rng.random::<f32>()).cos() * deviation
        })
        .collect()
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
mod tests {
    use super::*;
    use crate::train::checkpoint::host;

    fn decoder() -> Decoder {
        let shape = ModelRecipe {
            layers: 2,
            hidden: 24,
            heads: 6,
            kv_heads: 2,
            intermediate: 20,
            max_position: 32,
            rope_theta: 10000.0,
            norm_eps: 1e-6,
            rope_scaling: None,
            tied: true,
        };
        Decoder::new(&shape, 50, 3, &Device::flex().autodiff())
    }

    fn close(a: &[f32], b: &[f32]) {
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }

    #[test]
    fn padding_and_neighbours_do_not_change_a_row() {
        let decoder = decoder();
        let alone = host(&decoder.logits(&[5, 9, 2], &[3], 3));
        let together = host(&decoder.logits(&[5, 9, 2, 0, 0, 7, 7, 8, 1, 4], &[3, 5], 5));
        close(&alone, &together[..CATEGORIES]);
    }

    #[test]
    fn a_later_token_never_changes_an_earlier_place() {
        let decoder = decoder();
        let first = host(&decoder.hidden(&[5, 9, 2, 11], 1, 4));
        let second = host(&decoder.hidden(&[5, 9, 2, 30], 1, 4));
        close(&first[..3 * 24], &second[..3 * 24]);
        assert!(
            first[3 * 24..]
                .iter()
                .zip(&second[3 * 24..])
                .any(|(a, b)| (a - b).abs() > 1e-3)
        );
    }

    #[test]
    fn reading_in_pieces_is_reading_at_once() {
        let decoder = decoder();
        let (first, second) = ([5, 9, 2, 11, 3], [7, 7, 1, 0, 4]);
        let whole = host(&decoder.hidden(&[first, second].concat(), 2, 5));
        let mut cache = Cache::default();
        decoder.forward(&[5, 9, 7, 7], 2, 2, &mut cache);
        // Three rows from here on: the second text twice.
        let mut cache = cache.select(&[1, 0, 1], 2);
        decoder.forward(&[1, 0, 2, 11, 1, 0], 3, 2, &mut cache);
        let last = host(&decoder.forward(&[4, 3, 4], 3, 1, &mut cache));
        assert_eq!(cache.tokens(), 5);
        for (row, place) in [(0, 9), (1, 4), (2, 9)] {
            close(&last[row * 24..][..24], &whole[place * 24..][..24]);
        }
    }

    #[test]
    fn order_matters() {
        let decoder = decoder();
        let (ab, ba) = (
            host(&decoder.logits(&[5, 9, 2], &[3], 3)),
            host(&decoder.logits(&[9, 5, 2], &[3], 3)),
        );
        assert!(ab.iter().zip(&ba).any(|(a, b)| (a - b).abs() > 1e-6));
    }
}

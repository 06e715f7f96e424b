//! The network, once, for both players: a causal decoder of the Qwen2 or Llama family.
//!
//! Shapes: B rows, T tokens, C hidden, H query heads, K key/value heads, D = C / H,
//! F intermediate, V vocabulary, N = B x T, M places that are asked for.
//!
//! No padding mask is needed: rows are padded on the right, attention is causal, and nothing reads
//! a padded place.
//!
//! It computes in the type of its weights, 32-bit or bfloat16. The mean square of a norm, the
//! softmax, the gradient of the embedding, the classifier's logits and every loss are in 32 bits
//! either way.

mod cache;
mod classifier;
mod parameters;
mod passes;
mod rotary;

use std::rc::Rc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tch::kind::Element;
use tch::{Device, Kind, Tensor, no_grad};

use crate::model::layout::{Layout, Weights};
use crate::model::torch::be_deterministic;
use crate::recipe::{ComputeRecipe, ModelRecipe, Precision};

pub(crate) use cache::Cache;
use parameters::initial_values;
pub(crate) use parameters::{Layer, Leaf};
pub(crate) use passes::{ForwardPass, HeadPass, Places, RecordedPasses};
use rotary::Rotary;

/// The decoder's parameters and shape. A clone has a buffer of its own: training one network leaves
/// the other as it is.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// The shape it was built with.
    pub shape: ModelRecipe,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// All parameters.
    pub weights: Weights,
    /// The token embedding `[V, C]`.
    pub embedding: Leaf,
    /// The layers, from the first.
    pub layers: Vec<Layer>,
    /// The weight of the norm after the last layer, `[C]`.
    pub norm: Leaf,
    /// A language-model head of its own; absent where the embedding is it.
    own_head: Option<Leaf>,
    /// The classifier head `[outputs, C]`: the categories, and what is said besides.
    pub score: Leaf,
    /// Where a network that is trained records what the backward pass needs; one without it
    /// records nothing.
    pub recorded: Option<RecordedPasses>,
}

impl Clone for Decoder {
    fn clone(&self) -> Self {
        Self::over(&self.shape, self.vocabulary, self.weights.copy())
    }
}

impl Decoder {
    /// A decoder with freshly drawn weights; the same seed gives the same weights.
    pub(crate) fn new(shape: &ModelRecipe, vocabulary: usize, seed: u64, device: &Device) -> Self {
        let layout = Rc::new(Layout::new(shape, vocabulary));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut values = vec![0.0; layout.elements as usize];
        for entry in &layout.entries {
            let range = entry.offset as usize..(entry.offset + entry.elements()) as usize;
            initial_values(&entry.name, &mut values[range], shape.layers, &mut rng);
        }
        let flat = Tensor::from_slice(&values).to_device(*device);
        Self::over(shape, vocabulary, Weights { layout, flat })
    }

    /// A decoder whose parameters are `weights`; it records no gradients.
    pub(crate) fn over(shape: &ModelRecipe, vocabulary: usize, weights: Weights) -> Self {
        be_deterministic();
        let leaf = |name: &str, dims: &[i64]| {
            let offset = weights.layout.entry(name)?.offset;
            let value = weights.view(offset, dims);
            Some(Leaf { value, offset })
        };
        let need = |name: &str, dims: &[i64]| leaf(name, dims).expect("the layout has the tensor");
        let c = shape.hidden as i64;
        let f = shape.intermediate as i64;
        let v = vocabulary as i64;
        let qkv = c + 2 * (shape.kv_heads * shape.head_size()) as i64;
        let layers = (0..shape.layers).map(|layer| {
            let name = |name: &str| format!("model.layers.{layer}.{name}");
            Layer {
                input_norm: need(&name("input_layernorm.weight"), &[c]),
                qkv: need(&name("self_attn.q_proj.weight"), &[qkv, c]),
                qkv_bias: leaf(&name("self_attn.q_proj.bias"), &[qkv]),
                output: need(&name("self_attn.o_proj.weight"), &[c, c]),
                post_norm: need(&name("post_attention_layernorm.weight"), &[c]),
                gate: need(&name("mlp.gate_proj.weight"), &[f, c]),
                up: need(&name("mlp.up_proj.weight"), &[f, c]),
                down: need(&name("mlp.down_proj.weight"), &[c, f]),
            }
        });
        let score = weights.layout.entry("score.weight");
        let score = score.map_or(Vec::new(), |entry| entry.dims.clone());
        Self {
            shape: shape.clone(),
            vocabulary,
            embedding: need("model.embed_tokens.weight", &[v, c]),
            layers: layers.collect(),
            norm: need("model.norm.weight", &[c]),
            own_head: leaf("lm_head.weight", &[v, c]),
            score: need("score.weight", &score),
            recorded: None,
            weights,
        }
    }

    /// The network that is trained: over the same 32-bit weights, or over a copy in fewer bits. It
    /// records gradients.
    pub(crate) fn working(&self, compute: ComputeRecipe) -> Self {
        let flat = match compute.precision {
            Precision::F32 => self.weights.flat.detach(),
            Precision::Bf16 => self.weights.flat.to_kind(Kind::BFloat16),
        };
        let layout = self.weights.layout.clone();
        let mut working = Self::over(&self.shape, self.vocabulary, Weights { layout, flat });
        working.record_gradients();
        working.recorded = Some(RecordedPasses::new(compute.recompute_layers));
        working
    }

    /// The network that texts are sampled from where that is not this one: a copy in fewer bits.
    pub(crate) fn sampling(&self, precision: Precision) -> Option<Self> {
        let flat = match precision {
            Precision::F32 => return None,
            Precision::Bf16 => self.weights.flat.to_kind(Kind::BFloat16),
        };
        let layout = self.weights.layout.clone();
        let weights = Weights { layout, flat };
        Some(Self::over(&self.shape, self.vocabulary, weights))
    }

    fn record_gradients(&mut self) {
        let layers = self.layers.iter_mut().flat_map(Layer::leaves_mut);
        let others = [&mut self.embedding, &mut self.norm, &mut self.score];
        for leaf in layers.chain(others).chain(&mut self.own_head) {
            leaf.value = leaf.value.set_requires_grad(true);
        }
    }

    /// The language-model head `[V, C]`: the embedding, unless the network has one of its own.
    pub(crate) fn head(&self) -> &Leaf {
        self.own_head.as_ref().unwrap_or(&self.embedding)
    }

    /// The same network without a head of its own, for a classifier to start from.
    pub(crate) fn without_head(self) -> Self {
        if self.shape.tied {
            return self;
        }
        let shape = ModelRecipe {
            tied: true,
            ..self.shape.clone()
        };
        let layout = Layout::new(&shape, self.vocabulary);
        self.laid_out(&shape, layout)
    }

    /// The same network with the first `outputs` outputs of its classifier, and zeros for those
    /// that it does not have.
    pub(crate) fn with_outputs(self, outputs: usize) -> Self {
        let layout = Layout::with_outputs(&self.shape, self.vocabulary, outputs);
        let shape = self.shape.clone();
        self.laid_out(&shape, layout)
    }

    /// The same parameters in another layout: of each as many rows as both have.
    fn laid_out(self, shape: &ModelRecipe, layout: Layout) -> Self {
        let layout = Rc::new(layout);
        let weights = Weights::zeros(layout.clone(), self.weights.flat.device());
        for entry in &layout.entries {
            if let Some(from) = self.weights.layout.entry(&entry.name) {
                let mut dims = entry.dims.clone();
                dims[0] = dims[0].min(from.dims[0]);
                let from = self.weights.view(from.offset, &dims);
                weights.view(entry.offset, &dims).copy_(&from);
            }
        }
        Self::over(shape, self.vocabulary, weights)
    }

    /// Draws the classifier head anew: a new player starts from the pretrained body.
    pub(crate) fn reset_score(&mut self, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let dims = self.score.value.size();
        let mut values = vec![0.0; self.score.value.numel()];
        initial_values("score.weight", &mut values, self.shape.layers, &mut rng);
        let values = Tensor::from_slice(&values).view(dims.as_slice());
        self.score.value.copy_(&values);
    }

    /// Type and device.
    pub(crate) fn options(&self) -> (Kind, Device) {
        (self.weights.flat.kind(), self.weights.flat.device())
    }

    /// Values of the host on the network's device, as they are.
    pub(crate) fn tensor<T: Element>(&self, values: &[T]) -> Tensor {
        Tensor::from_slice(values).to_device(self.weights.flat.device())
    }

    /// Tokens or positions as indices on the network's device.
    pub(crate) fn indices<T: Element>(&self, values: &[T]) -> Tensor {
        self.tensor(values).to_kind(Kind::Int64)
    }

    /// Hidden states after the final norm, `[N, C]`, or `[M, C]` at the places `wanted`. `ids`
    /// holds B x T tokens, row by row.
    pub(crate) fn hidden(
        &self,
        ids: &[i32],
        [rows, tokens]: [usize; 2],
        wanted: Option<&[i64]>,
    ) -> Tensor {
        let places = Places {
            size: [rows as i64, tokens as i64],
            rotary: Rotary::new(&self.shape, 0, tokens, self.options()),
            wanted: wanted.map(|wanted| self.indices(wanted)),
        };
        let ids = self.indices(ids);
        if let Some(passes) = &self.recorded {
            return self.hidden_recorded(passes, ids, places);
        }
        let layers = 0..self.shape.layers;
        let x = layers.fold(self.embed(&ids), |x, layer| {
            self.layer(layer, &x, &places, None)
        });
        self.last_norm(&x)
    }

    /// [`Decoder::hidden`], cut into segments that `passes` gets.
    fn hidden_recorded(&self, passes: &RecordedPasses, ids: Tensor, places: Places) -> Tensor {
        let leaf = |tensor: &Tensor| tensor.detach().set_requires_grad(true);
        let mut x = no_grad(|| self.embed(&ids));
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for segment in 0..=self.shape.layers {
            let input = leaf(&x);
            let output = match passes.recompute {
                true => no_grad(|| self.segment(segment, &input, &places)),
                false => self.segment(segment, &input, &places),
            };
            x = output.detach();
            inputs.push(input);
            outputs.push((!passes.recompute).then_some(output));
        }
        let hidden = leaf(&x);
        let result = hidden.shallow_clone();
        passes.push(ForwardPass {
            ids,
            places,
            inputs,
            outputs,
            hidden,
        });
        result
    }

    /// Segment `segment` of a recorded pass: a layer, or the last norm.
    pub(crate) fn segment(&self, segment: usize, x: &Tensor, places: &Places) -> Tensor {
        match segment == self.shape.layers {
            true => self.last_norm(x),
            false => self.layer(segment, x, places, None),
        }
    }

    /// [`Decoder::hidden`] at the last token of each row, `[B, C]`, after the tokens that `cache`
    /// holds, which then holds the new ones too. After the first reading tokens come one by one.
    pub(crate) fn read(&self, ids: &[i32], rows: usize, cache: &mut Cache) -> Tensor {
        let tokens = ids.len() / rows;
        let wanted = (tokens > 1).then(|| {
            let last: Vec<i64> = (1..=rows).map(|row| (row * tokens) as i64 - 1).collect();
            self.indices(&last)
        });
        let places = Places {
            size: [rows as i64, tokens as i64],
            rotary: Rotary::new(&self.shape, cache.tokens(), tokens, self.options()),
            wanted,
        };
        let mut x = self.embed(&self.indices(ids));
        for layer in 0..self.shape.layers {
            x = self.layer(layer, &x, &places, Some(cache));
        }
        cache.advance(tokens);
        self.last_norm(&x)
    }

    /// The embeddings `[N, C]` of tokens.
    fn embed(&self, ids: &Tensor) -> Tensor {
        self.embedding.value.index_select(0, ids)
    }

    /// One layer: `[N, C]` to `[N, C]`; the last one may give `[M, C]`.
    fn layer(
        &self,
        layer: usize,
        x: &Tensor,
        places: &Places,
        cache: Option<&mut Cache>,
    ) -> Tensor {
        let p = &self.layers[layer];
        let bias = p.qkv_bias.as_ref().map(|bias| &bias.value);
        let qkv = self.rms_norm(x, &p.input_norm).linear(&p.qkv.value, bias);
        let mixed = self.attention(layer, &qkv, places, cache);
        // What follows attention concerns each place alone.
        let is_last = layer + 1 == self.shape.layers;
        let x = match places.wanted.as_ref().filter(|_| is_last) {
            Some(wanted) => {
                let mixed = mixed.index_select(0, wanted);
                x.index_select(0, wanted) + linear(&mixed, &p.output)
            }
            None => x + linear(&mixed, &p.output),
        };
        let normed = self.rms_norm(&x, &p.post_norm);
        let gate = linear(&normed, &p.gate).silu();
        let up = linear(&normed, &p.up);
        drop(normed);
        x + linear(&(gate * up), &p.down)
    }

    fn last_norm(&self, x: &Tensor) -> Tensor {
        self.rms_norm(x, &self.norm)
    }

    fn rms_norm(&self, x: &Tensor, weight: &Leaf) -> Tensor {
        let dims = [self.shape.hidden as i64];
        let (normed, _) = x.internal_fused_rms_norm(dims, Some(&weight.value), self.shape.norm_eps);
        normed
    }

    /// Grouped-query attention, `[N, (H + 2K) D]` to `[N, C]`.
    fn attention(
        &self,
        layer: usize,
        qkv: &Tensor,
        places: &Places,
        cache: Option<&mut Cache>,
    ) -> Tensor {
        let (h, k) = (self.shape.heads as i64, self.shape.kv_heads as i64);
        let d = self.shape.head_size() as i64;
        let [b, t] = places.size;
        let parts = qkv
            .view([b, t, h + 2 * k, d])
            .split_with_sizes([h + k, k], 2);
        let qk = places.rotary.rotate(&parts[0]).split_with_sizes([h, k], 2);
        let (queries, keys) = (qk[0].transpose(1, 2), qk[1].transpose(1, 2));
        let values = parts[1].transpose(1, 2);
        let is_first = cache.as_ref().is_none_or(|cache| cache.tokens() == 0);
        let cached = cache.map(|cache| cache.extend(layer, &keys, &values));
        match cached.filter(|_| !is_first) {
            None => attend(&queries, &keys, &values, h != k)
                .transpose(1, 2)
                .reshape([b * t, h * d]),
            // One token sees everything before it: the heads of a group are queries of one key
            // head.
            Some([keys, values]) => {
                let queries = queries.reshape([b, k, h / k, d]);
                let mixed = Tensor::scaled_dot_product_attention(
                    &queries,
                    &keys,
                    &values,
                    None::<&Tensor>,
                    0.0,
                    false,
                    None,
                    false,
                );
                mixed.reshape([b, h * d])
            }
        }
    }

    /// Classifier logits `[B, outputs]` in 32 bits: the head on each row's last real token.
    pub(crate) fn logits(&self, ids: &[i32], lengths: &[i32], tokens: usize) -> Tensor {
        let last: Vec<i64> = lengths
            .iter()
            .enumerate()
            .map(|(row, &length)| (row * tokens) as i64 + i64::from(length) - 1)
            .collect();
        let hidden = self.hidden(ids, [lengths.len(), tokens], Some(&last));
        let score = self.score.value.to_kind(Kind::Float);
        hidden.to_kind(Kind::Float).linear(&score, None::<&Tensor>)
    }
}

fn linear(x: &Tensor, weight: &Leaf) -> Tensor {
    x.linear(&weight.value, None::<&Tensor>)
}

/// Causal attention of `[B, heads, T, D]`; `is_grouped` where several query heads share a key head.
fn attend(queries: &Tensor, keys: &Tensor, values: &Tensor, is_grouped: bool) -> Tensor {
    let mask = None::<&Tensor>;
    Tensor::scaled_dot_product_attention(queries, keys, values, mask, 0.0, true, None, is_grouped)
}

#[cfg(test)]
mod tests;

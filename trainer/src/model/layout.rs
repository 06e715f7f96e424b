//! All parameters of a network in one buffer, under their Hugging Face names.
//!
//! One buffer makes clipping, the optimizer, averaging, casting and saving one operation each.
//! Matrices come first, norms and biases after them: weight decay is for the first part.

use std::ops::Range;
use std::rc::Rc;

use tch::{Device, Kind, Tensor, no_grad};

use crate::model::encoder::shape::{CLASSIFIER, EncoderShape};
use crate::recipe::ModelRecipe;

/// The number of unsafe categories, and of the classifier's logits.
pub(crate) const CATEGORIES: usize = 12;

/// Tensors begin at multiples of this many elements: 64 bytes of f32, 32 of bfloat16.
pub(crate) const ALIGNMENT: i64 = 16;

/// One named tensor's place in the buffer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Its name in a Hugging Face checkpoint.
    pub name: String,
    /// `[outputs, inputs]`, or `[n]`.
    pub dims: Vec<i64>,
    /// Its first element.
    pub offset: i64,
}

impl Entry {
    /// Its number of elements.
    pub(crate) fn elements(&self) -> i64 {
        self.dims.iter().product()
    }

    /// Its dimensions, as files have them.
    pub(crate) fn shape(&self) -> Vec<usize> {
        self.dims.iter().map(|&n| n as usize).collect()
    }
}

/// Where every tensor of a network lies.
#[derive(Debug, PartialEq)]
pub(crate) struct Layout {
    /// All tensors, in the order in which they lie.
    pub entries: Vec<Entry>,
    /// Elements of the matrices; those after them are not decayed.
    pub decayed: i64,
    /// Elements in all.
    pub elements: i64,
    /// (first element, fraction of the learning rate) of tensors that learn at another rate than
    /// their neighbours, in order; what lies before the first learns at the whole rate.
    pub rates: Vec<(i64, f64)>,
}

impl Layout {
    /// The tensors of a decoder whose classifier says the categories.
    pub(crate) fn new(shape: &ModelRecipe, vocabulary: usize) -> Self {
        Self::with_outputs(shape, vocabulary, CATEGORIES)
    }

    /// The tensors of a decoder whose classifier has `outputs` outputs.
    pub(crate) fn with_outputs(shape: &ModelRecipe, vocabulary: usize, outputs: usize) -> Self {
        let c = shape.hidden as i64;
        let kv = (shape.kv_heads * shape.head_size()) as i64;
        let f = shape.intermediate as i64;
        let v = vocabulary as i64;
        let mut matrices = vec![("model.embed_tokens.weight".to_owned(), vec![v, c])];
        let mut vectors = Vec::new();
        for layer in 0..shape.layers {
            let name = |name: &str| format!("model.layers.{layer}.{name}");
            // Queries, keys and values lie side by side: one product makes all three.
            for (part, rows) in [("q", c), ("k", kv), ("v", kv)] {
                matrices.push((
                    name(&format!("self_attn.{part}_proj.weight")),
                    vec![rows, c],
                ));
                if shape.qkv_bias {
                    vectors.push((name(&format!("self_attn.{part}_proj.bias")), vec![rows]));
                }
            }
            matrices.push((name("self_attn.o_proj.weight"), vec![c, c]));
            matrices.push((name("mlp.gate_proj.weight"), vec![f, c]));
            matrices.push((name("mlp.up_proj.weight"), vec![f, c]));
            matrices.push((name("mlp.down_proj.weight"), vec![c, f]));
            vectors.push((name("input_layernorm.weight"), vec![c]));
            vectors.push((name("post_attention_layernorm.weight"), vec![c]));
        }
        vectors.push(("model.norm.weight".to_owned(), vec![c]));
        if !shape.tied {
            matrices.push(("lm_head.weight".to_owned(), vec![v, c]));
        }
        matrices.push(("score.weight".to_owned(), vec![outputs as i64, c]));
        Self::of(matrices, vectors)
    }

    /// Tensors of an encoder: some of its layers, and the classifier or the embeddings.
    pub(crate) fn of_encoder(
        shape: &EncoderShape,
        layers: Range<usize>,
        has_classifier: bool,
    ) -> Self {
        let c = shape.hidden as i64;
        let f = shape.intermediate as i64;
        let (mut matrices, mut vectors) = (Vec::new(), Vec::new());
        if !has_classifier {
            for (name, rows) in [
                ("word", shape.vocabulary),
                ("position", shape.positions),
                ("token_type", shape.types),
            ] {
                let name = format!("bert.embeddings.{name}_embeddings.weight");
                matrices.push((name, vec![rows as i64, c]));
            }
            for part in ["weight", "bias"] {
                vectors.push((format!("bert.embeddings.LayerNorm.{part}"), vec![c]));
            }
        }
        for layer in layers.clone() {
            let name = |name: &str| format!("bert.encoder.layer.{layer}.{name}");
            for (part, outputs, inputs) in [
                ("attention.self.query", c, c),
                ("attention.self.key", c, c),
                ("attention.self.value", c, c),
                ("attention.output.dense", c, c),
                ("intermediate.dense", f, c),
                ("output.dense", c, f),
            ] {
                matrices.push((name(&format!("{part}.weight")), vec![outputs, inputs]));
                vectors.push((name(&format!("{part}.bias")), vec![outputs]));
            }
            for norm in ["attention.output.LayerNorm", "output.LayerNorm"] {
                for part in ["weight", "bias"] {
                    vectors.push((name(&format!("{norm}.{part}")), vec![c]));
                }
            }
        }
        if has_classifier {
            let outputs = shape.outputs as i64;
            matrices.push((CLASSIFIER[0].to_owned(), vec![outputs, c]));
            vectors.push((CLASSIFIER[1].to_owned(), vec![outputs]));
        }
        let mut layout = Self::of(matrices, vectors);
        layout.rates = layout.rates_of(shape, layers);
        layout
    }

    /// Where the layers of an encoder, and the classifier after them, begin.
    fn rates_of(&self, shape: &EncoderShape, layers: Range<usize>) -> Vec<(i64, f64)> {
        let mut rates = Vec::new();
        for layer in layers {
            let first = ["weight", "bias"].map(|part| {
                let name = format!("bert.encoder.layer.{layer}.attention.self.query.{part}");
                self.entry(&name).map(|entry| entry.offset)
            });
            rates.extend(
                first
                    .into_iter()
                    .flatten()
                    .map(|at| (at, shape.rate(layer))),
            );
        }
        let classifier = CLASSIFIER.map(|name| self.entry(name).map(|entry| entry.offset));
        rates.extend(
            classifier
                .into_iter()
                .flatten()
                .map(|at| (at, shape.classifier_rate)),
        );
        rates.sort_by_key(|&(at, _)| at);
        rates
    }

    fn of(matrices: Vec<(String, Vec<i64>)>, vectors: Vec<(String, Vec<i64>)>) -> Self {
        let mut layout = Self {
            entries: Vec::new(),
            decayed: 0,
            elements: 0,
            rates: Vec::new(),
        };
        layout.place(matrices);
        layout.decayed = layout.elements;
        layout.place(vectors);
        layout
    }

    /// The fraction of the learning rate at which the tensor at `offset` learns.
    pub(crate) fn rate(&self, offset: i64) -> f64 {
        let before = self.rates.iter().rev().find(|(at, _)| *at <= offset);
        before.map_or(1.0, |(_, rate)| *rate)
    }

    fn place(&mut self, tensors: Vec<(String, Vec<i64>)>) {
        for (name, dims) in tensors {
            let entry = Entry {
                name,
                dims,
                offset: self.elements,
            };
            // The parts of one product follow one another without a gap.
            let is_joined = ["q_proj", "k_proj", "self.query", "self.key"]
                .iter()
                .any(|part| entry.name.contains(part));
            let end = entry.offset + entry.elements();
            self.elements = match is_joined {
                true => end,
                false => (end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT,
            };
            self.entries.push(entry);
        }
    }

    /// The entry called `name`.
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

/// A buffer of all parameters, and where each lies in it.
#[derive(Debug)]
pub(crate) struct Weights {
    /// Where each lies.
    pub layout: Rc<Layout>,
    /// `[elements]`
    pub flat: Tensor,
}

impl Weights {
    /// Zeros in 32 bits.
    pub(crate) fn zeros(layout: Rc<Layout>, device: Device) -> Self {
        let flat = Tensor::zeros([layout.elements], (Kind::Float, device));
        Self { layout, flat }
    }

    /// A copy in a buffer of its own.
    pub(crate) fn copy(&self) -> Self {
        Self {
            layout: self.layout.clone(),
            flat: self.flat.copy(),
        }
    }

    /// Moves every weight towards its place in `others`, of the same layout, by `share` of the way.
    pub(crate) fn move_towards(&mut self, others: &Self, share: f64) {
        no_grad(|| drop(self.flat.lerp_(&others.flat, share)));
    }

    /// `dims` of the buffer from `offset` on.
    pub(crate) fn view(&self, offset: i64, dims: &[i64]) -> Tensor {
        let elements = dims.iter().product();
        self.flat.narrow(0, offset, elements).view(dims)
    }
}

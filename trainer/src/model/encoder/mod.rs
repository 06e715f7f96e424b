//! A BERT-like encoder with a classifier on the mean of its last layer.
//!
//! Shapes: B rows, T tokens, C hidden, H heads, D = C / H, F intermediate, N = B x T.
//!
//! The embeddings and the lowest layers are frozen: they lie in a buffer of their own, which no
//! gradient, moment or average is kept for, and their layers leave no graph. What is trained lies
//! in another, laid out as a decoder's is.

mod classifier;
pub(crate) mod folder;
mod parameters;
pub(crate) mod shape;

use std::rc::Rc;

use tch::{Device, Tensor, no_grad};

use crate::model::decoder::Leaf;
use crate::model::gradients::Gradients;
use crate::model::layout::{Layout, Weights};
use crate::model::network::Network;
use crate::model::torch::be_deterministic;
use crate::recipe::ComputeRecipe;

use parameters::Layer;
pub(crate) use shape::{CLASSIFIER, EncoderShape};

/// An encoder's parameters and shape. A clone has a buffer of its own for what is trained, and
/// shares what is frozen.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// The shape it was built with.
    pub shape: EncoderShape,
    /// The trained parameters: the upper layers and the classifier.
    pub weights: Weights,
    /// The others.
    pub frozen: Rc<Weights>,
    embeddings: Embeddings,
    layers: Vec<Layer>,
    /// Weight `[outputs, C]` and bias.
    classifier: [Leaf; 2],
    /// Whether gradients are recorded, and tokens dropped.
    is_training: bool,
}

/// Views of the embeddings.
#[derive(Debug)]
struct Embeddings {
    words: Tensor,
    positions: Tensor,
    types: Tensor,
    norm: [Tensor; 2],
}

impl Clone for Encoder {
    fn clone(&self) -> Self {
        self.over_weights(self.weights.copy())
    }
}

impl Encoder {
    /// An encoder whose parameters are `weights` and `frozen`; it records no gradients.
    pub(crate) fn over(shape: &EncoderShape, weights: Weights, frozen: Rc<Weights>) -> Self {
        be_deterministic();
        let leaf = |weights: &Weights, name: &str, dims: &[i64]| {
            let entry = weights.layout.entry(name);
            let offset = entry.expect("the layout has the tensor").offset;
            let value = weights.view(offset, dims);
            Leaf { value, offset }
        };
        let c = shape.hidden as i64;
        let embedding = |name: &str, dims: &[i64]| {
            leaf(&frozen, &format!("bert.embeddings.{name}"), dims).value
        };
        let embeddings = Embeddings {
            words: embedding("word_embeddings.weight", &[shape.vocabulary as i64, c]),
            positions: embedding("position_embeddings.weight", &[shape.positions as i64, c]),
            types: embedding("token_type_embeddings.weight", &[shape.types as i64, c]),
            norm: ["weight", "bias"].map(|part| embedding(&format!("LayerNorm.{part}"), &[c])),
        };
        let layers = (0..shape.layers).map(|layer| {
            let buffer = match layer < shape.frozen_layers {
                true => &*frozen,
                false => &weights,
            };
            Layer::new(shape, layer, |name, dims| leaf(buffer, name, dims))
        });
        let outputs = shape.outputs as i64;
        Self {
            layers: layers.collect(),
            embeddings,
            classifier: [
                leaf(&weights, CLASSIFIER[0], &[outputs, c]),
                leaf(&weights, CLASSIFIER[1], &[outputs]),
            ],
            shape: shape.clone(),
            is_training: false,
            frozen,
            weights,
        }
    }

    /// The same network, of which the classifier alone is trained; nothing is dropped.
    pub(crate) fn classifier_alone(&self) -> Self {
        let shape = EncoderShape {
            frozen_layers: self.shape.layers,
            classifier_rate: 1.0,
            dropout: 0.0,
            ..self.shape.clone()
        };
        let [trained, frozen] = layouts(&shape).map(|layout| {
            let weights = Weights::zeros(layout.clone(), self.device());
            for entry in &layout.entries {
                let values = self.tensor(&entry.name);
                weights.view(entry.offset, &entry.dims).copy_(&values);
            }
            weights
        });
        Self::over(&shape, trained, Rc::new(frozen))
    }

    /// Takes over the classifier of the same network.
    pub(crate) fn take_classifier(&mut self, other: &Self) {
        for (own, other) in self.classifier.iter_mut().zip(&other.classifier) {
            own.value.copy_(&other.value);
        }
    }

    /// A tensor by its name.
    fn tensor(&self, name: &str) -> Tensor {
        let buffers = [&self.weights, &*self.frozen];
        let mut places = buffers
            .into_iter()
            .filter_map(|buffer| Some((buffer, buffer.layout.entry(name)?)));
        let (buffer, entry) = places.next().expect("a layout has the tensor");
        buffer.view(entry.offset, &entry.dims)
    }

    /// `x` with some of its values dropped while the network is trained.
    fn dropped(&self, x: Tensor) -> Tensor {
        match self.is_training && self.shape.dropout > 0.0 {
            true => x.dropout(self.shape.dropout, true),
            false => x,
        }
    }

    /// The last layer's hidden states `[N, C]`. `mask` is added to attention's scores.
    fn hidden(&self, ids: &Tensor, size: [i64; 2], mask: Option<&Tensor>) -> Tensor {
        let lower = no_grad(|| {
            let lower = self.layers[..self.shape.frozen_layers].iter();
            lower.fold(self.embed(ids, size), |x, layer| {
                self.layer(layer, &x, size, mask, false)
            })
        });
        let upper = self.layers[self.shape.frozen_layers..].iter();
        upper.fold(lower, |x, layer| self.layer(layer, &x, size, mask, true))
    }

    /// The embeddings `[N, C]` of tokens.
    fn embed(&self, ids: &Tensor, [rows, tokens]: [i64; 2]) -> Tensor {
        let c = self.shape.hidden as i64;
        let Embeddings {
            words,
            positions,
            types,
            norm,
        } = &self.embeddings;
        let places = positions.narrow(0, 0, tokens) + types.narrow(0, 0, 1);
        let words = words.index_select(0, ids).view([rows, tokens, c]);
        self.layer_norm(&(words + places), [&norm[0], &norm[1]])
            .view([-1, c])
    }

    /// One layer: `[N, C]` to `[N, C]`.
    fn layer(
        &self,
        layer: &Layer,
        x: &Tensor,
        size: [i64; 2],
        mask: Option<&Tensor>,
        is_trained: bool,
    ) -> Tensor {
        let p = layer;
        let dropped = |x: Tensor| match is_trained {
            true => self.dropped(x),
            false => x,
        };
        let mixed = self.attention(&affine(x, &p.qkv), size, mask);
        let mixed = dropped(affine(&mixed, &p.output));
        let x = self.layer_norm(&(x + mixed), values(&p.attention_norm));
        let inner = affine(&x, &p.up).gelu("none");
        let inner = dropped(affine(&inner, &p.down));
        self.layer_norm(&(x + inner), values(&p.output_norm))
    }

    fn layer_norm(&self, x: &Tensor, [weight, bias]: [&Tensor; 2]) -> Tensor {
        let dims = [self.shape.hidden as i64];
        x.layer_norm(dims, Some(weight), Some(bias), self.shape.norm_eps, true)
    }

    /// Bidirectional attention, `[N, 3C]` to `[N, C]`.
    fn attention(&self, qkv: &Tensor, [b, t]: [i64; 2], mask: Option<&Tensor>) -> Tensor {
        let h = self.shape.heads as i64;
        let d = self.shape.hidden as i64 / h;
        let parts = qkv.view([b, t, 3, h, d]).permute([2, 0, 3, 1, 4]);
        let [queries, keys, values] = [0, 1, 2].map(|part| parts.select(0, part));
        Tensor::scaled_dot_product_attention(
            &queries, &keys, &values, mask, 0.0, false, None, false,
        )
        .transpose(1, 2)
        .reshape([b * t, h * d])
    }
}

impl Network for Encoder {
    fn weights(&self) -> &Weights {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut Weights {
        &mut self.weights
    }

    fn over_weights(&self, weights: Weights) -> Self {
        Self::over(&self.shape, weights, self.frozen.clone())
    }

    fn working(&self, _compute: ComputeRecipe) -> Self {
        let weights = Weights {
            layout: self.weights.layout.clone(),
            flat: self.weights.flat.detach(),
        };
        let mut working = self.over_weights(weights);
        working.is_training = true;
        for leaf in working.leaves_mut() {
            leaf.value = leaf.value.set_requires_grad(true);
        }
        working
    }

    fn backward(&self, loss: &Tensor, sum: &mut Gradients) {
        let leaves: Vec<&Leaf> = self.leaves().collect();
        let values: Vec<&Tensor> = leaves.iter().map(|leaf| &leaf.value).collect();
        let found = Tensor::run_backward(&[loss], &values, false, false);
        for (leaf, gradient) in leaves.into_iter().zip(found) {
            if gradient.defined() {
                sum.add(leaf, &gradient);
            }
        }
    }
}

impl Encoder {
    /// What is trained.
    fn leaves(&self) -> impl Iterator<Item = &Leaf> {
        let upper = self.layers[self.shape.frozen_layers..].iter();
        upper.flat_map(Layer::leaves).chain(&self.classifier)
    }

    fn leaves_mut(&mut self) -> impl Iterator<Item = &mut Leaf> {
        let upper = self.layers[self.shape.frozen_layers..].iter_mut();
        upper
            .flat_map(Layer::leaves_mut)
            .chain(&mut self.classifier)
    }

    fn device(&self) -> Device {
        self.weights.flat.device()
    }
}

fn values([weight, bias]: &[Leaf; 2]) -> [&Tensor; 2] {
    [&weight.value, &bias.value]
}

fn affine(x: &Tensor, [weight, bias]: &[Leaf; 2]) -> Tensor {
    x.linear(&weight.value, Some(&bias.value))
}

/// The layouts of what is trained and of what is frozen.
pub(crate) fn layouts(shape: &EncoderShape) -> [Rc<Layout>; 2] {
    let trained = Layout::of_encoder(shape, shape.frozen_layers..shape.layers, true);
    let frozen = Layout::of_encoder(shape, 0..shape.frozen_layers, false);
    [Rc::new(trained), Rc::new(frozen)]
}

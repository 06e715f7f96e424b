//! Layers computed a second time instead of kept: activation checkpointing, one layer at a time.
//!
//! The forward pass goes through the layers without recording anything but what enters each of
//! them, `[N, C]`; the backward pass computes a layer once more, with its graph, when the gradient
//! has come down to it. A network then holds the activations of one layer instead of all, for a
//! third more work. The framework's own checkpointing recomputes element-wise operations and keeps
//! the result of every matrix product, which of a decoder is most of the memory.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Gradients, Tensor};

use crate::model::decoder::{Cache, Decoder, Positions};
use crate::train::optimizer::accumulate;
use crate::train::stage::without_gradients;

/// What the forward passes since the last [`Recompute::backward`] left. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Recompute(Arc<Mutex<Vec<ForwardPass>>>);

/// One forward pass.
#[derive(Debug)]
struct ForwardPass {
    ids: Vec<i32>,
    positions: Positions,
    /// What entered each layer.
    inputs: Vec<Tensor<2>>,
    /// What left the last layer: where the recorded graph begins.
    output: Tensor<2>,
}

impl Recompute {
    /// [`Decoder::hidden`], noted here. Gradients reach the layers through [`Recompute::backward`]
    /// alone.
    pub(crate) fn hidden(
        &self,
        decoder: &Decoder,
        ids: &[i32],
        rows: usize,
        tokens: usize,
    ) -> Tensor<2> {
        let plain = without_gradients(decoder);
        let positions = Positions::new(&plain, 0, [rows, tokens]);
        let mut x = plain.embed(ids);
        let mut inputs = Vec::with_capacity(plain.shape.layers);
        for layer in 0..plain.shape.layers {
            inputs.push(x.clone());
            x = plain.layer(layer, x, &positions, &mut Cache::default());
        }
        let output = Tensor::from_inner(x).require_grad();
        self.passes().push(ForwardPass {
            ids: ids.to_vec(),
            positions,
            inputs,
            output: output.clone(),
        });
        decoder.last_norm(output)
    }

    /// Adds to `sum` the gradients of the embedding and of every layer, given those of a loss of
    /// the noted passes.
    pub fn backward(
        &self,
        decoder: &Decoder,
        gradients: &mut Gradients,
        sum: &mut Vec<Option<Tensor<2>>>,
    ) {
        let passes = std::mem::take(&mut *self.passes());
        for mut pass in passes {
            let mut arriving = pass.output.grad_remove(gradients);
            let layers = std::mem::take(&mut pass.inputs).into_iter().enumerate();
            for (layer, input) in layers.rev() {
                let input = Tensor::from_inner(input).require_grad();
                let output =
                    decoder.layer(layer, input.clone(), &pass.positions, &mut Cache::default());
                let Some(mut found) = propagate(output, arriving) else {
                    return;
                };
                arriving = input.grad_remove(&mut found);
                accumulate(&decoder.parameters, &mut found, sum);
            }
            if let Some(mut found) = propagate(decoder.embed(&pass.ids), arriving) {
                accumulate(&decoder.parameters, &mut found, sum);
            }
        }
    }

    fn passes(&self) -> std::sync::MutexGuard<'_, Vec<ForwardPass>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gradients below `output`, given its own: those of sum(output x arriving).
fn propagate(output: Tensor<2>, arriving: Option<Tensor<2>>) -> Option<Gradients> {
    let arriving = Tensor::from_inner(arriving?);
    Some((output * arriving).sum().backward())
}

//! The backward pass, with layers computed a second time instead of kept: activation
//! checkpointing, one layer at a time (Chen et al. 2016).
//!
//! The forward pass goes through the layers without recording anything but what enters each of
//! them, `[N, C]`; the backward pass computes a layer once more, with its graph, when the gradient
//! has come down to it. A network then holds the activations of one layer instead of all, for a
//! third more work. The framework's own checkpointing recomputes element-wise operations and keeps
//! the result of every matrix product, which of a decoder is most of the memory.

use burn::tensor::{FloatDType, Gradients, Tensor};

use crate::model::decoder::{Cache, Decoder, Parameter, RecordedPasses};

/// Adds the gradients of `loss` to `sum`, as 32-bit floats in the order of the parameters.
pub(crate) fn backward(working: &Decoder, loss: &Tensor<1>, sum: &mut Vec<Option<Tensor<2>>>) {
    let mut gradients = loss.backward();
    accumulate(&working.parameters, &mut gradients, sum);
    if let Some(passes) = &working.recorded {
        through_layers(working, passes, &mut gradients, sum);
    }
}

/// Adds to `sum` the gradients of the embedding and of every layer, given those of a loss of the
/// recorded passes.
fn through_layers(
    decoder: &Decoder,
    passes: &RecordedPasses,
    gradients: &mut Gradients,
    sum: &mut Vec<Option<Tensor<2>>>,
) {
    for pass in passes.take() {
        let mut arriving = pass.output.grad_remove(gradients);
        for (layer, input) in pass.inputs.into_iter().enumerate().rev() {
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

/// Collects the gradients of `parameters` as 32-bit floats, adding to what `sum` already holds.
fn accumulate(
    parameters: &[Parameter],
    gradients: &mut Gradients,
    sum: &mut Vec<Option<Tensor<2>>>,
) {
    sum.resize(parameters.len(), None);
    for (parameter, total) in parameters.iter().zip(sum) {
        let gradient = parameter
            .value
            .grad_remove(gradients)
            .map(|gradient| gradient.cast(FloatDType::F32));
        *total = match (total.take(), gradient) {
            (Some(total), Some(gradient)) => Some(total + gradient),
            (total, gradient) => total.or(gradient),
        };
    }
}

/// The gradients below `output`, given its own: those of sum(output x arriving).
fn propagate(output: Tensor<2>, arriving: Option<Tensor<2>>) -> Option<Gradients> {
    let arriving = Tensor::from_inner(arriving?);
    Some((output * arriving).sum().backward())
}

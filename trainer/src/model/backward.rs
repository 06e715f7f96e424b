//! The backward pass, layer by layer.
//!
//! It goes through the recorded segments from the last to the first, and adds each one's gradients
//! to one buffer as soon as they are there. So a segment's graph may be kept, or built again when
//! the gradient has come down to it (activation checkpointing, Chen et al. 2016), and no more than
//! one layer's gradients exist beside the buffer.

use tch::{Kind, Tensor};

use crate::model::decoder::{Decoder, ForwardPass, Leaf};
use crate::model::gradients::Gradients;
use crate::model::head::head_backward;

/// Adds the gradients of `loss`, `[]`, to `sum`. `working` is [`Decoder::working`], and the loss
/// that of its passes.
pub(crate) fn backward(working: &Decoder, loss: &Tensor, sum: &mut Gradients) {
    let recorded = working.recorded.as_ref();
    let (passes, heads) = recorded.map_or((Vec::new(), Vec::new()), |recorded| recorded.take());
    let mut leaves = vec![&working.score.value];
    leaves.extend(passes.iter().map(|pass| &pass.hidden));
    leaves.extend(heads.iter().map(|head| &head.log_probabilities));
    let mut found = gradients_of(loss, &leaves).into_iter();
    let mut next = || found.next().filter(Tensor::defined);
    if let Some(gradient) = next() {
        sum.add(&working.score, &gradient);
    }
    let mut arriving: Vec<Option<Tensor>> = passes.iter().map(|_| next()).collect();
    for head in heads {
        let Some(gradient) = next() else { continue };
        let pass = passes
            .iter()
            .position(|pass| pass.hidden.data_ptr() == head.hidden.data_ptr());
        let pass = pass.expect("hidden states come from a recorded pass");
        let below = head_backward(working, head, &gradient, sum);
        arriving[pass] = Some(match arriving[pass].take() {
            Some(other) => other + below,
            None => below,
        });
    }
    for (pass, arriving) in passes.into_iter().zip(arriving) {
        if let Some(arriving) = arriving {
            through_layers(working, pass, arriving, sum);
        }
    }
}

/// The gradients of `root`; undefined where none arrives.
fn gradients_of(root: &Tensor, leaves: &[&Tensor]) -> Vec<Tensor> {
    Tensor::run_backward(&[root], leaves, false, false)
}

/// Adds to `sum` the gradients of the embedding and of every layer, given those of the hidden
/// states that left the last norm.
fn through_layers(decoder: &Decoder, pass: ForwardPass, mut arriving: Tensor, sum: &mut Gradients) {
    let segments = pass.inputs.into_iter().zip(pass.outputs).enumerate();
    for (segment, (input, output)) in segments.rev() {
        let output = output.unwrap_or_else(|| decoder.segment(segment, &input, &pass.places));
        // The gradient of <output, arriving> is the one that arrives, below output.
        let root = output.flatten(0, -1).dot(&arriving.flatten(0, -1));
        drop(output);
        let parameters: Vec<&Leaf> = match decoder.layers.get(segment) {
            Some(layer) => layer.leaves().collect(),
            None => vec![&decoder.norm],
        };
        let mut leaves = vec![&input];
        leaves.extend(parameters.iter().map(|parameter| &parameter.value));
        let mut found = gradients_of(&root, &leaves).into_iter();
        drop(root);
        let Some(below) = found.next() else { return };
        arriving = below;
        for (parameter, gradient) in parameters.iter().zip(found) {
            sum.add(parameter, &gradient);
        }
    }
    // A frequent token's gradient is a sum over hundreds of places, which 8 bits of mantissa would
    // cut off.
    sum.add_rows(
        &decoder.embedding,
        &pass.ids,
        &arriving.to_kind(Kind::Float),
    );
}

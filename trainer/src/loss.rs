//! The losses: two for the classifier, one for language modelling.

use burn::tensor::{Device, Int, Tensor, TensorData, activation};

use crate::decoder::CATEGORIES;
use crate::recipe::ClassifierLoss;

/// Stands for minus infinity in a log-sum-exp; its exponential is exactly zero.
const MASKED: f32 = -1e9;

/// What the rows of a batch should be called, ready for [`classifier_loss`].
///
/// A row's three weights say how much of each reading it is: *safe*, *unsafe in the
/// categories of `labels`*, *unsafe in some category we do not know*. They sum to one;
/// label smoothing moves weight between safe and unsafe.
#[derive(Clone, Debug)]
pub struct Targets {
    /// [B x 12], 1 where the category is known to apply.
    pub labels: Vec<f32>,
    /// [B] weights of the reading "safe".
    pub safe: Vec<f32>,
    /// [B] weights of the reading "unsafe in exactly these categories".
    pub known: Vec<f32>,
    /// [B] weights of the reading "unsafe in at least one category".
    pub unknown: Vec<f32>,
}

/// Mean loss over the rows, shape [1]. `logits` is [B, 12].
///
/// `LogSumExp` is the authors' multi-label loss, log(1 + sum over negatives exp(s)) +
/// log(1 + sum over positives exp(-s)); `Bce` the paper's sum of 12 binary
/// cross-entropies. Under both, a row whose categories are unknown trains "at least one
/// of them" through log(1 + exp(-logsumexp(s))), and never "none".
pub fn classifier_loss(kind: ClassifierLoss, logits: Tensor<2>, targets: &Targets) -> Tensor<1> {
    let device = logits.device();
    let rows = targets.safe.len();
    let column = |values: &[f32]| {
        Tensor::<2>::from_data(TensorData::new(values.to_vec(), [rows, 1]), &device)
    };
    let labels = Tensor::<2>::from_data(TensorData::new(targets.labels.clone(), [rows, CATEGORIES]), &device);
    let negatives = labels.clone().neg().add_scalar(1.0);
    let unknown = activation::softplus(log_sum_exp(logits.clone()).neg(), 1.0);
    let (safe, known) = match kind {
        ClassifierLoss::LogSumExp => {
            let safe = log_one_plus_sum_exp(logits.clone());
            let off = log_one_plus_sum_exp(logits.clone() + labels.clone().mul_scalar(MASKED));
            let on = log_one_plus_sum_exp(logits.neg() + negatives.mul_scalar(MASKED));
            (safe, off + on)
        }
        ClassifierLoss::Bce => {
            let off = activation::softplus(logits.clone(), 1.0);
            let on = activation::softplus(logits.neg(), 1.0);
            (off.clone().sum_dim(1), (off * negatives + on * labels).sum_dim(1))
        }
    };
    let loss = safe * column(&targets.safe) + known * column(&targets.known) + unknown * column(&targets.unknown);
    loss.mean()
}

/// log(sum exp(x)) over the last dimension, [B, n] -> [B, 1].
fn log_sum_exp(x: Tensor<2>) -> Tensor<2> {
    let largest = x.clone().detach().max_dim(1);
    (x - largest.clone()).exp().sum_dim(1).log() + largest
}

/// log(1 + sum exp(x)) over the last dimension, [B, n] -> [B, 1].
fn log_one_plus_sum_exp(x: Tensor<2>) -> Tensor<2> {
    let zero = Tensor::<2>::zeros([x.dims()[0], 1], &x.device());
    log_sum_exp(Tensor::cat(vec![zero, x], 1))
}

/// Mean next-token loss over a set of candidate tokens, shape [1].
///
/// `hidden` is [N, C]; `candidates` are the tokens the softmax runs over; `targets[n]` is
/// the place in `candidates` of the token that follows place n. With every token as a
/// candidate this is the full softmax; with the batch's own tokens and some random ones
/// it is a sampled softmax, which on a CPU costs a tenth.
pub fn language_model_loss(hidden: Tensor<2>, embedding: &Tensor<2>, candidates: &[i32], targets: &[i32], device: &Device) -> Tensor<1> {
    let candidates = Tensor::<1, Int>::from_data(TensorData::new(candidates.to_vec(), [candidates.len()]), device);
    let n = targets.len();
    let targets = Tensor::<2, Int>::from_data(TensorData::new(targets.to_vec(), [n, 1]), device);
    let logits = hidden.matmul(embedding.clone().select(0, candidates).transpose());
    activation::log_softmax(logits, 1).gather(1, targets).neg().mean()
}

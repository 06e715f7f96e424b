//! How likely a decoder finds given texts.

use burn::tensor::{FloatDType, Int, Tensor, TensorData, activation};

use crate::model::decoder::Decoder;
use crate::model::tensors::{host, select_rows};

/// A prompt and the text after it, in tokens.
pub(crate) type PromptAndText = (Vec<i32>, Vec<i32>);

/// Sum of log p(target | prompt) over the tokens of each target and the end token after it, `[B]`.
///
/// `rows` are (prompt, target) pairs; gradients flow into the decoder.
pub(crate) fn log_likelihood(decoder: &Decoder, rows: &[(&[i32], &[i32])], end: i32) -> Tensor<2> {
    let device = decoder.embedding().device();
    let tokens = rows
        .iter()
        .map(|(prompt, target)| prompt.len() + target.len())
        .fold(0, usize::max);
    let mut ids = Vec::with_capacity(rows.len() * tokens);
    // Positions that predict a target token, what they predict, and which row they belong to.
    let (mut indices, mut targets, mut owners) = (Vec::new(), Vec::new(), Vec::new());
    for (row, (prompt, target)) in rows.iter().enumerate() {
        let start = row * tokens;
        ids.extend_from_slice(prompt);
        ids.extend_from_slice(target);
        ids.resize(start + tokens, end);
        for (offset, &token) in target.iter().chain([&end]).enumerate() {
            indices.push(start + prompt.len() - 1 + offset);
            targets.push(token);
            owners.push(row);
        }
    }
    let hidden = select_rows(&decoder.hidden(&ids, rows.len(), tokens), &indices);
    let logits = hidden.matmul(decoder.head().clone().transpose());
    let count = targets.len();
    let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [count, 1]), &device);
    let each = activation::log_softmax(logits.cast(FloatDType::F32), 1).gather(1, targets);
    // [B, count] of zeros and ones adds a row's tokens up.
    let mut sum = vec![0.0f32; rows.len() * count];
    for (index, row) in owners.iter().enumerate() {
        sum[row * count + index] = 1.0;
    }
    Tensor::<2>::from_data(TensorData::new(sum, [rows.len(), count]), &device).matmul(each)
}

/// p(text | first prompt) / (p(text | first prompt) + p(text | second prompt)) of each pair, in
/// [0, 1]: Bayes' rule for two prompts that are equally likely. Computed in one pass of
/// 2 x `pairs` rows.
pub(crate) fn share_of_first(
    decoder: &Decoder,
    pairs: &[(PromptAndText, PromptAndText)],
    end: i32,
) -> Vec<f32> {
    let first = pairs.iter().map(|(first, _)| first);
    let second = pairs.iter().map(|(_, second)| second);
    let rows: Vec<(&[i32], &[i32])> = first.chain(second).map(|(p, t)| (&p[..], &t[..])).collect();
    let both = log_likelihood(decoder, &rows, end);
    let count = pairs.len();
    let ratio = both.clone().narrow(0, 0, count) - both.narrow(0, count, count);
    host(&activation::sigmoid(ratio))
}

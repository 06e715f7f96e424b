//! The network's forward pass, slow and readable: it judges every graph that is exported. That of
//! encoders is [`encoder::reference`](crate::encoder).
//!
//! Values are f32, sums are f64. Legend: T tokens, C hidden, H heads, K key/value heads, D head
//! size, I intermediate.

use rayon::prelude::*;

use crate::checkpoint::{Checkpoint, EMBEDDING, NORM, SCORE, in_layer};
use crate::config::Config;
use crate::encoder;
use crate::labels::odds;

/// Sums are kept apart in as many places as a vector register holds, or a large network would take
/// minutes.
const LANES: usize = 16;

/// The logits of one sequence of token ids: one for each label with a probability of its own.
///
/// # Panics
/// If `ids` is empty or has an id that is not a row of the embedding.
pub fn forward(checkpoint: &Checkpoint, ids: &[u32]) -> Vec<f32> {
    let config = checkpoint.config();
    let logits = match &config.encoder {
        Some(encoder) => encoder::reference::forward(checkpoint, encoder, ids),
        None => decode(checkpoint, ids),
    };
    match config.safe_label {
        Some(safe) => odds(&logits, safe),
        None => logits,
    }
}

/// A decoder's, pooled at its last token.
fn decode(checkpoint: &Checkpoint, ids: &[u32]) -> Vec<f32> {
    let config = checkpoint.config();
    let width = config.hidden;
    let mut residual: Vec<f32> = ids
        .iter()
        .flat_map(|id| checkpoint.row(EMBEDDING, *id as usize))
        .collect(); // [T, C]
    for layer in 0..config.layers {
        let tensor = |name: &str| checkpoint.tensor(&in_layer(layer, name));
        let project = |x: &[f32], name: &str| {
            let name = format!("self_attn.{name}_proj");
            let weight = format!("{name}.weight");
            let outputs = checkpoint.shape(&in_layer(layer, &weight))[0];
            let mut y = linear(x, &tensor(&weight), outputs);
            if config.qkv_bias {
                let bias = tensor(&format!("{name}.bias"));
                for row in y.chunks_exact_mut(outputs) {
                    row.iter_mut().zip(&bias).for_each(|(y, b)| *y += b);
                }
            }
            y
        };

        let x = normalize(
            &residual,
            &tensor("input_layernorm.weight"),
            config.norm_eps,
        );
        let mut queries = project(&x, "q"); // [T, H * D]
        let mut keys = project(&x, "k"); // [T, K * D]
        let values = project(&x, "v"); // [T, K * D]
        rotate(&mut queries, ids.len(), config);
        rotate(&mut keys, ids.len(), config);
        let mixed = attend(
            &queries,
            &keys,
            &values,
            ids.len(),
            config.heads,
            config.kv_heads,
            |t| t + 1,
        );
        add(
            &mut residual,
            &linear(&mixed, &tensor("self_attn.o_proj.weight"), width),
        );

        let x = normalize(
            &residual,
            &tensor("post_attention_layernorm.weight"),
            config.norm_eps,
        );
        let mut gate = linear(&x, &tensor("mlp.gate_proj.weight"), config.intermediate); // [T, I]
        let up = linear(&x, &tensor("mlp.up_proj.weight"), config.intermediate); // [T, I]
        for (gate, up) in gate.iter_mut().zip(&up) {
            *gate = *gate / (1.0 + (-*gate).exp()) * up;
        }
        add(
            &mut residual,
            &linear(&gate, &tensor("mlp.down_proj.weight"), width),
        );
    }
    let last = &residual[residual.len() - width..];
    let last = normalize(last, &checkpoint.tensor(NORM), config.norm_eps);
    linear(&last, &checkpoint.tensor(SCORE), checkpoint.shape(SCORE)[0])
}

/// `x` `[T, inputs]` times the transpose of `weight` `[outputs, inputs]`.
pub(crate) fn linear(x: &[f32], weight: &[f32], outputs: usize) -> Vec<f32> {
    let inputs = weight.len() / outputs;
    let rows = x.par_chunks_exact(inputs);
    rows.flat_map_iter(|row| {
        weight
            .chunks_exact(inputs)
            .map(|column| dot(row, column) as f32)
    })
    .collect()
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let product = |(a, b): (&f32, &f32)| f64::from(*a) * f64::from(*b);
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for (sum, pair) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += product(pair);
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(product).sum::<f64>()
}

pub(crate) fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// RMS normalisation of each row.
fn normalize(x: &[f32], weight: &[f32], eps: f64) -> Vec<f32> {
    x.chunks_exact(weight.len())
        .flat_map(|row| {
            let scale = 1.0 / (dot(row, row) / row.len() as f64 + eps).sqrt();
            row.iter()
                .zip(weight)
                .map(move |(x, w)| (f64::from(*x) * scale) as f32 * w)
        })
        .collect()
}

/// Rotary position embedding of every head of `x` `[T, heads * D]`: dimension i is paired with i +
/// D / 2.
fn rotate(x: &mut [f32], tokens: usize, config: &Config) {
    let head_size = config.head_size();
    let width = x.len() / tokens;
    for (position, row) in x.chunks_exact_mut(width).enumerate() {
        for head in row.chunks_exact_mut(head_size) {
            let (first, second) = head.split_at_mut(head_size / 2);
            for (index, (a, b)) in first.iter_mut().zip(second).enumerate() {
                let (sin, cos) = config.rope.angle(position, index, head_size).sin_cos();
                let (x, y) = (f64::from(*a), f64::from(*b));
                *a = (x * cos - y * sin) as f32;
                *b = (y * cos + x * sin) as f32;
            }
        }
    }
}

/// Grouped-query attention, `[T, H * D]`, where token t sees the first `seen(t)` tokens.
pub(crate) fn attend(
    queries: &[f32],
    keys: &[f32],
    values: &[f32],
    tokens: usize,
    heads: usize,
    kv_heads: usize,
    seen: impl Fn(usize) -> usize + Sync,
) -> Vec<f32> {
    let width = queries.len() / tokens;
    let size = width / heads;
    let kv_width = kv_heads * size;
    let mut mixed = vec![0.0; queries.len()];
    mixed
        .par_chunks_exact_mut(width)
        .enumerate()
        .for_each(|(t, row)| {
            for (head, out) in row.chunks_exact_mut(size).enumerate() {
                let at = head / (heads / kv_heads) * size;
                let query = &queries[t * width + head * size..][..size];
                let scores: Vec<f64> = (0..seen(t))
                    .map(|s| dot(query, &keys[s * kv_width + at..][..size]) / (size as f64).sqrt())
                    .collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> =
                    scores.iter().map(|score| (score - largest).exp()).collect();
                let total: f64 = weights.iter().sum();
                for (index, out) in out.iter_mut().enumerate() {
                    let sum: f64 = (0..seen(t))
                        .map(|s| weights[s] * f64::from(values[s * kv_width + at + index]))
                        .sum();
                    *out = (sum / total) as f32;
                }
            }
        });
    mixed
}

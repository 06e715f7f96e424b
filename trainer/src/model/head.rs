//! log softmax over a vocabulary, forward and backward by hand.
//!
//! The logits are the largest tensor of a step: `[M, V]`. PyTorch's operations would keep three of
//! that size; this keeps one, goes over it in pieces that stay in the cache, and adds the head's
//! gradient to the buffer of gradients directly.

use std::collections::HashMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor, no_grad};

use crate::model::decoder::{Decoder, HeadPass};
use crate::model::gradients::Gradients;

/// Rows of a piece on a CPU.
const CPU_ROWS: i64 = 256;
/// Elements of a piece on a GPU.
const GPU_ELEMENTS: i64 = 1 << 28;

/// The tokens that a softmax runs over.
#[derive(Clone, Debug)]
pub(crate) struct SampledVocabulary {
    /// Absent: all.
    pub tokens: Option<Vec<i32>>,
    /// Added to the logit of each: a random token stands for all those that were not drawn.
    pub offsets: Option<Vec<f32>>,
    /// Each target's index among them.
    pub targets: Vec<i32>,
}

impl SampledVocabulary {
    /// The whole vocabulary.
    pub(crate) fn all(targets: Vec<i32>) -> Self {
        Self {
            tokens: None,
            offsets: None,
            targets,
        }
    }

    /// The targets and `negatives` random other tokens, or with 0 the whole vocabulary.
    ///
    /// The random ones are weighed so that the sum over them is, on average, the sum over
    /// the vocabulary. Unweighed, rare tokens are hardly ever pushed down, and a network that is
    /// then sampled from writes them everywhere.
    pub(crate) fn draw(targets: &[i32], negatives: usize, vocabulary: usize, seed: u64) -> Self {
        if negatives == 0 {
            return Self::all(targets.to_vec());
        }
        let mut tokens = Vec::new();
        let mut indices: HashMap<i32, i32> = HashMap::new();
        let mut index = |token: i32, tokens: &mut Vec<i32>| {
            *indices.entry(token).or_insert_with(|| {
                tokens.push(token);
                tokens.len() as i32 - 1
            })
        };
        let targets = targets.iter().map(|&t| index(t, &mut tokens)).collect();
        let known = tokens.len();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..negatives {
            index(rng.random_range(0..vocabulary as i32), &mut tokens);
        }
        let drawn = tokens.len() - known;
        let weight = (vocabulary - known) as f32 / drawn.max(1) as f32;
        let mut offsets = vec![0.0; known];
        offsets.resize(tokens.len(), weight.ln());
        Self {
            tokens: Some(tokens),
            offsets: Some(offsets),
            targets,
        }
    }
}

/// log p(target) at each of M places, `[M]` in 32 bits. `hidden` comes from the decoder, as it is.
pub(crate) fn log_probabilities(
    decoder: &Decoder,
    hidden: &Tensor,
    sampled: &SampledVocabulary,
) -> Tensor {
    let _guard = tch::no_grad_guard();
    let head = decoder.head().value.detach();
    let tokens = sampled.tokens.as_ref();
    let tokens = tokens.map(|tokens| decoder.indices(tokens));
    let rows = match &tokens {
        Some(tokens) => head.index_select(0, tokens),
        None => head,
    };
    let offsets = sampled.offsets.as_ref();
    let offsets = offsets.map(|offsets| decoder.tensor(offsets));
    let targets = decoder.indices(&sampled.targets);
    let logits = |hidden: &Tensor| {
        let mut logits = hidden.matmul(&rows.transpose(0, 1)).to_kind(Kind::Float);
        if let Some(offsets) = &offsets {
            logits += offsets;
        }
        logits
    };
    let (count, width) = (hidden.size()[0], rows.size()[0]);
    let Some(passes) = &decoder.recorded else {
        let found: Vec<Tensor> = pieces(count, width, rows.device())
            .map(|(from, len)| {
                let targets = targets.narrow(0, from, len).unsqueeze(1);
                logits(&hidden.narrow(0, from, len))
                    .log_softmax(1, Kind::Float)
                    .gather(1, &targets, false)
            })
            .collect();
        return Tensor::cat(&found, 0).squeeze_dim(1);
    };
    let hidden = hidden.detach();
    let all = logits(&hidden);
    for (from, len) in pieces(count, width, rows.device()) {
        let mut piece = all.narrow(0, from, len);
        let normalised = piece.log_softmax(1, Kind::Float);
        piece.copy_(&normalised);
    }
    let found = all.gather(1, &targets.unsqueeze(1), false).squeeze_dim(1);
    let log_probabilities = found.set_requires_grad(true);
    let result = log_probabilities.shallow_clone();
    passes.push_head(HeadPass {
        hidden,
        rows,
        tokens,
        all,
        targets,
        log_probabilities,
    });
    result
}

/// Adds the head's gradient to `sum`; gives that of the hidden states. `gradient` is `[M]`.
pub(crate) fn head_backward(
    decoder: &Decoder,
    pass: HeadPass,
    gradient: &Tensor,
    sum: &mut Gradients,
) -> Tensor {
    let HeadPass {
        hidden,
        rows,
        tokens,
        all,
        targets,
        ..
    } = pass;
    let (count, width) = (hidden.size()[0], rows.size()[0]);
    let mut below = Vec::new();
    let mut of_rows: Option<Tensor> = None;
    no_grad(|| {
        for (from, len) in pieces(count, width, rows.device()) {
            let gradient = gradient.narrow(0, from, len).unsqueeze(1);
            // d log p(t) / d logit j is [j = t] - p(j).
            let mut piece = all.narrow(0, from, len).exp_();
            let _ = piece.g_mul_(&gradient.neg());
            let targets = targets.narrow(0, from, len).unsqueeze(1);
            let _ = piece.scatter_add_(1, &targets, &gradient);
            let piece = piece.to_kind(hidden.kind());
            below.push(piece.matmul(&rows));
            let transposed = piece.transpose(0, 1);
            let hidden = hidden.narrow(0, from, len);
            if tokens.is_none() {
                sum.add_product(decoder.head(), &transposed, &hidden);
                continue;
            }
            let product = transposed.matmul(&hidden).to_kind(Kind::Float);
            of_rows = Some(match of_rows.take() {
                Some(other) => other + product,
                None => product,
            });
        }
        if let (Some(tokens), Some(gradient)) = (tokens, of_rows) {
            sum.add_rows(decoder.head(), &tokens, &gradient);
        }
        Tensor::cat(&below, 0)
    })
}

/// (first, length) of the pieces of `count` rows of `width`.
fn pieces(count: i64, width: i64, device: Device) -> impl Iterator<Item = (i64, i64)> {
    let rows = match device {
        Device::Cpu => CPU_ROWS,
        _ => (GPU_ELEMENTS / width).max(1),
    };
    (0..count)
        .step_by(rows as usize)
        .map(move |from| (from, rows.min(count - from)))
}

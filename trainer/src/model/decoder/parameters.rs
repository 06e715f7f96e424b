//! A decoder's parameters as views of its weights, and what they hold before training.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tch::Tensor;

/// Standard deviation of freshly drawn weights, as in the Qwen2 reference code.
const INITIAL_DEVIATION: f32 = 0.02;

/// A parameter that gradients are taken of: a view of the buffer of weights.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// The view.
    pub value: Tensor,
    /// Its first element in the buffer.
    pub offset: i64,
}

/// The parameters of a layer. Linear weights are `[outputs, inputs]`.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(super) input_norm: Leaf,
    /// Queries, then keys, then values.
    pub(super) qkv: Leaf,
    pub(super) qkv_bias: Option<Leaf>,
    pub(super) output: Leaf,
    pub(super) post_norm: Leaf,
    pub(super) gate: Leaf,
    pub(super) up: Leaf,
    pub(super) down: Leaf,
}

impl Layer {
    /// All of them.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = &Leaf> {
        let Self {
            input_norm,
            qkv,
            qkv_bias,
            output,
            post_norm,
            gate,
            up,
            down,
        } = self;
        [input_norm, qkv, output, post_norm, gate, up, down]
            .into_iter()
            .chain(qkv_bias)
    }

    pub(super) fn leaves_mut(&mut self) -> impl Iterator<Item = &mut Leaf> {
        let Self {
            input_norm,
            qkv,
            qkv_bias,
            output,
            post_norm,
            gate,
            up,
            down,
        } = self;
        [input_norm, qkv, output, post_norm, gate, up, down]
            .into_iter()
            .chain(qkv_bias)
    }
}

/// Normal weights (Box-Muller from the seeded generator); norms start at one, biases at zero.
pub(super) fn initial_values(name: &str, values: &mut [f32], layers: usize, rng: &mut ChaCha8Rng) {
    if name.ends_with("norm.weight") {
        return values.fill(1.0);
    }
    if name.ends_with("bias") {
        return values.fill(0.0);
    }
    // Projections into the residual stream are scaled down with depth (GPT-2).
    let writes_residual = name.contains("o_proj") || name.contains("down_proj");
    let deviation = match writes_residual {
        true => INITIAL_DEVIATION / (2.0 * layers as f32).sqrt(),
        false => INITIAL_DEVIATION,
    };
    for value in values {
        let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
        *value = radius * (std::f32::consts::TAU * rng.random::<f32>()).cos() * deviation;
    }
}

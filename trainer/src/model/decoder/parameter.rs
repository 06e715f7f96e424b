//! The named tensors of a decoder, and what they hold before training.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Standard deviation of freshly drawn weights, as in the Qwen2 reference code.
const INITIAL_DEVIATION: f32 = 0.02;

/// One named tensor. Vectors are kept as `[1, n]`, so that every parameter has rank 2
/// and the optimizer and the checkpoint need one code path.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    /// Our name: `embedding`, `layers.3.qkv`, ...
    pub name: String,
    /// The value; linear weights are [inputs, outputs].
    pub value: Tensor<2>,
    /// Whether AdamW decays it (matrices yes; norms and biases no).
    pub decays: bool,
}

impl Parameter {
    /// A trainable parameter from host values.
    pub(crate) fn new(name: String, values: Vec<f32>, dims: [usize; 2], device: &Device) -> Self {
        let decays = dims[0] > 1;
        let value = Tensor::<2>::from_data(TensorData::new(values, dims), device).require_grad();
        Self {
            name,
            value,
            decays,
        }
    }
}

/// Normal weights (Box-Muller from the seeded generator); norms start at one, biases at zero.
pub(super) fn initial_values(
    name: &str,
    count: usize,
    layers: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<f32> {
    if name.ends_with("norm") {
        return vec![1.0; count];
    }
    if name.ends_with("bias") {
        return vec![0.0; count];
    }
    // Projections into the residual stream are scaled down with depth (GPT-2).
    let writes_residual = name.ends_with("attention_output") || name.ends_with("down");
    let deviation = if writes_residual {
        INITIAL_DEVIATION / (2.0 * layers as f32).sqrt()
    } else {
        INITIAL_DEVIATION
    };
    (0..count)
        .map(|_| {
            let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
            radius * (std::f32::consts::TAU * rng.random::<f32>()).cos() * deviation
        })
        .collect()
}

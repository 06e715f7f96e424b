//! Rotary position embedding (RoFormer), in the half-split form of Llama and Qwen2.

use tch::{Device, Kind, Tensor};

use crate::recipe::ModelRecipe;

/// The rotations of some positions: `[T, 1, D]` each.
#[derive(Debug)]
pub(crate) struct Rotary {
    cos: Tensor,
    /// The first half is negated: what it multiplies are the halves exchanged.
    sin: Tensor,
}

impl Rotary {
    /// For the positions `past..past + tokens`.
    pub(super) fn new(
        shape: &ModelRecipe,
        past: usize,
        tokens: usize,
        (kind, device): (Kind, Device),
    ) -> Self {
        let size = shape.head_size();
        let rope = duoguard_export::Rope {
            theta: shape.rope_theta,
            scaling: shape.rope_scaling,
        };
        let mut cos = Vec::with_capacity(tokens * size);
        let mut sin = Vec::with_capacity(tokens * size);
        for position in past..past + tokens {
            let angles: Vec<f64> = (0..size / 2)
                .map(|pair| rope.angle(position, pair, size))
                .collect();
            cos.extend(angles.iter().chain(&angles).map(|a| a.cos() as f32));
            sin.extend(angles.iter().map(|a| -a.sin() as f32));
            sin.extend(angles.iter().map(|a| a.sin() as f32));
        }
        let table = |values: &[f32]| {
            Tensor::from_slice(values)
                .view([tokens as i64, 1, size as i64])
                .to_device(device)
                .to_kind(kind)
        };
        Self {
            cos: table(&cos),
            sin: table(&sin),
        }
    }

    /// Rotates heads `[.., T, heads, D]`.
    pub(super) fn rotate(&self, x: &Tensor) -> Tensor {
        let half = x.size()[x.dim() - 1] / 2;
        let exchanged = x.roll([half], [-1]);
        (x * &self.cos).addcmul(&exchanged, &self.sin)
    }
}

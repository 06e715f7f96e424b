//! Where the tokens of a pass stand, and which of them may be looked at.

use burn::tensor::{Device, FloatDType, Tensor, TensorData};

use crate::recipe::ModelRecipe;

/// What the layers of one pass share: the rows' size, positions and mask. None of it is trained.
#[derive(Clone, Debug)]
pub(crate) struct Positions {
    /// B and T.
    pub(super) size: [usize; 2],
    pub(super) rope: Rope,
    pub(super) mask: Tensor<3>,
}

impl Positions {
    /// For B rows of T tokens that follow `past` others.
    pub(super) fn new(
        shape: &ModelRecipe,
        past: usize,
        size: [usize; 2],
        dtype: FloatDType,
        device: &Device,
    ) -> Self {
        Self {
            size,
            rope: Rope::new(shape, past, size[1], dtype, device),
            mask: causal_mask(shape.heads / shape.kv_heads, past, size[1], device),
        }
    }
}

/// `[1, G x T, past + T]`: zero where a query may look, a very negative number where it may not.
fn causal_mask(groups: usize, past: usize, tokens: usize, device: &Device) -> Tensor<3> {
    let mut mask = Vec::with_capacity(groups * tokens * (past + tokens));
    for _ in 0..groups {
        for query in past..past + tokens {
            mask.extend((0..past + tokens).map(|key| if key <= query { 0.0f32 } else { -1e9 }));
        }
    }
    let shape = [1, groups * tokens, past + tokens];
    Tensor::from_data(TensorData::new(mask, shape), device)
}

/// Rotary position tables `[1, 1, T, D]` (RoFormer, in the half-split layout of Qwen2).
#[derive(Clone, Debug)]
pub(super) struct Rope {
    cos: Tensor<4>,
    sin: Tensor<4>,
    half: usize,
}

impl Rope {
    /// For the positions `past..past + tokens`.
    fn new(
        shape: &ModelRecipe,
        past: usize,
        tokens: usize,
        dtype: FloatDType,
        device: &Device,
    ) -> Self {
        let size = shape.head_size();
        let half = size / 2;
        let rope = duoguard_export::Rope {
            theta: shape.rope_theta,
            scaling: shape.rope_scaling,
        };
        let angle = |t: usize, i: usize| rope.angle(t, i, size);
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f32> = (past..past + tokens)
                .flat_map(|t| (0..half).map(move |i| f(angle(t, i)) as f32))
                .collect();
            Tensor::<4>::from_data(TensorData::new(values, [1, 1, tokens, half]), device)
                .cast(dtype)
        };
        Self {
            cos: table(f64::cos),
            sin: table(f64::sin),
            half,
        }
    }

    pub(super) fn rotate(&self, x: Tensor<4>) -> Tensor<4> {
        let first = x.clone().narrow(3, 0, self.half);
        let second = x.narrow(3, self.half, self.half);
        Tensor::cat(
            vec![
                first.clone() * self.cos.clone() - second.clone() * self.sin.clone(),
                second * self.cos.clone() + first * self.sin.clone(),
            ],
            3,
        )
    }
}

//! The table `[compute]`.

use serde::Deserialize;

use super::range::{Check, of_table};

/// How the stages compute: what changes memory and speed, and not what is learned.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComputeRecipe {
    /// What the network computes with while it is trained. The optimizer always keeps 32-bit
    /// weights and moments.
    #[serde(default)]
    pub precision: Precision,
    /// Activation checkpointing: keep what enters a layer, and compute the layer again in the
    /// backward pass.
    #[serde(default)]
    pub recompute_layers: bool,
    /// What a generator that runs here writes with. In bfloat16 that is faster, and other texts
    /// come out. Likelihoods and ratings are always computed in 32 bits.
    #[serde(default)]
    pub sampling_precision: Precision,
    /// Steps whose losses and gradient norms are read from the device at once. Absent: 1 on a CPU,
    /// 20 on a GPU, which must not wait for the host at every step.
    #[serde(default)]
    pub read_every: Option<usize>,
}

/// A type of float.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// bfloat16: the range of 32-bit floats with 8 bits of mantissa.
    Bf16,
}

impl ComputeRecipe {
    pub(super) fn checks(&self) -> Vec<Check> {
        let holds = self.read_every.is_none_or(|n| (1..=1000).contains(&n));
        of_table("compute", [("read_every", holds, "1 to 1000")])
    }
}

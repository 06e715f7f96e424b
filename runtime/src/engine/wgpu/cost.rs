//! What a forward pass asks of a GPU, counted from the steps that it executes.

use super::known::Known;
use super::plan::{ShapeUniform, dispatch};
use super::schedule::{Linear, Slot, Step, quads};
use super::shaders::{Format, Products, Sight};
use crate::error::Result;
use crate::graph::Graph;
use crate::network::Dimensions;

/// The storage binding that every WebGPU adapter has room for.
const DEFAULT_BINDING_BYTES: usize = 128 << 20;

/// What one forward pass asks of a GPU; the basis of an estimate of its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForwardCost {
    /// Dispatches, all in one submission.
    pub dispatches: u64,
    /// Operations on f32: a multiply-add is two. Those of norms, rotation and
    /// activations are not counted.
    pub operations: u64,
    /// Bytes that must be moved if every value is moved once per dispatch: a cache that holds all
    /// that workgroups share.
    pub least_bytes: u64,
    /// Bytes that the workgroups ask for: no cache at all.
    pub requested_bytes: u64,
}

/// Counts the forward pass of a graph's network on `rows` sequences of `tokens` tokens, with
/// bindings of the default size.
pub(crate) fn forward_cost(graph: &Graph, rows: usize, tokens: usize) -> Result<ForwardCost> {
    let network = Known::of(graph)?;
    let steps = network
        .schedule(DEFAULT_BINDING_BYTES, Products::F32)
        .unwrap_or_default();
    Ok(of_steps(&steps, network.dimensions(), rows, tokens))
}

pub(super) fn of_steps(steps: &[Step], d: &Dimensions, rows: usize, tokens: usize) -> ForwardCost {
    let shape = ShapeUniform {
        rows: rows as u32,
        tokens: tokens as u32,
    };
    let mut total = ForwardCost::default();
    for step in steps {
        let (_, workgroups) = dispatch(step, d, shape, None);
        let cost = match step {
            Step::Embed { format, ids, .. } => embed(d, *format, ids.len(), rows * tokens),
            // Read and written once; an encoder's alone.
            Step::Norm { is_first, .. } => {
                moved(d, 2 * rows * if *is_first { 1 } else { tokens } + 2)
            }
            Step::Pool => moved(d, rows * (tokens + 1)),
            Step::Attention { is_last, sight } => {
                attention(d, (*is_last, *sight), workgroups, rows, tokens)
            }
            Step::Linear(linear) => linear_cost(linear, workgroups, rows, tokens),
        };
        total.dispatches += 1;
        total.operations += cost.operations;
        total.least_bytes += cost.least_bytes;
        total.requested_bytes += cost.requested_bytes;
    }
    total
}

/// A part of the table serves its share of the rows.
fn embed(d: &Dimensions, format: Format, part: usize, rows: usize) -> ForwardCost {
    let served = (rows * part).div_ceil(d.vocabulary);
    let bytes = (served * (format.bytes(d.hidden) + 4 * d.hidden) + rows * 4) as u64;
    ForwardCost {
        least_bytes: bytes,
        requested_bytes: bytes,
        ..ForwardCost::default()
    }
}

/// Rows of the width of the network that are moved.
fn moved(d: &Dimensions, rows: usize) -> ForwardCost {
    let bytes = (4 * rows * d.hidden) as u64;
    ForwardCost {
        least_bytes: bytes,
        requested_bytes: bytes,
        ..ForwardCost::default()
    }
}

fn linear_cost(linear: &Linear, [x, y, _]: [u32; 3], rows: usize, tokens: usize) -> ForwardCost {
    let all = if linear.is_per_sequence() {
        rows
    } else {
        rows * tokens
    } as u64;
    let width = linear.part.width() as u64 * 4;
    let weights = linear.format.bytes(quads(linear.inputs) * 4) as u64 * width + 2 * 4 * width;
    let read = all * linear.inputs as u64 * 4;
    let adds = (linear.y == Slot::Residual) as u64;
    let written = all * linear.outputs() as u64 * 16 * (1 + adds);
    ForwardCost {
        dispatches: 0,
        operations: 2 * all * linear.inputs as u64 * width,
        least_bytes: weights + read + written,
        // Workgroups side by side read the same rows, those below each other the same weights.
        requested_bytes: weights * u64::from(y) + read * u64::from(x) + written,
    }
}

fn attention(
    d: &Dimensions,
    (is_last, sight): (bool, Sight),
    [x, y, z]: [u32; 3],
    rows: usize,
    tokens: usize,
) -> ForwardCost {
    let (rows, tokens) = (rows as u64, tokens as u64);
    let queries = if is_last { 1 } else { tokens };
    // Pairs of a query and a key that it sees.
    let pairs = match sight {
        _ if is_last => tokens,
        Sight::All => tokens * tokens,
        Sight::Back => tokens * (tokens + 1) / 2,
    };
    let width = d.hidden as u64;
    let outer = rows * queries * width * 2 * 4;
    let keys_and_values = tokens * 2 * d.head_size as u64 * 4;
    // Workgroups of a decoder's early queries see fewer keys: half of them, on the average.
    let seen = match sight {
        Sight::Back if !is_last => 0.5 + 0.5 / f64::from(x),
        Sight::Back | Sight::All => 1.0,
    };
    let workgroups = f64::from(x) * f64::from(y) * f64::from(z);
    ForwardCost {
        dispatches: 0,
        // A product for the score, and one with the value.
        operations: rows * pairs * width * 2 * 2,
        least_bytes: outer + rows * d.kv_heads as u64 * keys_and_values,
        requested_bytes: outer + (workgroups * seen * keys_and_values as f64) as u64,
    }
}

//! The embedding, in every form of storage, as nodes.

use crate::builder::Builder;
use crate::checkpoint::Checkpoint;
use crate::linear::{le_bytes, quantize_row};
use crate::onnx::{AttributeProto, DataType};
use crate::quantize::{self, BLOCK};
use crate::scheme::Plan;

/// How the embedding is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    Float,
    /// Int8, with a scale for every row.
    Int8,
    /// 4-bit integers, with a scale for every block of a row.
    Blocks,
}

impl Storage {
    /// As the plan wants it: in 4-bit blocks where that loses nothing, as for a base whose own
    /// embedding was stored so and that left it unchanged in training.
    pub(crate) fn new(plan: &Plan, checkpoint: &Checkpoint) -> Self {
        match plan.quantizes_embedding() {
            false => Self::Float,
            true if checkpoint.has_block_embedding() => Self::Blocks,
            true => Self::Int8,
        }
    }
}

/// Whether rows consist of 4-bit blocks: whether storing them so gives the same values back.
pub(crate) fn is_of_blocks(rows: &[f32]) -> bool {
    let mut blocks = rows.chunks_exact(BLOCK);
    blocks.all(|block| {
        let scale = quantize::block_scale(block);
        block
            .iter()
            .all(|x| quantize::block_level(*x, scale) * scale == *x)
    })
}

/// Adds the rows of the embedding that the tokens ask for. [B, T, C]
pub(crate) fn embed<'a>(
    builder: &mut Builder<'a>,
    checkpoint: &'a Checkpoint,
    matrix: &'a str,
    storage: Storage,
) -> String {
    let shape = checkpoint.shape(matrix).to_vec();
    let (rows, width) = (shape[0], shape[1]);
    if storage == Storage::Blocks {
        return embed_blocks(builder, checkpoint, matrix);
    }
    if storage == Storage::Float {
        let weight = builder.tensor("embedding.weight", DataType::Float, shape, move || {
            checkpoint.row_blocks(matrix).flat_map(le_bytes).collect()
        });
        return builder.node("embedding", "Gather", &[&weight, "input_ids"]);
    }
    let scale = builder.tensor(
        "embedding.scale",
        DataType::Float,
        vec![rows, 1],
        move || {
            let blocks = checkpoint.row_blocks(matrix);
            let scales = |block: Vec<f32>| le_bytes(block.chunks_exact(width).map(quantize::scale));
            blocks.flat_map(scales).collect()
        },
    );
    let weight = builder.tensor("embedding.weight", DataType::Int8, shape, move || {
        let mut bytes = Vec::with_capacity(rows * width);
        for block in checkpoint.row_blocks(matrix) {
            bytes.extend(block.chunks_exact(width).flat_map(quantize_row));
        }
        bytes
    });
    let row = builder.node("embedding.row", "Gather", &[&weight, "input_ids"]);
    let scale = builder.node("embedding.row_scale", "Gather", &[&scale, "input_ids"]);
    let row = builder.cast("embedding.row_f32", &row, DataType::Float);
    builder.node("embedding", "Mul", &[&row, &scale])
}

/// As [`embed`], of rows in 4-bit blocks. A row's first half lies in the low halves of its bytes,
/// its second half in the high ones.
fn embed_blocks<'a>(
    builder: &mut Builder<'a>,
    checkpoint: &'a Checkpoint,
    matrix: &'a str,
) -> String {
    let shape = checkpoint.shape(matrix);
    let (rows, width) = (shape[0], shape[1]);
    let blocks = width / BLOCK;
    let scale = builder.tensor(
        "embedding.scale",
        DataType::Float,
        vec![rows, blocks],
        move || {
            let scales =
                |part: Vec<f32>| le_bytes(part.chunks_exact(BLOCK).map(quantize::block_scale));
            checkpoint.row_blocks(matrix).flat_map(scales).collect()
        },
    );
    let weight = builder.tensor(
        "embedding.weight",
        DataType::UInt8,
        vec![rows, width / 2],
        move || {
            let mut bytes = Vec::with_capacity(rows * width / 2);
            for part in checkpoint.row_blocks(matrix) {
                bytes.extend(part.chunks_exact(width).flat_map(pack_row));
            }
            bytes
        },
    );
    let int64s =
        |values: &[i64]| -> Vec<u8> { values.iter().flat_map(|x| x.to_le_bytes()).collect() };
    let mut constant = |name: &str, value: f32| {
        builder.constant(name, DataType::Float, &[], &value.to_le_bytes());
    };
    constant("embedding.sixteen", 16.0);
    constant("embedding.middle", 8.0);
    builder.constant(
        "embedding.to_blocks",
        DataType::Int64,
        &[4],
        &int64s(&[0, 0, blocks as i64, BLOCK as i64]),
    );
    builder.constant(
        "embedding.to_row",
        DataType::Int64,
        &[3],
        &int64s(&[0, 0, width as i64]),
    );

    let row = builder.node("embedding.row", "Gather", &[&weight, "input_ids"]);
    let scale = builder.node("embedding.row_scale", "Gather", &[&scale, "input_ids"]);
    let both = builder.cast("embedding.row_f32", &row, DataType::Float);
    let high = builder.node("embedding.shifted", "Div", &[&both, "embedding.sixteen"]);
    let high = builder.node("embedding.high", "Floor", &[&high]);
    let above = builder.node("embedding.above", "Mul", &[&high, "embedding.sixteen"]);
    let low = builder.node("embedding.low", "Sub", &[&both, &above]);
    let levels = builder.node("embedding.levels", "Concat", &[&low, &high]);
    builder.attribute(AttributeProto::int("axis", -1));
    let levels = builder.node("embedding.centered", "Sub", &[&levels, "embedding.middle"]);
    let levels = builder.node(
        "embedding.blocks",
        "Reshape",
        &[&levels, "embedding.to_blocks"],
    );
    let scale = builder.node("embedding.block_scale", "Unsqueeze", &[&scale, "last_axis"]);
    let values = builder.node("embedding.scaled", "Mul", &[&levels, &scale]);
    builder.node("embedding", "Reshape", &[&values, "embedding.to_row"])
}

fn pack_row(row: &[f32]) -> Vec<u8> {
    let scaled = row.chunks_exact(BLOCK).flat_map(|block| {
        let scale = quantize::block_scale(block);
        block
            .iter()
            .map(move |x| (quantize::block_level(*x, scale) + 8.0) as u8)
    });
    let levels: Vec<u8> = scaled.collect();
    let (low, high) = levels.split_at(row.len() / 2);
    low.iter()
        .zip(high)
        .map(|(low, high)| low | high << 4)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_blocks_is_known_as_one_and_packed_in_halves() {
        let level = |i: usize| (i * 5 % 16) as f32 - 8.0;
        let row: Vec<f32> = (0..2 * BLOCK)
            .map(|i| level(i) * if i < BLOCK { 0.5 } else { -0.25 })
            .collect();
        assert!(is_of_blocks(&row));
        let packed = pack_row(&row);
        for (i, byte) in packed.iter().enumerate() {
            let halves = [byte & 15, byte >> 4].map(|half| f32::from(half) - 8.0);
            assert_eq!(halves, [level(i), level(BLOCK + i)]);
        }
        let mut other = row.clone();
        other[3] += 1e-6;
        assert!(!is_of_blocks(&other));
        assert!(is_of_blocks(&[0.0; BLOCK]));
    }
}

//! Projections, in every precision, as nodes.

use crate::builder::Builder;
use crate::checkpoint::Checkpoint;
use crate::onnx::{AttributeProto, DataType};
use crate::outliers::{self, Apart};
use crate::quantize::{self, BLOCK};
use crate::scheme::Precision;

/// Side of the square in which a matrix is transposed: two of them fit in the first cache.
const TILE: usize = 64;
/// Zero of activations that are scaled per token: they are symmetric, and stored as uint8, which
/// engines multiply fastest.
pub(crate) const TOKEN_ZERO: u8 = 128;

/// Adds the constants that projections use.
pub(crate) fn constants(builder: &mut Builder<'_>) {
    let mut scalar = |name: &str, kind, bytes: &[u8]| builder.constant(name, kind, &[], bytes);
    // Engines fuse MatMulInteger with what follows where both zero points are given.
    scalar("zero_point", DataType::Int8, &[0]);
    scalar("token.zero_point", DataType::UInt8, &[TOKEN_ZERO]);
    // Casting to uint8 cuts the fraction off: half a step more makes that rounding.
    let offset = f32::from(TOKEN_ZERO) + 0.5;
    scalar("token.offset", DataType::Float, &offset.to_le_bytes());
    scalar("token.levels", DataType::Float, &127.0_f32.to_le_bytes());
    scalar(
        "token.smallest",
        DataType::Float,
        &f32::MIN_POSITIVE.to_le_bytes(),
    );
    outliers::constants(&mut scalar);
    builder.constant("last_axis", DataType::Int64, &[1], &(-1_i64).to_le_bytes());
}

/// A matrix of the network: matrices of the checkpoint, stacked, so that their outputs stand side
/// by side.
#[derive(Clone)]
pub(crate) struct Projection<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) parts: Vec<String>,
}

impl<'a> Projection<'a> {
    pub(crate) fn outputs(&self) -> usize {
        let rows = |part: &String| self.checkpoint.shape(part)[0];
        self.parts.iter().map(rows).sum()
    }

    /// Values that go in, per token.
    pub(crate) fn inputs(&self) -> usize {
        self.checkpoint.shape(&self.parts[0])[1]
    }

    /// Row after row, [outputs, inputs], as the checkpoint has it.
    pub(crate) fn rows(&self) -> Vec<f32> {
        let part = |part: &String| self.checkpoint.tensor(part);
        self.parts.iter().flat_map(part).collect()
    }

    /// Adds `x` times the matrix, and returns the name of the product. `apart` is for those
    /// precisions that treat inputs differently.
    pub(crate) fn multiply(
        self,
        builder: &mut Builder<'a>,
        name: &str,
        x: &str,
        (precision, apart): (Precision, Apart),
    ) -> String {
        match precision {
            Precision::Int8Outliers if !apart.outliers.is_empty() => {
                self.int8_outliers(builder, name, x, apart)
            }
            Precision::Int16Activations => {
                let outliers = (0..self.inputs()).collect();
                let apart = Apart {
                    outliers,
                    shift: None,
                };
                self.int8_outliers(builder, name, x, apart)
            }
            Precision::Float => self.float(builder, name, x),
            Precision::Int8Tensor => self.int8_tensor(builder, name, x),
            Precision::Int8Token | Precision::Int8Outliers => self.int8_token(builder, name, x),
            Precision::Int8Weights => self.int8_weights(builder, name, x),
            Precision::Int4Blocks => self.int4_blocks(builder, name, x),
        }
    }

    fn float(self, builder: &mut Builder<'a>, name: &str, x: &str) -> String {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let weight = builder.tensor(
            &format!("{name}.weight"),
            DataType::Float,
            vec![inputs, outputs],
            move || le_bytes(transpose(&self.rows(), outputs)),
        );
        builder.node(name, "MatMul", &[x, &weight])
    }

    /// The int8 matrix, and its scales, one for each output.
    pub(crate) fn int8(self, builder: &mut Builder<'a>, name: &str) -> (String, String) {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let again = self.clone();
        let scale = builder.tensor(
            &format!("{name}.scale"),
            DataType::Float,
            vec![outputs],
            move || le_bytes(again.rows().chunks_exact(inputs).map(quantize::scale)),
        );
        let weight = builder.tensor(
            &format!("{name}.weight"),
            DataType::Int8,
            vec![inputs, outputs],
            move || {
                let rows = self.rows();
                let quantized: Vec<u8> = rows.chunks_exact(inputs).flat_map(quantize_row).collect();
                transpose(&quantized, outputs)
            },
        );
        (weight, scale)
    }

    fn int8_tensor(self, builder: &mut Builder<'a>, name: &str, x: &str) -> String {
        let (weight, scale) = self.int8(builder, name);
        let own = |part: &str| format!("{name}.{part}");
        let (int8, x_scale, x_zero) = (own("x"), own("x_scale"), own("x_zero_point"));
        builder.push(
            &own("quantize"),
            "DynamicQuantizeLinear",
            &[x],
            &[&int8, &x_scale, &x_zero],
        );
        let sums = builder.node(
            &own("sums"),
            "MatMulInteger",
            &[&int8, &weight, &x_zero, "zero_point"],
        );
        let scale = builder.node(&own("sums_scale"), "Mul", &[&x_scale, &scale]);
        let sums = builder.cast(&own("sums_f32"), &sums, DataType::Float);
        builder.node(name, "Mul", &[&sums, &scale])
    }

    fn int8_token(self, builder: &mut Builder<'a>, name: &str, x: &str) -> String {
        let (weight, scale) = self.int8(builder, name);
        let own = |part: &str| format!("{name}.{part}");
        let magnitude = builder.node(&own("x_magnitude"), "Abs", &[x]);
        let largest = builder.node(&own("x_largest"), "ReduceMax", &[&magnitude, "last_axis"]);
        let largest = builder.node(&own("x_range"), "Max", &[&largest, "token.smallest"]);
        let inverse = builder.node(&own("x_inverse_scale"), "Div", &["token.levels", &largest]);
        let levels = builder.node(&own("x_levels"), "Mul", &[x, &inverse]);
        let levels = builder.node(&own("x_offset"), "Add", &[&levels, "token.offset"]);
        let int8 = builder.cast(&own("x"), &levels, DataType::UInt8);
        let sums = builder.node(
            &own("sums"),
            "MatMulInteger",
            &[&int8, &weight, "token.zero_point", "zero_point"],
        );
        let sums = builder.cast(&own("sums_f32"), &sums, DataType::Float);
        let scaled = builder.node(&own("sums_scaled"), "Mul", &[&sums, &scale]);
        let x_scale = builder.node(&own("x_scale"), "Div", &[&largest, "token.levels"]);
        builder.node(name, "Mul", &[&scaled, &x_scale])
    }

    fn int8_weights(self, builder: &mut Builder<'a>, name: &str, x: &str) -> String {
        let (weight, scale) = self.int8(builder, name);
        // Both engines do this once, when they load the model.
        let weight = builder.cast(&format!("{name}.weight_f32"), &weight, DataType::Float);
        let product = builder.node(&format!("{name}.unscaled"), "MatMul", &[x, &weight]);
        builder.node(name, "Mul", &[&product, &scale])
    }

    fn int4_blocks(self, builder: &mut Builder<'a>, name: &str, x: &str) -> String {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let again = self.clone();
        let weight = builder.tensor(
            &format!("{name}.weight"),
            DataType::UInt8,
            vec![outputs, inputs / BLOCK, BLOCK / 2],
            move || {
                let rows = self.rows();
                let blocks = rows.chunks_exact(BLOCK);
                blocks
                    .flat_map(|block| quantize::pack_block(block, quantize::block_scale(block)))
                    .collect()
            },
        );
        let scale = builder.tensor(
            &format!("{name}.scale"),
            DataType::Float,
            vec![outputs, inputs / BLOCK],
            move || le_bytes(again.rows().chunks_exact(BLOCK).map(quantize::block_scale)),
        );
        builder.contrib_node(name, "MatMulNBits", &[x, &weight, &scale]);
        for (attribute, value) in [
            ("K", inputs),
            ("N", outputs),
            ("bits", 4),
            ("block_size", BLOCK),
        ] {
            builder.attribute(AttributeProto::int(attribute, value as i64));
        }
        // Level 4 lets an engine multiply in int8.
        builder.attribute(AttributeProto::int("accuracy_level", 4));
        name.to_owned()
    }
}

pub(crate) fn quantize_row(row: &[f32]) -> impl Iterator<Item = u8> {
    let scale = quantize::scale(row);
    row.iter().map(move |x| quantize::quantize(*x, scale) as u8)
}

/// [rows, columns] to [columns, rows].
pub(crate) fn transpose<T: Copy + Default>(matrix: &[T], rows: usize) -> Vec<T> {
    let columns = matrix.len() / rows;
    let mut result = vec![T::default(); matrix.len()];
    for top in (0..rows).step_by(TILE) {
        for left in (0..columns).step_by(TILE) {
            for row in top..rows.min(top + TILE) {
                for column in left..columns.min(left + TILE) {
                    result[column * rows + row] = matrix[row * columns + column];
                }
            }
        }
    }
    result
}

pub(crate) fn le_bytes(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_twice_changes_nothing() {
        for (rows, columns) in [(1, 1), (3, 200), (64, 64), (65, 129)] {
            let matrix: Vec<u32> = (0..rows * columns).map(|i| i as u32).collect();
            let turned = transpose(&matrix, rows as usize);
            assert_eq!(
                turned[1 % turned.len()],
                matrix[(columns as usize) % matrix.len()]
            );
            assert_eq!(transpose(&turned, columns as usize), matrix);
        }
    }
}

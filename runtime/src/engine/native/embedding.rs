//! The embedding where it lies in the file: of a large table, few rows are read.

use super::kernels::Isa;
use crate::network::{BLOCK, Format};

/// A token's row of the embedding, and that of its position.
pub(super) struct Embedded<'a> {
    pub(super) format: Format,
    /// The row as it is stored.
    pub(super) bytes: &'a [u8],
    /// Little-endian floats: one scale, or one for every block; none of floats.
    pub(super) scales: &'a [u8],
    /// Little-endian floats to be added, as many as the row has values; or none.
    pub(super) position: &'a [u8],
    /// The row's values.
    pub(super) row: &'a mut [f32],
}

/// Writes a row.
#[inline(always)]
pub(super) fn embed<I: Isa>(_isa: I, work: Embedded<'_>) {
    let Embedded {
        format,
        bytes,
        scales,
        position,
        row,
    } = work;
    let scales = scales.as_chunks().0;
    match format {
        Format::Int8 => {
            let scale = f32::from_le_bytes(scales[0]);
            for (to, level) in row.iter_mut().zip(bytes) {
                *to = f32::from(*level as i8) * scale;
            }
        }
        Format::F32 => {
            for (to, value) in row.iter_mut().zip(bytes.as_chunks().0) {
                *to = f32::from_le_bytes(*value);
            }
        }
        // The first half of a row lies in the low halves of its bytes, the second in the high ones.
        Format::Blocks => {
            let (first, second) = row.split_at_mut(bytes.len());
            for ((first, second), both) in first.iter_mut().zip(second).zip(bytes) {
                *first = f32::from(both & 15) - 8.0;
                *second = f32::from(both >> 4) - 8.0;
            }
            for (block, scale) in row.as_chunks_mut::<BLOCK>().0.iter_mut().zip(scales) {
                let scale = f32::from_le_bytes(*scale);
                block.iter_mut().for_each(|x| *x *= scale);
            }
        }
    }
    for (to, value) in row.iter_mut().zip(position.as_chunks().0) {
        *to += f32::from_le_bytes(*value);
    }
}

//! Kernels read and write what they are given, and nothing after it.

use memmap2::{MmapMut, MmapOptions};

use super::super::kernels::PANEL;
use super::super::packed::{Order, Packed};
use super::super::products::{Product, Rows, Then};
use super::whole::kernels;
use crate::network::{BLOCK, Format, Matrix};

/// A multiple of every page size.
const BYTES: usize = 64 << 10;

/// Memory after whose first [`BYTES`] nothing can be touched: the file that it maps ends there.
fn guarded() -> MmapMut {
    let file = tempfile::tempfile().unwrap();
    file.set_len(BYTES as u64).unwrap();
    // SAFETY: the file has no name, so that nobody else changes it; callers touch the first
    // `BYTES` alone, and the test is that kernels do so too.
    unsafe { MmapOptions::new().len(2 * BYTES).map_copy(&file) }.unwrap()
}

#[test]
#[cfg_attr(miri, ignore = "Miri maps no files")]
fn nothing_behind_a_buffer_is_touched() {
    let int8 = [(1, 1, 1), (37, 65, 5), (64, 64, 6), (190, 130, 7)];
    let blocks = [(32, 1, 1), (64, 65, 5), (160, 130, 7)];
    let int8 = int8.map(|shape| (Format::Int8, shape));
    let blocks = blocks.map(|shape| (Format::Blocks, shape));
    for (format, (inputs, columns, rows)) in int8.into_iter().chain(blocks) {
        // All weights are 3: the scale of a block is 1.
        let (weights, scales) = match format {
            Format::Blocks => {
                let scales = vec![1.0_f32.to_le_bytes(); inputs / BLOCK * columns];
                (vec![0xbb; inputs * columns / 2], Some(scales.concat()))
            }
            Format::F32 | Format::Int8 => (vec![3; inputs * columns], None),
        };
        let matrix = Matrix {
            name: String::new(),
            format,
            inputs,
            stride: columns,
            columns: 0..columns,
            bytes: &weights,
            scale: scales.as_deref(),
            bias: None,
            outliers: None,
        };
        let packed = Packed::new(&matrix, true, Order::AsTheyAre);
        let stride = inputs.next_multiple_of(4);
        let mut x = guarded();
        let mut y = guarded();
        for kernel in kernels() {
            let x = &mut x[BYTES - rows * stride..BYTES];
            x.fill(130);
            let y = &mut y[BYTES - rows * packed.panels * PANEL * 4..BYTES];
            // SAFETY: any four bytes are a float.
            let (before, y, after) = unsafe { y.align_to_mut::<f32>() };
            assert!(before.is_empty() && after.is_empty());
            kernel.multiply(Product {
                x: Rows {
                    count: rows,
                    stride,
                    bytes: x,
                    scales: &vec![1.0; rows],
                    outliers: &[],
                    outlier_scales: &[],
                    floats: &[],
                },
                matrix: &packed,
                then: Then::Store,
                stride: packed.width(),
                y,
                starts: &mut vec![0; rows * packed.blocks()],
            });
            let rows = y.chunks(packed.width());
            let expected = (inputs * 2 * 3) as f32;
            assert!(
                rows.flat_map(|row| &row[..columns])
                    .all(|sum| *sum == expected)
            );
        }
    }
}

//! Kernels read and write what they are given, and nothing after it.

use std::ops::{Deref, DerefMut};

use memmap2::{MmapMut, MmapOptions};

use super::super::attention::{Attention, Heads, TILE_KEYS};
use super::super::kernels::{Chosen, Line, PANEL};
use super::super::packed::{Order, Packed};
use super::super::products::{Product, Rows, Then};
use super::super::rounding::{Normalised, Rounded};
use super::super::store::Store;
use super::whole::kernels;
use crate::network::sample::Noise;
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

/// Floats with such an end.
struct Floats {
    map: MmapMut,
    count: usize,
}

impl Floats {
    fn new(values: &[f32]) -> Self {
        let (map, count) = (guarded(), values.len());
        let mut floats = Self { map, count };
        floats.copy_from_slice(values);
        floats
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let bytes = &self.map[BYTES - 4 * self.count..BYTES];
        // SAFETY: any four bytes are a float.
        let (before, floats, after) = unsafe { bytes.align_to() };
        assert!(before.is_empty() && after.is_empty());
        floats
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        let bytes = &mut self.map[BYTES - 4 * self.count..BYTES];
        // SAFETY: any four bytes are a float.
        let (before, floats, after) = unsafe { bytes.align_to_mut() };
        assert!(before.is_empty() && after.is_empty());
        floats
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri maps no files")]
fn nothing_behind_rows_weights_and_products_is_touched() {
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
        let lines = Packed::lines(&matrix, true, Order::AsTheyAre);
        let start = BYTES - lines * size_of::<Line>();
        let mut store = Store::within(guarded(), start, lines);
        let packed = Packed::new(&matrix, true, Order::AsTheyAre, &mut store);
        let stride = inputs.next_multiple_of(4);
        let mut x = guarded();
        let x = &mut x[BYTES - rows * stride..BYTES];
        x.fill(130);
        for kernel in kernels() {
            let mut y = Floats::new(&vec![0.0; rows * packed.panels * PANEL]);
            kernel.multiply(Product {
                x: Rows {
                    count: rows,
                    stride,
                    bytes: x,
                    scales: &Floats::new(&vec![1.0; rows]),
                    outliers: &[],
                    outlier_scales: &[],
                    floats: &[],
                },
                matrix: &packed,
                then: Then::Store,
                stride: packed.width(),
                y: &mut y,
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

fn noise(count: usize) -> Vec<f32> {
    let mut noise = Noise::default();
    (0..count).map(|_| noise.next()).collect()
}

/// Rows that are normalised and rounded.
fn normalised(kernel: Chosen, x: &[f32], y: &mut [f32], bytes: &mut [u8], stride: usize) {
    let scales = &mut Floats::new(&vec![0.0; x.len() / stride])[..];
    kernel.normalise(Normalised {
        x,
        stride,
        width: stride - 3,
        weights: &Floats::new(&vec![2.0; stride]),
        shifts: Some(&Floats::new(&vec![0.5; stride])),
        epsilon: 1e-6,
        y,
        rounded: Some((bytes, scales)),
    });
    kernel.round(Rounded {
        x: y,
        stride,
        bytes,
        scales,
        apart: None,
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri maps no files")]
fn nothing_behind_normalised_rows_is_touched() {
    let (rows, stride) = (3, 48);
    let x = noise(rows * stride);
    for kernel in kernels() {
        let (mut y, mut bytes) = (vec![0.0; x.len()], vec![0; x.len()]);
        normalised(kernel, &x, &mut y, &mut bytes, stride);
        let mut guarded_y = Floats::new(&vec![0.0; x.len()]);
        let mut map = guarded();
        let guarded_bytes = &mut map[BYTES - x.len()..BYTES];
        normalised(
            kernel,
            &Floats::new(&x),
            &mut guarded_y,
            guarded_bytes,
            stride,
        );
        assert_eq!((&*guarded_y, &*guarded_bytes), (&y[..], &bytes[..]));
    }
}

/// What `count` queries that end a text of `length` tokens find.
fn attended(
    kernel: Chosen,
    (heads, count, length): (Heads, usize, usize),
    [queries, keys, values]: [&[f32]; 3],
    mixed: &mut [f32],
) {
    kernel.attend(Attention {
        heads,
        queries,
        count,
        stride: heads.heads * heads.size,
        position: Some(length - count),
        length,
        keys,
        values,
        mixed,
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri maps no files")]
fn nothing_behind_queries_keys_and_values_is_touched() {
    let heads = Heads {
        heads: 4,
        kv_heads: 2,
        size: 24,
    };
    for (count, length) in [(1, 1_usize), (5, 5), (7, 16), (6, 67)] {
        let shape = (heads, count, length);
        let queries = noise(count * heads.heads * heads.size);
        let keys = noise(length.div_ceil(TILE_KEYS) * heads.tile());
        let values = noise(length * heads.values());
        for kernel in kernels() {
            let mut mixed = vec![0.0; queries.len()];
            attended(kernel, shape, [&queries, &keys, &values], &mut mixed);
            let all = [&queries, &keys, &values].map(|values| Floats::new(values));
            let mut guarded_mixed = Floats::new(&vec![0.0; queries.len()]);
            let all = all.each_ref().map(|values| &**values);
            attended(kernel, shape, all, &mut guarded_mixed);
            assert_eq!(*guarded_mixed, mixed);
        }
    }
}

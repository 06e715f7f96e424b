//! The parts by themselves, at odd sizes.

use super::super::kernels::{Chosen, KERNELS, Line, PANEL};
use super::super::packed::{Numbers, Order, Packed};
use super::super::products::{Product, Rows, Then};
use super::super::rounding::Rounded;
use super::super::store::Store;
use super::whole::kernels;
use crate::network::sample::Noise;
use crate::network::{Format, Matrix};

fn bytes(count: usize) -> Vec<u8> {
    let mut noise = Noise::default();
    (0..count)
        .map(|_| (128.0 * noise.next()) as i8 as u8)
        .collect()
}

fn matrix(inputs: usize, columns: usize, bytes: &[u8]) -> Packed {
    let ones: Vec<u8> = std::iter::repeat_n(1.0_f32.to_le_bytes(), columns)
        .flatten()
        .collect();
    let matrix = Matrix {
        name: String::new(),
        format: Format::Int8,
        inputs,
        stride: columns,
        columns: 0..columns,
        bytes,
        scale: Some(&ones),
        bias: None,
        outliers: None,
    };
    packed(&matrix)
}

/// A matrix in a store of its own, whose activations are rounded.
pub(super) fn packed(matrix: &Matrix<'_>) -> Packed {
    let order = Order::AsTheyAre;
    let mut store = Store::with_room_for(Packed::lines(matrix, true, order)).unwrap();
    let packed = Packed::new(matrix, true, order, &mut store);
    assert!(store.is_full());
    packed
}

/// Sums of int8 products up to 2^24 are exact in floats, as which they come out.
#[test]
fn integer_sums_are_exact_at_odd_sizes() {
    for (inputs, columns) in [(1, 1), (3, 65), (4, 64), (37, 130), (190, 16), (333, 48)] {
        let weights = bytes(inputs * columns);
        let packed = matrix(inputs, columns, &weights);
        for rows in [1, 2, 3, 5, 6, 7, 13] {
            let stride = inputs.next_multiple_of(16);
            let x: Vec<u8> = bytes(rows * stride)
                .iter()
                .map(|x| x.wrapping_mul(97))
                .collect();
            let expected: Vec<f32> = (0..rows * columns)
                .map(|place| {
                    let (row, column) = (place / columns, place % columns);
                    let products = (0..inputs).map(|input| {
                        let weight = weights[input * columns + column] as i8;
                        (i32::from(x[row * stride + input]) - 128) * i32::from(weight)
                    });
                    products.sum::<i32>() as f32
                })
                .collect();
            for kernel in kernels() {
                let mut y = vec![0.0; rows * packed.width()];
                kernel.multiply(Product {
                    x: Rows {
                        count: rows,
                        stride,
                        bytes: &x,
                        scales: &vec![1.0; rows],
                        outliers: &[],
                        outlier_scales: &[],
                        floats: &[],
                    },
                    matrix: &packed,
                    then: Then::Store,
                    stride: packed.width(),
                    y: &mut y,
                    starts: &mut [],
                });
                let found: Vec<f32> = y
                    .chunks(packed.width())
                    .flat_map(|row| &row[..columns])
                    .copied()
                    .collect();
                assert_eq!(
                    found,
                    expected,
                    "{} {rows} x {inputs} x {columns}",
                    kernel.name()
                );
            }
        }
    }
}

#[test]
fn packing_keeps_every_weight_and_fills_up_with_zeros() {
    let (inputs, columns) = (5, 70);
    let weights = bytes(inputs * columns);
    let packed = matrix(inputs, columns, &weights);
    assert_eq!((packed.panels, packed.panel_lines()), (2, 8));
    let Numbers::Int8(lines, starts) = &packed.numbers else {
        panic!("of floats")
    };
    for column in 0..2 * PANEL {
        let mut sum = 0;
        for input in 0..8 {
            let line = column / PANEL * 8 + input / 4 * 4 + column % PANEL / 16;
            let Line(line) = lines[line];
            let found = line[column % 16 * 4 + input % 4];
            let expected = match input < inputs && column < columns {
                true => weights[input * columns + column] as i8,
                false => 0,
            };
            assert_eq!(found, expected, "{input} {column}");
            sum += i32::from(found);
        }
        assert_eq!(starts[column], -128 * sum);
    }
}

#[test]
fn rounding_is_to_the_nearest_and_says_what_is_not_finite() {
    let row = |value: f32| -> Vec<f32> { (0..32).map(|i| (i as f32 - 11.3) * value).collect() };
    let mut damaged = row(1.0);
    damaged[17] = f32::NAN;
    let mut overflowed = row(1.0);
    overflowed[3] = f32::NEG_INFINITY;
    let rows = [
        row(0.37),
        row(0.0),
        row(f32::MIN_POSITIVE / 64.0),
        row(1e-37),
        damaged,
        overflowed,
    ];
    for kernel in kernels() {
        let (mut bytes, mut scales) = (vec![0; 32 * rows.len()], vec![0.0; rows.len()]);
        kernel.round(Rounded {
            x: &rows.concat(),
            stride: 32,
            bytes: &mut bytes,
            scales: &mut scales,
            apart: None,
        });
        for (row, bytes) in [(0, &bytes[..32]), (3, &bytes[96..128])] {
            for (x, byte) in rows[row].iter().zip(bytes) {
                let level = (x / scales[row]).round_ties_even();
                assert_eq!(f32::from(*byte) - 128.0, level, "{} {x}", kernel.name());
            }
        }
        assert!(bytes[32..96].iter().all(|byte| *byte == 128));
        assert_eq!(scales[1..3], [0.0; 2]);
        assert!(scales[4].is_nan() && scales[5].is_nan());
    }
}

#[test]
fn the_last_kernel_runs_everywhere_and_names_differ() {
    assert!(Chosen::of(KERNELS.last().unwrap()).is_some());
    for (place, kernel) in KERNELS.iter().enumerate() {
        assert!(
            KERNELS[..place]
                .iter()
                .all(|other| other.name != kernel.name)
        );
    }
}

//! Outlier features: products near those of floats, the same on every kernel.

use super::super::kernels::Chosen;
use super::super::outliers::Apart;
use super::super::products::{Product, Rows, Then};
use super::super::rounding::Rounded;
use super::alone::packed;
use super::whole::{kernels, scalar};
use crate::network::sample::Noise;
use crate::network::{Format, Matrix, Outliers, Shift};

const INPUTS: usize = 75;
const COLUMNS: usize = 70;
const ROWS: usize = 8;
const STRIDE: usize = 128;
const SHIFT: f32 = 0.25;

/// Rows of values of the order of 1, not below `-SHIFT` if they are to be shifted; those of
/// `outliers` are a thousand times larger.
fn rows(outliers: &[usize], is_shifted: bool) -> Vec<f32> {
    let mut noise = Noise::default();
    let mut rows = vec![0.0; ROWS * STRIDE];
    for row in rows.chunks_exact_mut(STRIDE) {
        for (input, x) in row[..INPUTS].iter_mut().enumerate() {
            *x = match (outliers.contains(&input), is_shifted) {
                (true, _) => 1000.0 * noise.next(),
                (false, true) => noise.next().abs() - SHIFT,
                (false, false) => noise.next(),
            };
        }
    }
    rows
}

fn weights(inputs: usize) -> Vec<i8> {
    let mut noise = Noise::default();
    let weight = |_| (127.0 * noise.next()) as i8;
    (0..inputs * COLUMNS).map(weight).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// What a kernel makes of rows and weights of scale 1.
fn found(
    kernel: Chosen,
    rows: &[f32],
    weights: &[i8],
    outliers: &[usize],
    shift: bool,
) -> Vec<f32> {
    let bytes: Vec<u8> = weights.iter().map(|x| *x as u8).collect();
    let inputs = weights.len() / COLUMNS;
    let shifted = (0..COLUMNS).map(|column| {
        let kept = (0..inputs).filter(|input| !outliers.contains(input));
        let sum: f32 = kept
            .map(|input| f32::from(weights[input * COLUMNS + column]))
            .sum();
        SHIFT * sum
    });
    let product: Vec<u8> = shifted.flat_map(f32::to_le_bytes).collect();
    let matrix = Matrix {
        name: String::new(),
        format: Format::Int8,
        inputs,
        stride: COLUMNS,
        columns: 0..COLUMNS,
        bytes: &bytes,
        scale: None,
        bias: None,
        outliers: Some(Outliers {
            inputs: outliers.to_vec(),
            shift: shift.then_some(Shift {
                term: SHIFT,
                product: &product,
            }),
        }),
    };
    let packed = packed(&matrix);
    let of = packed.outliers.as_ref().unwrap();
    let (mut bytes, mut scales) = (vec![0; ROWS * STRIDE], vec![0.0; ROWS]);
    let (mut halves, mut outlier_scales) = (vec![0; ROWS * 2 * of.half()], vec![0.0; ROWS]);
    kernel.round(Rounded {
        x: rows,
        stride: STRIDE,
        bytes: &mut bytes,
        scales: &mut scales,
        apart: Some(Apart {
            outliers: of,
            gathered: &mut vec![7.0; of.half()],
            bytes: &mut halves,
            scales: &mut outlier_scales,
        }),
    });
    let mut y = vec![0.0; ROWS * packed.width()];
    kernel.multiply(Product {
        x: Rows {
            count: ROWS,
            stride: STRIDE,
            bytes: &bytes,
            scales: &scales,
            outliers: &halves,
            outlier_scales: &outlier_scales,
            floats: &[],
        },
        matrix: &packed,
        then: Then::Store,
        stride: packed.width(),
        y: &mut y,
        starts: &mut [],
    });
    let rows = y.chunks(packed.width());
    rows.flat_map(|row| &row[..COLUMNS]).copied().collect()
}

#[test]
fn only_what_is_no_outlier_is_rounded_to_eight_bits() {
    let weights = weights(INPUTS);
    let all: Vec<usize> = (0..INPUTS).collect();
    for outliers in [&[3][..], &[0, 17, 74][..], &all[..]] {
        for shift in [false, true].into_iter().take(2 - outliers.len() / INPUTS) {
            let rows = rows(&outliers[..outliers.len() % INPUTS], shift);
            let expected = found(scalar(), &rows, &weights, outliers, shift);
            for kernel in kernels() {
                let found = found(kernel, &rows, &weights, outliers, shift);
                assert_eq!(bits(&found), bits(&expected), "{}", kernel.name());
            }
            // Half a step each: of 127 to the largest, or 255 from -SHIFT on; of outliers, 254 to
            // each of those.
            let step = match (outliers.len() == INPUTS, shift) {
                (true, _) => 0.0,
                (false, true) => (1.0 + SHIFT) / 255.0,
                (false, false) => 1.0 / 127.0,
            };
            let largest = if outliers.len() == INPUTS {
                1.0
            } else {
                1000.0
            };
            let fine_step = largest / 127.0 / 254.0;
            for (place, found) in expected.iter().enumerate() {
                let (row, column) = (place / COLUMNS, place % COLUMNS);
                let (mut sum, mut bound) = (0.0, 0.0);
                for input in 0..INPUTS {
                    let weight = f64::from(weights[input * COLUMNS + column]);
                    sum += f64::from(rows[row * STRIDE + input]) * weight;
                    let step = if outliers.contains(&input) {
                        fine_step
                    } else {
                        step
                    };
                    bound += weight.abs() * f64::from(step) / 2.0;
                }
                let error = (f64::from(*found) - sum).abs();
                assert!(
                    error <= 1.01 * bound + 1e-2,
                    "{outliers:?} {shift}: {error} of {bound}"
                );
            }
        }
    }
}

/// All inputs in their order are taken from where they lie, if they fill whole vectors; else they
/// are gathered.
#[test]
fn in_which_order_outliers_are_listed_makes_no_difference() {
    let inputs = INPUTS.next_multiple_of(16);
    let (rows, weights) = (rows(&[], false), weights(inputs));
    let in_order: Vec<usize> = (0..inputs).collect();
    let reversed: Vec<usize> = (0..inputs).rev().collect();
    for kernel in kernels() {
        let [found, expected] =
            [&in_order, &reversed].map(|all| bits(&found(kernel, &rows, &weights, all, false)));
        assert_eq!(found, expected, "{}", kernel.name());
    }
}

#[test]
fn what_is_not_finite_makes_its_row_so() {
    let weights = weights(INPUTS);
    for place in [3, 5] {
        let mut rows = rows(&[3], false);
        rows[2 * STRIDE + place] = f32::INFINITY;
        for kernel in kernels() {
            let found = found(kernel, &rows, &weights, &[3], false);
            let mut rows = found.chunks(COLUMNS).enumerate();
            assert!(rows.all(|(row, x)| x.iter().all(|x| x.is_nan() == (row == 2))));
        }
    }
}

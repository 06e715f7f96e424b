//! What products cost beside the most that a core can do, measured in the same run; a measurement,
//! and so ignored.

use std::hint::black_box;
use std::time::Instant;

use super::super::kernels::Chosen;
use super::super::products::{Product, Rows, Then};
use super::alone::packed;
use super::whole::kernels;
use crate::network::{Format, Matrix};

const RUNS: usize = 300;

/// The least seconds of many runs.
fn least(mut work: impl FnMut()) -> f64 {
    let times = (0..RUNS).map(|_| {
        let started = Instant::now();
        work();
        started.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

/// Multiply-adds of int8 a second of one core, from registers to registers: 16 independent sums of
/// `vpdpbusd`. `None` where the CPU has it not.
#[cfg(target_arch = "x86_64")]
fn peak() -> Option<f64> {
    use std::arch::x86_64::*;
    const ROUNDS: usize = 4000;

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn sums() -> i32 {
        let mut sums = [_mm512_set1_epi32(black_box(1)); 16];
        let (x, weights) = (
            _mm512_set1_epi8(black_box(3)),
            _mm512_set1_epi8(black_box(2)),
        );
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, x, weights);
            }
        }
        let total = sums.into_iter().reduce(|a, b| _mm512_add_epi32(a, b));
        _mm512_reduce_add_epi32(total.expect("there are sums"))
    }

    if !is_x86_feature_detected!("avx512vnni") {
        return None;
    }
    let seconds = least(|| {
        // SAFETY: the CPU has the features, as was just seen.
        black_box(unsafe { sums() });
    });
    Some((ROUNDS * 16 * 64) as f64 / seconds)
}

#[cfg(not(target_arch = "x86_64"))]
fn peak() -> Option<f64> {
    None
}

/// `cargo test --release -p duoguard --lib -- --ignored --nocapture what_products_cost`
#[test]
#[ignore = "a measurement, for docs/log/2026-11-28-native-engine.md"]
fn what_products_cost() {
    for kernel in kernels() {
        let peak = peak();
        println!(
            "{}: peak {:.0} G multiply-adds a second",
            kernel.name(),
            peak.unwrap_or(0.0) / 1e9
        );
        for (inputs, columns) in [
            (192, 384),
            (192, 1024),
            (512, 192),
            (896, 1152),
            (4864, 896),
        ] {
            for rows in [1, 16, 64] {
                let rate = rate(kernel, inputs, columns, rows);
                let share = peak.map_or(f64::NAN, |peak| rate / peak);
                println!(
                    "  {rows:3} x {inputs:4} x {columns:4}: {:4.0} G, {share:.2} of the peak",
                    rate / 1e9
                );
            }
        }
    }
}

/// Multiply-adds a second.
fn rate(kernel: Chosen, inputs: usize, columns: usize, rows: usize) -> f64 {
    let weights = vec![3; inputs * columns];
    let matrix = Matrix {
        name: String::new(),
        format: Format::Int8,
        inputs,
        stride: columns,
        columns: 0..columns,
        bytes: &weights,
        scale: None,
        bias: None,
        outliers: None,
    };
    let packed = packed(&matrix);
    let stride = inputs.next_multiple_of(64);
    let (x, scales) = (vec![130; rows * stride], vec![0.1; rows]);
    let mut y = vec![0.0; rows * packed.width()];
    let seconds = least(|| {
        kernel.multiply(Product {
            x: Rows {
                count: rows,
                stride,
                bytes: &x,
                scales: &scales,
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
    });
    black_box(&y);
    (rows * inputs * columns) as f64 / seconds
}

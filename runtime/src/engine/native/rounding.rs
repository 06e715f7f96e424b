//! Norms, rounding to int8 with a scale for every row, and `exp`.

use super::kernels::{Isa, LANES};
use super::outliers::{self, Apart};

/// Adding this to a float of small magnitude leaves the nearest integer, ties to even, in the low
/// bits.
pub(super) const TO_INTEGER: f32 = 12_582_912.0;
/// The bits of infinity: those of larger magnitudes are NaN.
const INFINITY: u32 = 0x7f80_0000;

/// Rows to be rounded.
pub(super) struct Rounded<'a> {
    /// Rows of `stride` values, a multiple of [`LANES`].
    pub(super) x: &'a [f32],
    pub(super) stride: usize,
    /// As many bytes as `x` has values: each value as a multiple of its row's scale, plus 128.
    pub(super) bytes: &'a mut [u8],
    /// A scale for every row; NaN for a row that holds a value which is not finite.
    pub(super) scales: &'a mut [f32],
    /// What is rounded otherwise; absent if nothing is.
    pub(super) apart: Option<Apart<'a>>,
}

/// Rows to be divided by their root mean square; or, with shifts, by that of their differences from
/// their mean, which is subtracted.
pub(super) struct Normalised<'a> {
    /// Rows of `stride` values, a multiple of [`LANES`]; those from `width` on are 0.
    pub(super) x: &'a [f32],
    pub(super) stride: usize,
    pub(super) width: usize,
    /// The norm's weights, `stride` of them.
    pub(super) weights: &'a [f32],
    /// Added in the end, as many; 0 from `width` on.
    pub(super) shifts: Option<&'a [f32]>,
    pub(super) epsilon: f32,
    /// As `x`.
    pub(super) y: &'a mut [f32],
    /// Where they are rounded to as well; absent if the next matrix is of floats.
    pub(super) rounded: Option<(&'a mut [u8], &'a mut [f32])>,
}

/// Rounds every row to multiples of the 127th part of its largest magnitude.
#[inline(always)]
pub(super) fn round<I: Isa>(isa: I, mut work: Rounded<'_>) {
    if let Some(apart) = work.apart.take() {
        return outliers::round(isa, work, apart);
    }
    let rows = work.x.chunks_exact(work.stride);
    let bytes = work.bytes.chunks_exact_mut(work.stride);
    for ((row, bytes), scale) in rows.zip(bytes).zip(work.scales) {
        let row = row.as_chunks().0;
        let mut largest = isa.splat(0.0);
        for x in row {
            largest = isa.max_magnitude(largest, isa.load(x));
        }
        *scale = round_row(isa, row, largest, bytes);
    }
}

/// Normalises every row, and rounds it.
#[inline(always)]
pub(super) fn normalise<I: Isa>(isa: I, work: Normalised<'_>) {
    let weights = work.weights.as_chunks().0;
    let shifts = work.shifts.map(|shifts| shifts.as_chunks().0);
    let (stride, width) = (work.stride, work.width);
    let rows = work
        .x
        .chunks_exact(stride)
        .zip(work.y.chunks_exact_mut(stride));
    let mut rounded = work.rounded;
    for (number, (x, y)) in rows.enumerate() {
        let (x, y) = (x.as_chunks().0, y.as_chunks_mut().0);
        let largest = match shifts {
            None => by_root_mean_square(isa, (x, width), weights, work.epsilon, y),
            Some(shifts) => by_deviation(isa, (x, width), (weights, shifts), work.epsilon, y),
        };
        if let Some((bytes, scales)) = &mut rounded {
            let bytes = &mut bytes[number * stride..][..stride];
            scales[number] = round_row(isa, y, largest, bytes);
        }
    }
}

/// Gives the largest magnitudes of the result.
#[inline(always)]
fn by_root_mean_square<I: Isa>(
    isa: I,
    (x, width): (&[[f32; LANES]], usize),
    weights: &[[f32; LANES]],
    epsilon: f32,
    y: &mut [[f32; LANES]],
) -> I::F {
    let mut squares = isa.splat(0.0);
    for x in x {
        let x = isa.load(x);
        squares = isa.add(squares, isa.mul(x, x));
    }
    let mean = sum(isa, squares) / width as f32;
    let inverse = isa.splat(1.0 / (mean + epsilon).sqrt());
    let mut largest = isa.splat(0.0);
    for ((x, weight), y) in x.iter().zip(weights).zip(y) {
        let normal = isa.mul(isa.mul(isa.load(x), inverse), isa.load(weight));
        largest = isa.max_magnitude(largest, normal);
        isa.store(normal, y);
    }
    largest
}

/// Gives the largest magnitudes of the result.
#[inline(always)]
fn by_deviation<I: Isa>(
    isa: I,
    (x, width): (&[[f32; LANES]], usize),
    (weights, shifts): (&[[f32; LANES]], &[[f32; LANES]]),
    epsilon: f32,
    y: &mut [[f32; LANES]],
) -> I::F {
    let zero = isa.splat(0.0);
    let mut total = zero;
    for x in x {
        total = isa.add(total, isa.load(x));
    }
    let mean = isa.splat(sum(isa, total) / width as f32);
    let mut squares = zero;
    let (whole, rest) = (width / LANES, width % LANES);
    for x in &x[..whole] {
        let x = isa.sub(isa.load(x), mean);
        squares = isa.add(squares, isa.mul(x, x));
    }
    if rest > 0 {
        let x = isa.first(rest, isa.sub(isa.load(&x[whole]), mean), zero);
        squares = isa.add(squares, isa.mul(x, x));
    }
    let variance = sum(isa, squares) / width as f32;
    let inverse = isa.splat(1.0 / (variance + epsilon).sqrt());
    let mut largest = zero;
    let parts = x.iter().zip(weights).zip(shifts).zip(y);
    for (((x, weight), shift), y) in parts {
        let x = isa.mul(isa.sub(isa.load(x), mean), inverse);
        let normal = isa.add(isa.mul(x, isa.load(weight)), isa.load(shift));
        largest = isa.max_magnitude(largest, normal);
        isa.store(normal, y);
    }
    largest
}

/// Rounds a row whose largest magnitude is among `largest`, and gives its scale.
#[inline(always)]
fn round_row<I: Isa>(isa: I, row: &[[f32; LANES]], largest: I::F, bytes: &mut [u8]) -> f32 {
    let (inverse, scale) = scale(isa, largest, 127.0);
    let offset = isa.splat(TO_INTEGER + 128.0);
    for (x, bytes) in row.iter().zip(bytes.as_chunks_mut().0) {
        let levels = isa.mul(isa.load(x), inverse);
        isa.store_bytes(isa.add(levels, offset), bytes);
    }
    scale
}

/// Of values whose largest magnitude is among `largest`: what they are multiplied by, so that it
/// becomes `levels`, and what the result is multiplied by to have them back. NaN if one of them is
/// not finite.
#[inline(always)]
pub(super) fn scale<I: Isa>(isa: I, largest: I::F, levels: f32) -> (I::F, f32) {
    let mut lanes = [0.0; LANES];
    isa.store(largest, &mut lanes);
    // All are positive, so that their bits are in the order of their values, NaN last.
    let largest = lanes.iter().fold(0, |most, x| x.to_bits().max(most));
    let (inverse, scale) = match f32::from_bits(largest) {
        _ if largest >= INFINITY => (0.0, f32::NAN),
        largest if largest < f32::MIN_POSITIVE => (0.0, 0.0),
        largest => (levels / largest, largest / levels),
    };
    (isa.splat(inverse.min(f32::MAX)), scale)
}

/// The sum of all lanes, in a fixed order.
#[inline(always)]
pub(super) fn sum<I: Isa>(isa: I, x: I::F) -> f32 {
    across(isa, x, |a, b| a + b)
}

/// The largest lane, of numbers.
#[inline(always)]
pub(super) fn maximum<I: Isa>(isa: I, x: I::F) -> f32 {
    across(isa, x, |a, b| if a > b { a } else { b })
}

/// Lanes that are half of the rest apart, then half of that, are put together.
#[inline(always)]
fn across<I: Isa>(isa: I, x: I::F, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    isa.store(x, &mut lanes);
    let eight: [f32; 8] = std::array::from_fn(|i| join(lanes[i], lanes[i + 8]));
    let four: [f32; 4] = std::array::from_fn(|i| join(eight[i], eight[i + 4]));
    join(join(four[0], four[2]), join(four[1], four[3]))
}

/// `e` to the power of each lane; above 88 as of 88. See [`exp_of_negative`].
#[inline(always)]
pub(super) fn exp<I: Isa>(isa: I, x: I::F) -> I::F {
    let zero = isa.splat(0.0);
    let negative = isa.max(isa.splat(-88.0), isa.sub(zero, x));
    exp_of_negative(isa, isa.sub(zero, negative))
}

/// `e` to the power of each lane, of which none is above 88; below -87 as of -87. Within 2 units in
/// the last place, and exactly 1 for 0.
///
/// A power of two times a polynomial of what is left, after Cephes' `expf`.
#[inline(always)]
pub(super) fn exp_of_negative<I: Isa>(isa: I, x: I::F) -> I::F {
    let constant = |value| isa.splat(value);
    // `max` gives its second argument where one is NaN: x stays NaN.
    let x = isa.max(constant(-87.0), x);
    let shifted = isa.add(
        isa.mul(x, constant(std::f32::consts::LOG2_E)),
        constant(TO_INTEGER),
    );
    let power = isa.sub(shifted, constant(TO_INTEGER));
    let rest = isa.sub(x, isa.mul(power, constant(0.693_359_4)));
    let rest = isa.sub(rest, isa.mul(power, constant(-2.121_944_4e-4)));
    let mut polynomial = constant(1.987_569_1e-4);
    for coefficient in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ] {
        polynomial = isa.add(isa.mul(polynomial, rest), constant(coefficient));
    }
    let square = isa.mul(rest, rest);
    let mantissa = isa.add(isa.add(isa.mul(polynomial, square), rest), constant(1.0));
    isa.mul(mantissa, isa.exponent(shifted))
}

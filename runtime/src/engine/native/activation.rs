//! What stands between two projections, on sixteen values at a time.

use super::kernels::Isa;
use super::rounding::exp;

/// From here on the normal distribution's cumulative function is 1, to what a float can tell.
const NORMAL_END: f32 = 5.0;
/// The cumulative function of x, less a half, divided by x: a polynomial in `2 x^2 / 25 - 1`, found
/// for the least error relative to 1 over [-5, 5], which is 1.6e-7.
const NORMAL: [f32; 13] = [
    0.141_363_78,
    -0.070_296_28,
    0.051_520_526,
    -0.040_442_6,
    0.031_442_128,
    -0.023_268_702,
    0.016_402_371,
    -0.011_164_213,
    0.006_410_098,
    -0.002_685_716_1,
    0.001_723_193_9,
    -0.001_613_208_8,
    0.000_608_586_5,
];
/// Of the tanh that approximates: `sqrt(2 / pi)`, and the factor of the cube.
const GELU_TANH: [f32; 2] = [0.797_884_6, 0.044_715];

/// `silu(gate) * up`
#[inline(always)]
pub(super) fn swiglu<I: Isa>(isa: I, gate: I::F, up: I::F) -> I::F {
    isa.mul(sigmoid_times(isa, gate, gate), up)
}

/// x times the cumulative function of x, of vectors side by side.
#[inline(always)]
pub(super) fn gelu<I: Isa, const N: usize>(isa: I, x: [I::F; N]) -> [I::F; N] {
    let start = isa.splat(-NORMAL_END);
    // `max` gives its second argument where one is NaN, so that x stays NaN.
    let zero = isa.splat(0.0);
    // `from_fn` is inlined into the kernel, with its instructions; `map` is not.
    let clamped: [I::F; N] = std::array::from_fn(|v| {
        let x = isa.max(start, x[v]);
        isa.sub(zero, isa.max(start, isa.sub(zero, x)))
    });
    let factor = isa.splat(2.0 / (NORMAL_END * NORMAL_END));
    let squares: [I::F; N] = std::array::from_fn(|v| {
        let square = isa.mul(clamped[v], clamped[v]);
        isa.sub(isa.mul(square, factor), isa.splat(1.0))
    });
    let [rest @ .., last] = NORMAL;
    let mut sums = [isa.splat(last); N];
    for coefficient in rest.iter().rev() {
        let coefficient = isa.splat(*coefficient);
        for v in 0..N {
            sums[v] = isa.add(isa.mul(sums[v], squares[v]), coefficient);
        }
    }
    std::array::from_fn(|v| {
        let share = isa.add(isa.mul(clamped[v], sums[v]), isa.splat(0.5));
        isa.mul(x[v], share)
    })
}

/// The same, approximated with tanh.
#[inline(always)]
pub(super) fn gelu_tanh<I: Isa>(isa: I, x: I::F) -> I::F {
    let [root, cubic] = GELU_TANH;
    let square = isa.mul(x, x);
    let inner = isa.add(isa.splat(1.0), isa.mul(square, isa.splat(cubic)));
    let inner = isa.mul(isa.mul(x, isa.splat(2.0 * root)), inner);
    // Half of one and tanh is the logistic function of twice its argument.
    sigmoid_times(isa, inner, x)
}

#[inline(always)]
pub(super) fn tanh<I: Isa>(isa: I, x: I::F) -> I::F {
    let twice = isa.add(x, x);
    let share = sigmoid_times(isa, twice, isa.splat(2.0));
    isa.sub(share, isa.splat(1.0))
}

/// The logistic function of x, times y.
#[inline(always)]
fn sigmoid_times<I: Isa>(isa: I, x: I::F, y: I::F) -> I::F {
    let negative = exp(isa, isa.sub(isa.splat(0.0), x));
    isa.div(y, isa.add(isa.splat(1.0), negative))
}

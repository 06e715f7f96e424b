//! NEON, and its dot products where there are: four floats in a register, four registers for
//! sixteen.

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

use super::super::packed::BLOCK_LINES;
use super::isa::{Isa, LANES, Line, PANEL, TILE_ROWS, Tile, check, check_block};

/// A CPU with NEON; with `DOTS` also with the dot products of int8.
#[derive(Clone, Copy)]
pub(in super::super) struct Neon<const DOTS: bool>(());

pub(super) fn is_available() -> bool {
    is_aarch64_feature_detected!("neon")
}

pub(super) fn has_dotprod() -> bool {
    is_available() && is_aarch64_feature_detected!("dotprod")
}

impl<const DOTS: bool> Neon<DOTS> {
    /// # Safety
    /// [`is_available`] must be true; with `DOTS`, [`has_dotprod`].
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

/// Methods that are the same expression of intrinsics for every quarter.
macro_rules! quarters {
    ($($name:ident($($x:ident),*) = $value:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($x: [float32x4_t; 4]),*) -> [float32x4_t; 4] {
            std::array::from_fn(|i| {
                $(let $x = $x[i];)*
                // SAFETY: a value of `Neon` exists where the CPU has NEON alone.
                unsafe { $value }
            })
        }
    )*};
}

impl<const DOTS: bool> Isa for Neon<DOTS> {
    type F = [float32x4_t; 4];

    quarters! {
        add(a, b) = vaddq_f32(a, b);
        sub(a, b) = vsubq_f32(a, b);
        mul(a, b) = vmulq_f32(a, b);
        div(a, b) = vdivq_f32(a, b);
        // As on other CPUs, the second where one is NaN.
        max(a, b) = vbslq_f32(vcgtq_f32(a, b), a, b);
        max_magnitude(a, b) = vreinterpretq_f32_u32(vmaxq_u32(
            vreinterpretq_u32_f32(a),
            vreinterpretq_u32_f32(vabsq_f32(b)),
        ));
        exponent(x) = vreinterpretq_f32_u32(vaddq_u32(
            vshlq_n_u32::<23>(vreinterpretq_u32_f32(x)),
            vdupq_n_u32(0x3f80_0000),
        ));
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        // SAFETY: the CPU has NEON, since `self` exists.
        [unsafe { vdupq_n_f32(x) }; 4]
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::F {
        // SAFETY: the CPU has NEON, since `self` exists; the array has four quarters.
        std::array::from_fn(|i| unsafe { vld1q_f32(x.as_ptr().add(4 * i)) })
    }

    #[inline(always)]
    fn store(self, x: Self::F, to: &mut [f32; LANES]) {
        for (i, x) in x.into_iter().enumerate() {
            // SAFETY: the CPU has NEON, since `self` exists; the array has four quarters.
            unsafe { vst1q_f32(to.as_mut_ptr().add(4 * i), x) }
        }
    }

    #[inline(always)]
    fn load_ints(self, x: &[i32; LANES]) -> Self::F {
        // SAFETY: the CPU has NEON, since `self` exists; the array has four quarters.
        std::array::from_fn(|i| unsafe { vcvtq_f32_s32(vld1q_s32(x.as_ptr().add(4 * i))) })
    }

    #[inline(always)]
    fn store_bytes(self, x: Self::F, to: &mut [u8; LANES]) {
        let mut floats = [0.0; LANES];
        self.store(x, &mut floats);
        *to = floats.map(|x| x.to_bits() as u8);
    }

    #[inline(always)]
    fn first(self, lanes: usize, x: Self::F, other: Self::F) -> Self::F {
        let (mut kept, mut rest) = ([0.0; LANES], [0.0; LANES]);
        self.store(x, &mut kept);
        self.store(other, &mut rest);
        self.load(&std::array::from_fn(|i| {
            if i < lanes { kept[i] } else { rest[i] }
        }))
    }

    #[inline(always)]
    fn products(
        self,
        panel: &[Line],
        x: &[u8],
        stride: usize,
        rows: usize,
        _start: &[i32; PANEL],
        tile: &mut Tile,
    ) {
        let groups = check(panel, x, stride, rows);
        for quarter in 0..PANEL / LANES {
            for row in (0..rows).step_by(3) {
                let x = x[row * stride..].as_ptr();
                let panel = panel[quarter..].as_ptr().cast();
                let to = &mut tile[row..rows.min(row + 3)];
                // SAFETY: the CPU has the features, since `self` exists; `check` has made sure
                // that the panel has `groups` groups and every row as many bytes.
                unsafe {
                    match to.len() {
                        1 => sums::<DOTS, 1>(panel, groups, x, stride, quarter, to),
                        2 => sums::<DOTS, 2>(panel, groups, x, stride, quarter, to),
                        _ => sums::<DOTS, 3>(panel, groups, x, stride, quarter, to),
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn block_products(
        self,
        block: &[Line; BLOCK_LINES],
        x: &[u8],
        stride: usize,
        rows: usize,
        start: &[i32; TILE_ROWS],
        tile: &mut Tile,
    ) {
        check_block(x, stride, rows);
        for (row, tile) in tile[..rows].iter_mut().enumerate() {
            let (x, block) = (x[row * stride..].as_ptr(), block.as_ptr().cast());
            // SAFETY: the CPU has the features, since `self` exists; `check_block` has made sure
            // that the row has a block's bytes.
            unsafe { block_of::<DOTS>(block, x, start[row], tile) }
        }
    }
}

/// Sixteen columns of `R` rows.
///
/// Activations are turned back to signed ones, whose sums are those wanted: there is nothing to
/// start from.
///
/// # Safety
/// The CPU has NEON and, with `DOTS`, its dot products; `panel` points to the first of `groups`
/// lines, four lines apart, and `x` to `R` rows, `stride` bytes apart, of `groups` times four
/// bytes.
#[inline(always)]
unsafe fn sums<const DOTS: bool, const R: usize>(
    panel: *const i8,
    groups: usize,
    x: *const u8,
    stride: usize,
    quarter: usize,
    to: &mut [[i32; PANEL]],
) {
    // SAFETY: as the caller promises.
    unsafe {
        let mut sums = [[vdupq_n_s32(0); 4]; R];
        for group in 0..groups {
            let line = panel.add(group * 4 * 64);
            let weights: [int8x16_t; 4] = std::array::from_fn(|v| vld1q_s8(line.add(v * 16)));
            for (row, sums) in sums.iter_mut().enumerate() {
                let four = x
                    .add(row * stride + group * 4)
                    .cast::<u32>()
                    .read_unaligned();
                let four = vreinterpretq_s8_u32(vdupq_n_u32(four ^ 0x8080_8080));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = match DOTS {
                        true => dots(*sum, weights, four),
                        false => products(*sum, weights, four),
                    };
                }
            }
        }
        for (to, sums) in to.iter_mut().zip(sums) {
            for (v, sum) in sums.into_iter().enumerate() {
                vst1q_s32(to[quarter * LANES..].as_mut_ptr().add(v * 4), sum);
            }
        }
    }
}

/// Adds four products to each of four sums.
///
/// # Safety
/// The CPU has the dot products.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn dots(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the CPU has the instruction, as the caller promises; it touches registers alone. The
    // intrinsic is not stable yet.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// The same by products of int16, each of which holds one product of int8.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn products(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the CPU has NEON, as the caller promises.
    unsafe {
        let low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
        let high = vpaddlq_s16(vmull_s8(vget_high_s8(a), vget_high_s8(b)));
        vaddq_s32(sum, vpaddq_s32(low, high))
    }
}

/// A row's products with a block of 4-bit integers, which are as good as signed ones.
///
/// # Safety
/// The CPU has NEON and, with `DOTS`, its dot products; `block` points to [`BLOCK_LINES`] lines,
/// `x` to a block's 32 bytes.
#[inline(always)]
unsafe fn block_of<const DOTS: bool>(
    block: *const u8,
    x: *const u8,
    start: i32,
    to: &mut [i32; PANEL],
) {
    // SAFETY: as the caller promises; `to` is sixteen vectors.
    unsafe {
        for v in 0..PANEL / 4 {
            let mut sum = vdupq_n_s32(start);
            for pair in 0..BLOCK_LINES / 4 {
                let both = vld1q_u8(block.add(pair * 4 * 64 + v * 16));
                let levels = [vandq_u8(both, vdupq_n_u8(15)), vshrq_n_u8::<4>(both)];
                for (half, levels) in levels.into_iter().enumerate() {
                    let four = x.add((pair * 2 + half) * 4).cast::<u32>().read_unaligned();
                    let four = vreinterpretq_s8_u32(vdupq_n_u32(four ^ 0x8080_8080));
                    let levels = vreinterpretq_s8_u8(levels);
                    sum = match DOTS {
                        true => dots(sum, levels, four),
                        false => products(sum, levels, four),
                    };
                }
            }
            vst1q_s32(to.as_mut_ptr().add(v * 4), sum);
        }
    }
}

//! WebAssembly's SIMD: four floats in a register, four registers for sixteen. A module has it or
//! not as a whole, so that there is nothing to look for at run time: it is compiled with the target
//! feature `simd128`.

use std::arch::wasm32::*;

use super::super::packed::BLOCK_LINES;
use super::isa::{Isa, LANES, Line, PANEL, TILE_ROWS, Tile, check, check_block};

#[derive(Clone, Copy)]
pub(in super::super) struct Wasm(());

impl Wasm {
    /// # Safety
    /// None: the module was compiled for it. Said to be unsafe as the others are.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

/// Methods that are the same expression of intrinsics for every quarter.
macro_rules! quarters {
    ($($name:ident($($x:ident),*) = $value:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($x: [v128; 4]),*) -> [v128; 4] {
            std::array::from_fn(|i| {
                $(let $x = $x[i];)*
                $value
            })
        }
    )*};
}

impl Isa for Wasm {
    type F = [v128; 4];

    quarters! {
        add(a, b) = f32x4_add(a, b);
        sub(a, b) = f32x4_sub(a, b);
        mul(a, b) = f32x4_mul(a, b);
        div(a, b) = f32x4_div(a, b);
        // As on other CPUs, the second where one is NaN.
        max(a, b) = f32x4_pmax(b, a);
        max_magnitude(a, b) = u32x4_max(a, f32x4_abs(b));
        exponent(x) = i32x4_add(i32x4_shl(x, 23), i32x4_splat(0x3f80_0000));
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [f32x4_splat(x); 4]
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::F {
        // SAFETY: the array has four quarters.
        std::array::from_fn(|i| unsafe { v128_load(x.as_ptr().add(4 * i).cast()) })
    }

    #[inline(always)]
    fn store(self, x: Self::F, to: &mut [f32; LANES]) {
        for (i, x) in x.into_iter().enumerate() {
            // SAFETY: the array has four quarters.
            unsafe { v128_store(to.as_mut_ptr().add(4 * i).cast(), x) }
        }
    }

    #[inline(always)]
    fn load_ints(self, x: &[i32; LANES]) -> Self::F {
        // SAFETY: the array has four quarters.
        let quarter = |i| unsafe { v128_load(x.as_ptr().add(4 * i).cast()) };
        std::array::from_fn(|i| f32x4_convert_i32x4(quarter(i)))
    }

    #[inline(always)]
    fn store_bytes(self, x: Self::F, to: &mut [u8; LANES]) {
        let mut floats = [0.0; LANES];
        self.store(x, &mut floats);
        *to = floats.map(|x| x.to_bits() as u8);
    }

    #[inline(always)]
    fn first(self, lanes: usize, x: Self::F, other: Self::F) -> Self::F {
        let lanes = i32x4_splat(lanes.min(LANES) as i32);
        std::array::from_fn(|i| {
            let at = i32x4_add(i32x4(0, 1, 2, 3), i32x4_splat(4 * i as i32));
            v128_bitselect(x[i], other[i], i32x4_lt(at, lanes))
        })
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
            for row in (0..rows).step_by(2) {
                let x = x[row * stride..].as_ptr();
                let panel = panel[quarter..].as_ptr().cast();
                let to = &mut tile[row..rows.min(row + 2)];
                // SAFETY: `check` has made sure that the panel has `groups` groups and every row
                // as many bytes.
                unsafe {
                    match to.len() {
                        1 => sums::<1>(panel, groups, x, stride, quarter, to),
                        _ => sums::<2>(panel, groups, x, stride, quarter, to),
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
            // SAFETY: `check_block` has made sure that the row has a block's bytes.
            unsafe { block_of(block, x, start[row], tile) }
        }
    }
}

/// Products of four columns with four inputs, not yet added to the end: of each column two sums of
/// two inputs.
#[derive(Clone, Copy)]
struct Halves([v128; 2]);

impl Halves {
    #[inline(always)]
    fn zero() -> Self {
        Self([i32x4_splat(0); 2])
    }

    /// Adds the products of sixteen weights, four of each column, with four activations that stand
    /// twice in `x`.
    #[inline(always)]
    fn add(&mut self, weights: v128, x: v128) {
        let weights = [
            i16x8_extend_low_i8x16(weights),
            i16x8_extend_high_i8x16(weights),
        ];
        for (sum, weights) in self.0.iter_mut().zip(weights) {
            *sum = i32x4_add(*sum, i32x4_dot_i16x8(weights, x));
        }
    }

    /// A sum for each column.
    #[inline(always)]
    fn whole(self) -> v128 {
        let [low, high] = self.0;
        i32x4_add(
            i32x4_shuffle::<0, 2, 4, 6>(low, high),
            i32x4_shuffle::<1, 3, 5, 7>(low, high),
        )
    }
}

/// Four activations, turned back to signed ones, twice.
///
/// # Safety
/// `x` points to four bytes.
#[inline(always)]
unsafe fn four_of(x: *const u8) -> v128 {
    // SAFETY: as the caller promises.
    let four = unsafe { x.cast::<u32>().read_unaligned() };
    i16x8_extend_low_i8x16(u32x4_splat(four ^ 0x8080_8080))
}

/// Sixteen columns of `R` rows. Activations are signed, whose sums are those wanted: there is
/// nothing to start from.
///
/// # Safety
/// `panel` points to the first of `groups` lines, four lines apart, and `x` to `R` rows, `stride`
/// bytes apart, of `groups` times four bytes.
#[inline(always)]
unsafe fn sums<const R: usize>(
    panel: *const u8,
    groups: usize,
    x: *const u8,
    stride: usize,
    quarter: usize,
    to: &mut [[i32; PANEL]],
) {
    let mut sums = [[Halves::zero(); 4]; R];
    for group in 0..groups {
        // SAFETY: as the caller promises: a line is four vectors.
        let weights: [v128; 4] = std::array::from_fn(|v| unsafe {
            v128_load(panel.add(group * 4 * 64 + v * 16).cast())
        });
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: as the caller promises.
            let four = unsafe { four_of(x.add(row * stride + group * 4)) };
            for (sum, weights) in sums.iter_mut().zip(weights) {
                sum.add(weights, four);
            }
        }
    }
    for (to, sums) in to.iter_mut().zip(sums) {
        for (v, sum) in sums.into_iter().enumerate() {
            let to = &mut to[quarter * LANES + v * 4..][..4];
            // SAFETY: four sums are a vector.
            unsafe { v128_store(to.as_mut_ptr().cast(), sum.whole()) }
        }
    }
}

/// A row's products with a block of 4-bit integers, which are as good as signed ones.
///
/// # Safety
/// `block` points to [`BLOCK_LINES`] lines, `x` to a block's 32 bytes.
#[inline(always)]
unsafe fn block_of(block: *const u8, x: *const u8, start: i32, to: &mut [i32; PANEL]) {
    for v in 0..PANEL / 4 {
        let mut sum = Halves::zero();
        for pair in 0..BLOCK_LINES / 4 {
            // SAFETY: as the caller promises.
            let both = unsafe { v128_load(block.add(pair * 4 * 64 + v * 16).cast()) };
            let levels = [v128_and(both, u8x16_splat(15)), u8x16_shr(both, 4)];
            for (half, levels) in levels.into_iter().enumerate() {
                // SAFETY: as the caller promises.
                sum.add(levels, unsafe { four_of(x.add((pair * 2 + half) * 4)) });
            }
        }
        let sum = i32x4_add(sum.whole(), i32x4_splat(start));
        // SAFETY: `to` is sixteen vectors.
        unsafe { v128_store(to.as_mut_ptr().add(v * 4).cast(), sum) }
    }
}

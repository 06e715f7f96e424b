//! AVX2, and AVX-VNNI where there is: eight floats in a register, two registers for sixteen.

use std::arch::x86_64::*;

use super::super::packed::BLOCK_LINES;
use super::isa::{Isa, LANES, Line, PANEL, TILE_ROWS, Tile, check, check_block};

/// A CPU with AVX2; with `VNNI` also with AVX-VNNI.
#[derive(Clone, Copy)]
pub(in super::super) struct Avx2<const VNNI: bool>(());

pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2")
}

pub(super) fn has_vnni() -> bool {
    is_available() && is_x86_feature_detected!("avxvnni")
}

impl<const VNNI: bool> Avx2<VNNI> {
    /// # Safety
    /// [`is_available`] must be true; with `VNNI`, [`has_vnni`].
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

#[derive(Clone, Copy)]
pub(in super::super) struct Pair(__m256, __m256);

/// Methods that are the same expression of intrinsics for either half.
macro_rules! halves {
    ($($name:ident($($x:ident),*) = $value:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($x: Pair),*) -> Pair {
            let half = |$($x: __m256),*| {
                // SAFETY: a value of `Avx2` exists where the CPU has AVX2 alone.
                unsafe { $value }
            };
            Pair(half($($x.0),*), half($($x.1),*))
        }
    )*};
}

impl<const VNNI: bool> Isa for Avx2<VNNI> {
    type F = Pair;

    halves! {
        add(a, b) = _mm256_add_ps(a, b);
        sub(a, b) = _mm256_sub_ps(a, b);
        mul(a, b) = _mm256_mul_ps(a, b);
        div(a, b) = _mm256_div_ps(a, b);
        max(a, b) = _mm256_max_ps(a, b);
        max_magnitude(a, b) = _mm256_castsi256_ps(_mm256_max_epu32(
            _mm256_castps_si256(a),
            _mm256_and_si256(_mm256_castps_si256(b), _mm256_set1_epi32(0x7fff_ffff)),
        ));
        exponent(x) = _mm256_castsi256_ps(_mm256_add_epi32(
            _mm256_slli_epi32::<23>(_mm256_castps_si256(x)),
            _mm256_set1_epi32(0x3f80_0000),
        ));
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Pair {
        // SAFETY: the CPU has AVX2, since `self` exists.
        let x = unsafe { _mm256_set1_ps(x) };
        Pair(x, x)
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Pair {
        // SAFETY: the CPU has AVX2, since `self` exists; the array has sixteen floats.
        unsafe {
            Pair(
                _mm256_loadu_ps(x.as_ptr()),
                _mm256_loadu_ps(x.as_ptr().add(8)),
            )
        }
    }

    #[inline(always)]
    fn store(self, x: Pair, to: &mut [f32; LANES]) {
        // SAFETY: the CPU has AVX2, since `self` exists; the array has sixteen floats.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), x.0);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), x.1);
        }
    }

    #[inline(always)]
    fn load_ints(self, x: &[i32; LANES]) -> Pair {
        // SAFETY: the CPU has AVX2, since `self` exists; the array has sixteen integers.
        unsafe {
            let half = |at| _mm256_cvtepi32_ps(_mm256_loadu_si256(x.as_ptr().add(at).cast()));
            Pair(half(0), half(8))
        }
    }

    #[inline(always)]
    fn store_bytes(self, x: Pair, to: &mut [u8; LANES]) {
        let mut floats = [0.0; LANES];
        self.store(x, &mut floats);
        *to = floats.map(|x| x.to_bits() as u8);
    }

    #[inline(always)]
    fn first(self, lanes: usize, x: Pair, other: Pair) -> Pair {
        // SAFETY: the CPU has AVX2, since `self` exists.
        unsafe {
            let numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let half = |x, other, before: usize| {
                let lanes = lanes.min(LANES) as i32 - before as i32;
                let kept = _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), numbers);
                _mm256_blendv_ps(other, x, _mm256_castsi256_ps(kept))
            };
            Pair(half(x.0, other.0, 0), half(x.1, other.1, 8))
        }
    }

    #[inline(always)]
    fn products(
        self,
        panel: &[Line],
        x: &[u8],
        stride: usize,
        rows: usize,
        start: &[i32; PANEL],
        tile: &mut Tile,
    ) {
        let groups = check(panel, x, stride, rows);
        for quarter in 0..PANEL / LANES {
            let mut row = 0;
            while row < rows {
                let x = x[row * stride..].as_ptr();
                let panel = panel[quarter..].as_ptr().cast();
                let start = start[quarter * LANES..].as_ptr();
                let sums = |tile: &mut Tile, row: usize| tile[row][quarter * LANES..].as_mut_ptr();
                let (first, is_pair) = (sums(tile, row), rows - row > 1);
                let second = if is_pair { sums(tile, row + 1) } else { first };
                // SAFETY: the CPU has the features, since `self` exists; `check` has made sure
                // that the panel has `groups` groups and every row as many bytes; `start` and
                // the rows of the tile have a quarter of a panel from here on.
                unsafe {
                    match (VNNI, is_pair) {
                        (true, true) => vnni::<2>(panel, groups, x, stride, start, [first, second]),
                        (true, false) => vnni::<1>(panel, groups, x, stride, start, [first]),
                        (false, true) => {
                            wide::<2>(panel, groups, x, stride, start, [first, second])
                        }
                        (false, false) => wide::<1>(panel, groups, x, stride, start, [first]),
                    }
                }
                row += 2;
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
            unsafe {
                match VNNI {
                    true => block_by_dots(block, x, start[row], tile),
                    false => block_by_pairs(block, x, start[row], tile),
                }
            }
        }
    }
}

/// Sixteen columns of `R` rows by `vpdpbusd`.
///
/// # Safety
/// The CPU has AVX-VNNI; `panel` points to the first of `groups` lines, four lines apart, `x` to
/// `R` rows, `stride` bytes apart, of `groups` times four bytes, `start` and each of `sums` to
/// sixteen integers.
#[target_feature(enable = "avx2,avxvnni")]
unsafe fn vnni<const R: usize>(
    panel: *const i8,
    groups: usize,
    x: *const u8,
    stride: usize,
    start: *const i32,
    to: [*mut i32; R],
) {
    // SAFETY: as the caller promises.
    unsafe {
        let start: [__m256i; 2] =
            std::array::from_fn(|v| _mm256_loadu_si256(start.add(v * 8).cast()));
        let mut sums = [start; R];
        for group in 0..groups {
            let line = panel.add(group * 4 * 64);
            let weights: [__m256i; 2] =
                std::array::from_fn(|v| _mm256_load_si256(line.add(v * 32).cast()));
            for (row, sums) in sums.iter_mut().enumerate() {
                let four = x.add(row * stride + group * 4).cast::<i32>();
                let four = _mm256_set1_epi32(four.read_unaligned());
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm256_dpbusd_avx_epi32(*sum, four, weights);
                }
            }
        }
        for (to, sums) in to.into_iter().zip(sums) {
            for (v, sum) in sums.into_iter().enumerate() {
                _mm256_storeu_si256(to.add(v * 8).cast(), sum);
            }
        }
    }
}

/// Sixteen columns of `R` rows by products of int16, which cannot overflow: a register holds four
/// columns, each as two sums that are added up in the end.
///
/// # Safety
/// As [`vnni`], with AVX2 alone.
#[target_feature(enable = "avx2")]
unsafe fn wide<const R: usize>(
    panel: *const i8,
    groups: usize,
    x: *const u8,
    stride: usize,
    start: *const i32,
    to: [*mut i32; R],
) {
    // SAFETY: as the caller promises.
    unsafe {
        let mut sums = [[_mm256_setzero_si256(); 4]; R];
        for group in 0..groups {
            let line = panel.add(group * 4 * 64);
            let weights: [__m256i; 4] = std::array::from_fn(|v| {
                _mm256_cvtepi8_epi16(_mm_load_si128(line.add(v * 16).cast()))
            });
            for (row, sums) in sums.iter_mut().enumerate() {
                let four = x.add(row * stride + group * 4).cast::<i32>();
                let four = _mm256_cvtepu8_epi16(_mm_set1_epi32(four.read_unaligned()));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(four, weights));
                }
            }
        }
        for (to, sums) in to.into_iter().zip(sums) {
            for v in 0..2 {
                // Columns 0 1 4 5 2 3 6 7 of eight, since `hadd` works within 128 bits.
                let pairs = _mm256_hadd_epi32(sums[2 * v], sums[2 * v + 1]);
                let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(pairs);
                let start = _mm256_loadu_si256(start.add(v * 8).cast());
                _mm256_storeu_si256(to.add(v * 8).cast(), _mm256_add_epi32(ordered, start));
            }
        }
    }
}

/// A row's products with a block of 4-bit integers by `vpdpbusd`: these are the bytes that are not
/// signed, and the activations those that are.
///
/// # Safety
/// The CPU has AVX-VNNI; `block` points to [`BLOCK_LINES`] lines, `x` to a block's 32 bytes.
#[target_feature(enable = "avx2,avxvnni")]
unsafe fn block_by_dots(block: *const i8, x: *const u8, start: i32, to: &mut [i32; PANEL]) {
    // SAFETY: as the caller promises.
    unsafe {
        let add = |sum, levels, x| _mm256_dpbusd_avx_epi32(sum, levels, x);
        block_of(block, x, start, to, add);
    }
}

/// The same by sums of pairs, of which the largest is 15 * 127 * 2: none saturates.
///
/// # Safety
/// As [`block_by_dots`], with AVX2 alone.
#[target_feature(enable = "avx2")]
unsafe fn block_by_pairs(block: *const i8, x: *const u8, start: i32, to: &mut [i32; PANEL]) {
    // SAFETY: as the caller promises.
    unsafe {
        let ones = _mm256_set1_epi16(1);
        let add = |sum, levels, x| {
            let pairs = _mm256_maddubs_epi16(levels, x);
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones))
        };
        block_of(block, x, start, to, add);
    }
}

/// # Safety
/// The CPU has AVX2, and what `add` needs; `block` and `x` are as in [`block_by_dots`].
#[inline(always)]
unsafe fn block_of(
    block: *const i8,
    x: *const u8,
    start: i32,
    to: &mut [i32; PANEL],
    add: impl Fn(__m256i, __m256i, __m256i) -> __m256i,
) {
    // SAFETY: as the caller promises; `to` is eight vectors.
    unsafe {
        let (low, signs) = (_mm256_set1_epi8(15), _mm256_set1_epi8(i8::MIN));
        let mut sums = [_mm256_set1_epi32(start); PANEL / 8];
        for pair in 0..BLOCK_LINES / 4 {
            let x: [__m256i; 2] = std::array::from_fn(|half| {
                let four = x.add((pair * 2 + half) * 4).cast::<i32>();
                _mm256_xor_si256(_mm256_set1_epi32(four.read_unaligned()), signs)
            });
            for (v, sum) in sums.iter_mut().enumerate() {
                let both = _mm256_load_si256(block.add(pair * 4 * 64 + v * 32).cast());
                *sum = add(*sum, _mm256_and_si256(both, low), x[0]);
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(both), low);
                *sum = add(*sum, high, x[1]);
            }
        }
        for (v, sum) in sums.into_iter().enumerate() {
            _mm256_storeu_si256(to.as_mut_ptr().add(v * 8).cast(), sum);
        }
    }
}

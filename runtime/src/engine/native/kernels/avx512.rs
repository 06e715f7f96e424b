//! AVX-512 with VNNI: 64 products of int8 in an instruction.

use std::arch::x86_64::*;

use super::super::packed::BLOCK_LINES;
use super::isa::{Isa, LANES, Line, PANEL, TILE_ROWS, Tile, check, check_block};

/// A CPU with the features that [`is_available`] looks for.
#[derive(Clone, Copy)]
pub(in super::super) struct Avx512(());

pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

impl Avx512 {
    /// # Safety
    /// [`is_available`] must be true.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

/// Methods that are one expression of intrinsics.
macro_rules! intrinsics {
    ($($name:ident($($x:ident: $type:ty),*) $(-> $result:ty)? = $value:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($x: $type),*) $(-> $result)? {
            // SAFETY: a value of `Avx512` exists where the CPU has the features alone; what is
            // read or written is a whole array behind a reference.
            unsafe { $value }
        }
    )*};
}

impl Isa for Avx512 {
    type F = __m512;

    intrinsics! {
        splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        load(x: &[f32; LANES]) -> __m512 = _mm512_loadu_ps(x.as_ptr());
        store(x: __m512, to: &mut [f32; LANES]) = _mm512_storeu_ps(to.as_mut_ptr(), x);
        load_ints(x: &[i32; LANES]) -> __m512 =
            _mm512_cvtepi32_ps(_mm512_loadu_si512(x.as_ptr().cast()));
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        max_magnitude(a: __m512, b: __m512) -> __m512 = _mm512_castsi512_ps(_mm512_max_epu32(
            _mm512_castps_si512(a),
            _mm512_castps_si512(_mm512_abs_ps(b)),
        ));
        store_bytes(x: __m512, to: &mut [u8; LANES]) =
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(_mm512_castps_si512(x)));
        exponent(x: __m512) -> __m512 = _mm512_castsi512_ps(_mm512_add_epi32(
            _mm512_slli_epi32::<23>(_mm512_castps_si512(x)),
            _mm512_set1_epi32(0x3f80_0000),
        ));
        first(lanes: usize, x: __m512, other: __m512) -> __m512 =
            _mm512_mask_mov_ps(other, ((1_u32 << lanes.min(LANES)) - 1) as u16, x);
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
        let (panel, x) = (panel.as_ptr().cast(), x.as_ptr());
        // SAFETY: the CPU has the features, since `self` exists; `check` has made sure that the
        // panel has `groups` groups and every row as many bytes.
        unsafe {
            match rows {
                1 => tile_of::<1>(panel, groups, x, stride, start, tile),
                2 => tile_of::<2>(panel, groups, x, stride, start, tile),
                3 => tile_of::<3>(panel, groups, x, stride, start, tile),
                4 => tile_of::<4>(panel, groups, x, stride, start, tile),
                5 => tile_of::<5>(panel, groups, x, stride, start, tile),
                _ => tile_of::<TILE_ROWS>(panel, groups, x, stride, start, tile),
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
        let (block, x) = (block.as_ptr().cast(), x.as_ptr());
        // SAFETY: the CPU has the features, since `self` exists; `check_block` has made sure that
        // every row has a block's bytes.
        unsafe {
            match rows {
                1 => block_of::<1>(block, x, stride, start, tile),
                2 => block_of::<2>(block, x, stride, start, tile),
                3 => block_of::<3>(block, x, stride, start, tile),
                4 => block_of::<4>(block, x, stride, start, tile),
                5 => block_of::<5>(block, x, stride, start, tile),
                _ => block_of::<TILE_ROWS>(block, x, stride, start, tile),
            }
        }
    }
}

/// Sums stay in registers: up to six rows by four vectors, beside four of weights and one of
/// activations.
///
/// # Safety
/// The CPU has the features; `panel` points to `groups` times four vectors, and `x` to `R` rows,
/// `stride` bytes apart, of `groups` times four bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn tile_of<const R: usize>(
    panel: *const i8,
    groups: usize,
    x: *const u8,
    stride: usize,
    start: &[i32; PANEL],
    tile: &mut Tile,
) {
    // SAFETY: as the caller promises; `start` and each row of the tile are four vectors.
    unsafe {
        let start: [__m512i; 4] =
            std::array::from_fn(|v| _mm512_loadu_si512(start.as_ptr().add(v * LANES).cast()));
        let mut sums = [start; R];
        for group in 0..groups {
            let weights: [__m512i; 4] =
                std::array::from_fn(|v| _mm512_load_si512(panel.add((group * 4 + v) * 64).cast()));
            for (row, sums) in sums.iter_mut().enumerate() {
                let four = x.add(row * stride + group * 4).cast::<i32>();
                let four = _mm512_set1_epi32(four.read_unaligned());
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_dpbusd_epi32(*sum, four, weights);
                }
            }
        }
        for (row, sums) in tile.iter_mut().zip(sums) {
            for (v, sum) in sums.into_iter().enumerate() {
                _mm512_storeu_si512(row.as_mut_ptr().add(v * LANES).cast(), sum);
            }
        }
    }
}

/// As [`tile_of`], of a block of 4-bit integers: these are the bytes that are not signed, and the
/// activations those that are.
///
/// # Safety
/// The CPU has the features; `block` points to [`BLOCK_LINES`] vectors, and `x` to `R` rows,
/// `stride` bytes apart, of a block's 32 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn block_of<const R: usize>(
    block: *const i8,
    x: *const u8,
    stride: usize,
    start: &[i32; TILE_ROWS],
    tile: &mut Tile,
) {
    // SAFETY: as the caller promises; each row of the tile is four vectors.
    unsafe {
        let (low, signs) = (_mm512_set1_epi8(15), _mm512_set1_epi8(i8::MIN));
        let mut sums: [[__m512i; 4]; R] = std::array::from_fn(|r| [_mm512_set1_epi32(start[r]); 4]);
        for pair in 0..BLOCK_LINES / 4 {
            let both: [__m512i; 4] =
                std::array::from_fn(|v| _mm512_load_si512(block.add((pair * 4 + v) * 64).cast()));
            for half in 0..2 {
                let levels: [__m512i; 4] = std::array::from_fn(|v| match half {
                    0 => _mm512_and_si512(both[v], low),
                    _ => _mm512_and_si512(_mm512_srli_epi16::<4>(both[v]), low),
                });
                for (row, sums) in sums.iter_mut().enumerate() {
                    let four = x.add(row * stride + (pair * 2 + half) * 4).cast::<i32>();
                    let four = _mm512_xor_si512(_mm512_set1_epi32(four.read_unaligned()), signs);
                    for (sum, levels) in sums.iter_mut().zip(levels) {
                        *sum = _mm512_dpbusd_epi32(*sum, levels, four);
                    }
                }
            }
        }
        for (row, sums) in tile.iter_mut().zip(sums) {
            for (v, sum) in sums.into_iter().enumerate() {
                _mm512_storeu_si512(row.as_mut_ptr().add(v * LANES).cast(), sum);
            }
        }
    }
}

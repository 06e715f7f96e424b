//! Plain loops: what every CPU runs, and what all other instruction sets are compared with.

use super::super::packed::{BLOCK_LINES, ZERO};
use super::isa::{Isa, LANES, Line, PANEL, TILE_ROWS, Tile, check, check_block};
use crate::network::BLOCK;

#[derive(Clone, Copy)]
pub(in super::super) struct Scalar(());

impl Scalar {
    /// # Safety
    /// None: every CPU can run it. Said to be unsafe as the others are.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

#[inline(always)]
fn each(f: impl Fn(usize) -> f32) -> [f32; LANES] {
    std::array::from_fn(f)
}

impl Isa for Scalar {
    type F = [f32; LANES];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::F {
        *x
    }
    #[inline(always)]
    fn store(self, x: Self::F, to: &mut [f32; LANES]) {
        *to = x;
    }
    #[inline(always)]
    fn load_ints(self, x: &[i32; LANES]) -> Self::F {
        each(|i| x[i] as f32)
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn max_magnitude(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| f32::from_bits(a[i].to_bits().max(b[i].to_bits() & 0x7fff_ffff)))
    }
    #[inline(always)]
    fn store_bytes(self, x: Self::F, to: &mut [u8; LANES]) {
        *to = std::array::from_fn(|i| x[i].to_bits() as u8);
    }
    #[inline(always)]
    fn exponent(self, x: Self::F) -> Self::F {
        each(|i| f32::from_bits((x[i].to_bits() << 23).wrapping_add(0x3f80_0000)))
    }
    #[inline(always)]
    fn first(self, lanes: usize, x: Self::F, other: Self::F) -> Self::F {
        each(|i| if i < lanes { x[i] } else { other[i] })
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
        for (row, sums) in tile[..rows].iter_mut().enumerate() {
            *sums = *start;
            let x = x[row * stride..][..groups * 4].as_chunks::<4>().0;
            for (x, lines) in x.iter().zip(panel.as_chunks::<4>().0) {
                for (sums, line) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(lines) {
                    for (sum, weights) in sums.iter_mut().zip(line.0.as_chunks::<4>().0) {
                        let products = x.iter().zip(weights);
                        *sum += products
                            .map(|(x, weight)| i32::from(*x) * i32::from(*weight))
                            .sum::<i32>();
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
        for (row, sums) in tile[..rows].iter_mut().enumerate() {
            *sums = [start[row]; PANEL];
            let x = x[row * stride..][..BLOCK].as_chunks::<8>().0;
            for (x, lines) in x.iter().zip(block.as_chunks::<4>().0) {
                let x = x.map(|x| i32::from(x) - ZERO);
                for (sums, line) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(lines) {
                    for (sum, levels) in sums.iter_mut().zip(line.0.as_chunks::<4>().0) {
                        for (i, both) in levels.iter().enumerate() {
                            let both = i32::from(*both as u8);
                            *sum += (both & 15) * x[i] + (both >> 4) * x[4 + i];
                        }
                    }
                }
            }
        }
    }
}

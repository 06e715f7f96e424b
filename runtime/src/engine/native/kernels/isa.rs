//! What an instruction set has to offer: sixteen floats at a time, and sums of products of int8.

use super::super::packed::BLOCK_LINES;
use crate::network::BLOCK;

/// Columns of a panel of a packed matrix.
pub(in super::super) const PANEL: usize = 64;
/// Rows that a kernel multiplies a panel by at once.
pub(in super::super) const TILE_ROWS: usize = 6;
/// Lanes of [`Isa::F`].
pub(in super::super) const LANES: usize = 16;

/// Sixteen outputs by four inputs of a packed matrix, the inputs of an output side by side.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(in super::super) struct Line(pub(in super::super) [i8; 64]);

/// Sums of products of a tile: rows by the columns of a panel.
pub(in super::super) type Tile = [[i32; PANEL]; TILE_ROWS];

/// An instruction set that this CPU has: a value of the type is the proof.
///
/// No operation fuses a product with a sum, and none reorders: every set gives the same bits.
pub(in super::super) trait Isa: Copy {
    /// Sixteen floats.
    type F: Copy;

    fn splat(self, x: f32) -> Self::F;
    fn load(self, x: &[f32; LANES]) -> Self::F;
    fn store(self, x: Self::F, to: &mut [f32; LANES]);
    fn load_ints(self, x: &[i32; LANES]) -> Self::F;
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// The larger one, of numbers.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The larger magnitude; NaN is larger than all numbers. `a` is none that is negative.
    fn max_magnitude(self, a: Self::F, b: Self::F) -> Self::F;
    /// The lowest byte of each float's bits.
    fn store_bytes(self, x: Self::F, to: &mut [u8; LANES]);
    /// The floats' bits shifted left by 23, plus those of 1.0.
    fn exponent(self, x: Self::F) -> Self::F;
    /// The first lanes of `x`, and `other` after them.
    fn first(self, lanes: usize, x: Self::F, other: Self::F) -> Self::F;

    /// Writes the products of `rows` rows of activations, `stride` bytes apart, with a panel:
    /// `tile[row][column] = sum of (x[row][input] - 128) * panel[input][column]`. There are at most
    /// [`TILE_ROWS`] rows. `start` is -128 times the sum of each column, from which a kernel that
    /// multiplies `x` as it is must start.
    fn products(
        self,
        panel: &[Line],
        x: &[u8],
        stride: usize,
        rows: usize,
        start: &[i32; PANEL],
        tile: &mut Tile,
    );

    /// Writes the products of `rows` rows of activations, `stride` bytes apart, with a block of a
    /// panel of 4-bit integers, as they are:
    /// `tile[row][column] = start[row] + sum of (x[row][input] - 128) * block[input][column]`.
    fn block_products(
        self,
        block: &[Line; BLOCK_LINES],
        x: &[u8],
        stride: usize,
        rows: usize,
        start: &[i32; TILE_ROWS],
        tile: &mut Tile,
    );
}

/// Checks what kernels trust: that `rows` rows of a block lie in `x`.
#[inline(always)]
pub(super) fn check_block(x: &[u8], stride: usize, rows: usize) {
    assert!((1..=TILE_ROWS).contains(&rows) && x.len() >= (rows - 1) * stride + BLOCK);
}

/// Checks what kernels trust: that the panel is whole, and that `rows` rows of it lie in `x`.
#[inline(always)]
pub(super) fn check(panel: &[Line], x: &[u8], stride: usize, rows: usize) -> usize {
    let groups = panel.len() / 4;
    assert!(panel.len() == groups * 4 && (1..=TILE_ROWS).contains(&rows));
    assert!(groups * 4 <= stride && x.len() >= (rows - 1) * stride + groups * 4);
    groups
}

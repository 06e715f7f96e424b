//! Outlier features: inputs of a matrix that are rounded to 16 bits, and multiplied as two bytes,
//! where all others are rounded to 8.
//!
//! A few features have magnitudes, or weights, far above the others: rounded together, they leave
//! the others few levels, or their own errors few digits. After LLM.int8 (arXiv 2208.07339), whose
//! outliers are computed in floats; here their products are of integers as well, and so exact.

use super::kernels::{Isa, LANES, Line, PANEL};
use super::packed::{int8, lines_of};
use super::rounding::{Rounded, TO_INTEGER, scale};
use super::store::{Lines, Store};
use crate::network::{Matrix, Outliers as Listed};

/// Low bytes of a unit of the high one: a rest of half a unit is 127 of them.
pub(super) const LOW_LEVELS: f32 = 254.0;

/// Those of a matrix, packed.
#[derive(Debug)]
pub(super) struct Outliers {
    /// Which of the inputs they are.
    inputs: Vec<usize>,
    /// Whether they are all inputs in their order, so that a row lies as it is gathered.
    are_in_place: bool,
    /// As of an int8 matrix of these inputs alone.
    lines: Lines,
    starts: Vec<i32>,
    /// For every value of a row, 1 if it is rounded to 8 bits, and 0 if not; empty if none is.
    kept: Vec<f32>,
    /// What is added to values that are rounded to 8 bits, so that none is negative: they have
    /// twice as many levels then, from a byte of 0 on.
    pub(super) shift: Option<f32>,
}

impl Outliers {
    pub(super) fn new(
        matrix: &Matrix<'_>,
        listed: &Listed<'_>,
        places: &[Option<usize>],
        store: &mut Store,
    ) -> Self {
        let inputs = listed.inputs.clone();
        let (lines, starts) = int8(matrix, &inputs, places, store);
        let mut kept = Vec::new();
        if inputs.len() < matrix.inputs {
            kept.resize(matrix.inputs, 1.0);
            inputs.iter().for_each(|input| kept[*input] = 0.0);
            kept.resize(matrix.inputs.next_multiple_of(PANEL), 0.0);
        }
        Self {
            are_in_place: inputs.iter().copied().eq(0..matrix.inputs)
                && inputs.len().is_multiple_of(LANES),
            inputs,
            lines,
            starts,
            kept,
            shift: listed.shift.map(|shift| shift.term),
        }
    }

    /// Whether nothing is rounded to 8 bits.
    pub(super) fn are_all(&self) -> bool {
        self.kept.is_empty()
    }

    /// Bytes of a row of high ones, behind which as many low ones stand.
    pub(super) fn half(&self) -> usize {
        self.inputs.len().next_multiple_of(LANES)
    }

    /// A panel of their weights, and what its sums start from.
    pub(super) fn panel(&self, panel: usize) -> (&[Line], &[i32; PANEL]) {
        let lines = lines_of(self.inputs.len());
        let starts = self.starts[panel * PANEL..][..PANEL].as_array();
        (
            &self.lines[panel * lines..][..lines],
            starts.expect("a panel"),
        )
    }
}

/// Where the outlier features of rows go.
pub(super) struct Apart<'a> {
    pub(super) outliers: &'a Outliers,
    /// Room for those of a row: [`Outliers::half`] values.
    pub(super) gathered: &'a mut [f32],
    /// For every row, high bytes and then low ones, both plus 128.
    pub(super) bytes: &'a mut [u8],
    /// As [`Rounded::scales`].
    pub(super) scales: &'a mut [f32],
}

/// Rounds every row, its outlier features apart.
#[inline(always)]
pub(super) fn round<I: Isa>(isa: I, work: Rounded<'_>, apart: Apart<'_>) {
    let outliers = apart.outliers;
    let half = outliers.half();
    let gathered = &mut apart.gathered[..half];
    gathered.fill(0.0);
    let rows = work.x.chunks_exact(work.stride);
    let halves = apart.bytes.chunks_exact_mut(2 * half);
    for ((row, bytes), scale) in rows.zip(halves).zip(apart.scales) {
        let values = match outliers.are_in_place {
            true => &row[..half],
            false => {
                for (to, input) in gathered.iter_mut().zip(&outliers.inputs) {
                    *to = row[*input];
                }
                &*gathered
            }
        };
        *scale = round_to_halves(isa, values.as_chunks().0, bytes);
    }
    if outliers.are_all() {
        return;
    }
    let rows = work.x.chunks_exact(work.stride);
    let bytes = work.bytes.chunks_exact_mut(work.stride);
    for ((row, bytes), scale) in rows.zip(bytes).zip(work.scales) {
        *scale = round_kept(isa, row.as_chunks().0, outliers, bytes);
    }
}

/// Rounds values to bytes, and their rests to further ones, and gives the scale of the first.
#[inline(always)]
fn round_to_halves<I: Isa>(isa: I, values: &[[f32; LANES]], bytes: &mut [u8]) -> f32 {
    let mut largest = isa.splat(0.0);
    for x in values {
        largest = isa.max_magnitude(largest, isa.load(x));
    }
    let (inverse, scale) = scale(isa, largest, 127.0);
    let (to_integer, zero) = (isa.splat(TO_INTEGER), isa.splat(128.0));
    let low_levels = isa.splat(LOW_LEVELS);
    let (high, low) = bytes.split_at_mut(bytes.len() / 2);
    let bytes = high.as_chunks_mut().0.iter_mut().zip(low.as_chunks_mut().0);
    for (x, (high, low)) in values.iter().zip(bytes) {
        let levels = isa.mul(isa.load(x), inverse);
        let rounded = isa.add(levels, to_integer);
        isa.store_bytes(isa.add(rounded, zero), high);
        let rest = isa.sub(levels, isa.sub(rounded, to_integer));
        let rounded = isa.add(isa.mul(rest, low_levels), to_integer);
        isa.store_bytes(isa.add(rounded, zero), low);
    }
    scale
}

/// Rounds the values of a row that are no outlier features, and gives their scale.
#[inline(always)]
fn round_kept<I: Isa>(isa: I, row: &[[f32; LANES]], outliers: &Outliers, bytes: &mut [u8]) -> f32 {
    let kept = outliers.kept.as_chunks().0;
    let (levels, zero) = match outliers.shift {
        None => (127.0, 128.0),
        Some(_) => (255.0, 0.0),
    };
    let shift = isa.splat(outliers.shift.unwrap_or(0.0));
    let mut largest = isa.splat(0.0);
    for (x, kept) in row.iter().zip(kept) {
        let x = isa.mul(isa.add(isa.load(x), shift), isa.load(kept));
        largest = isa.max_magnitude(largest, x);
    }
    let (inverse, scale) = scale(isa, largest, levels);
    let offset = isa.splat(TO_INTEGER + zero);
    for ((x, kept), bytes) in row.iter().zip(kept).zip(bytes.as_chunks_mut().0) {
        let x = isa.mul(isa.add(isa.load(x), shift), isa.load(kept));
        isa.store_bytes(isa.add(isa.mul(x, inverse), offset), bytes);
    }
    scale
}

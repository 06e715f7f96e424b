//! Rows of activations times a packed matrix, and what follows each product.

use super::activation;
use super::arena::Levels;
use super::kernels::{Isa, LANES, Line, PANEL, TILE_ROWS, Tile};
use super::outliers::LOW_LEVELS;
use super::packed::{BLOCK_LINES, Numbers, Packed, ZERO};
use crate::network::BLOCK;

/// Rows of activations, as a matrix wants them.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) count: usize,
    /// Values from one row to the next, of either kind.
    pub(super) stride: usize,
    /// Rounded values, plus 128; for int8 matrices.
    pub(super) bytes: &'a [u8],
    /// A scale for every row of `bytes`.
    pub(super) scales: &'a [f32],
    /// Outlier features, and a scale for every row of them; for matrices that have some.
    pub(super) outliers: &'a [u8],
    pub(super) outlier_scales: &'a [f32],
    /// The values themselves; for float matrices.
    pub(super) floats: &'a [f32],
}

impl<'a> Rows<'a> {
    /// Rows of values, and of what they were rounded to if they were.
    pub(super) fn new(count: usize, stride: usize, levels: &'a Levels, floats: &'a [f32]) -> Self {
        Self {
            count,
            stride,
            bytes: &levels.bytes,
            scales: &levels.scales,
            outliers: &levels.outliers,
            outlier_scales: &levels.outlier_scales,
            floats,
        }
    }
}

/// What is done with a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Store,
    /// It is added to what is there.
    Add,
    /// Of a matrix of interleaved halves, `silu(first) * second` is stored.
    SwiGlu,
    /// `x` times the normal distribution's cumulative function of `x` is stored.
    Gelu,
    /// The same, approximated with tanh.
    GeluTanh,
    Tanh,
}

/// A product to be made.
pub(super) struct Product<'a> {
    pub(super) x: Rows<'a>,
    pub(super) matrix: &'a Packed,
    pub(super) then: Then,
    /// Values from one row of `y` to the next, at least those that the panels make.
    pub(super) stride: usize,
    pub(super) y: &'a mut [f32],
    /// Room for what sums of blocks start from, one for every row and block; of matrices in blocks.
    pub(super) starts: &'a mut [i32],
}

/// Multiplies. Every output is a sum over the inputs in their order, whatever else is computed.
#[inline(always)]
pub(super) fn multiply<I: Isa>(isa: I, work: Product<'_>) {
    let Product {
        x,
        matrix,
        then,
        stride,
        y,
        starts: block_starts,
    } = work;
    if let Numbers::Blocks(..) = &matrix.numbers {
        start_blocks(&x, matrix.blocks(), block_starts);
    }
    let mut tiles: [Tile; 3] = [[[0; PANEL]; TILE_ROWS]; 3];
    let mut sums_of_blocks = [[0.0; PANEL]; TILE_ROWS];
    for panel in 0..matrix.panels {
        let columns = panel * PANEL..(panel + 1) * PANEL;
        let (scale, bias) = (
            &matrix.scale[columns.clone()],
            &matrix.bias[columns.clone()],
        );
        let (scale, bias) = (scale.as_chunks().0, bias.as_chunks().0);
        let mut first = 0;
        while first < x.count {
            let rows = (x.count - first).min(TILE_ROWS);
            // Called in one place, since it is compiled into each.
            for (part, tile) in integers(&x, matrix, panel, first).iter().zip(&mut tiles) {
                if let Some(part) = part {
                    isa.products(part.lines, part.x, part.stride, rows, part.starts, tile);
                }
            }
            if let Numbers::Blocks(lines, scales) = &matrix.numbers {
                let blocks = matrix.blocks();
                let weights = Panel {
                    lines: &lines[panel * blocks * BLOCK_LINES..][..blocks * BLOCK_LINES],
                    scales: &scales[panel * blocks..][..blocks],
                };
                let bytes = &x.bytes[first * x.stride..];
                let starts = &block_starts[first * blocks..][..rows * blocks];
                add_blocks(isa, weights, (bytes, x.stride), starts, &mut sums_of_blocks);
            }
            for row in first..first + rows {
                let sums: [I::F; 4] = match &matrix.numbers {
                    Numbers::Int8(..) if matrix.outliers.is_some() => {
                        let [kept, high, low] = &tiles;
                        let sums = [&kept[row - first], &high[row - first], &low[row - first]];
                        sums_with_outliers(isa, &x, row, (matrix, panel), sums)
                    }
                    Numbers::Int8(..) => {
                        let x_scale = isa.splat(x.scales[row]);
                        let sums = tiles[0][row - first].as_chunks::<LANES>().0;
                        std::array::from_fn(|v| isa.mul(isa.load_ints(&sums[v]), x_scale))
                    }
                    Numbers::Blocks(..) => {
                        let x_scale = isa.splat(x.scales[row]);
                        let sums = sums_of_blocks[row - first].as_chunks::<LANES>().0;
                        std::array::from_fn(|v| isa.mul(isa.load(&sums[v]), x_scale))
                    }
                    Numbers::Float(panels) => {
                        let panel = &panels[panel * matrix.inputs..][..matrix.inputs];
                        float_sums(isa, panel, &x.floats[row * x.stride..][..matrix.inputs])
                    }
                };
                let scaled: [I::F; 4] = std::array::from_fn(|v| {
                    let product = isa.mul(sums[v], isa.load(&scale[v]));
                    isa.add(product, isa.load(&bias[v]))
                });
                finish(
                    isa,
                    &then,
                    scaled,
                    panel,
                    &mut y[row * stride..(row + 1) * stride],
                );
            }
            first += rows;
        }
    }
}

/// A product of integers: rows from some row on, with a panel.
struct Integers<'a> {
    lines: &'a [Line],
    starts: &'a [i32; PANEL],
    x: &'a [u8],
    stride: usize,
}

/// The products of integers that a matrix wants: of activations of 8 bits, of the high bytes of its
/// outlier features, and of their low ones.
#[inline(always)]
fn integers<'a>(
    x: &Rows<'a>,
    matrix: &'a Packed,
    panel: usize,
    first: usize,
) -> [Option<Integers<'a>>; 3] {
    let Numbers::Int8(lines, starts) = &matrix.numbers else {
        return [None, None, None];
    };
    let kept = (!lines.is_empty()).then(|| Integers {
        lines: &lines[panel * matrix.panel_lines()..][..matrix.panel_lines()],
        starts: starts[panel * PANEL..][..PANEL]
            .as_array()
            .expect("a panel"),
        x: &x.bytes[first * x.stride..],
        stride: x.stride,
    });
    let part = |low: usize| {
        let outliers = matrix.outliers.as_ref()?;
        let (lines, starts) = outliers.panel(panel);
        let stride = 2 * outliers.half();
        Some(Integers {
            lines,
            starts,
            x: &x.outliers[first * stride + low * outliers.half()..],
            stride,
        })
    };
    [kept, part(0), part(1)]
}

/// The sums of a row: of activations of 8 bits, of the high bytes of outlier features, and of their
/// low ones.
#[inline(always)]
fn sums_with_outliers<I: Isa>(
    isa: I,
    x: &Rows<'_>,
    row: usize,
    (matrix, panel): (&Packed, usize),
    [kept, high, low]: [&[i32; PANEL]; 3],
) -> [I::F; 4] {
    let (high, low) = (high.as_chunks().0, low.as_chunks().0);
    let scale = isa.splat(x.outlier_scales[row]);
    let unit = isa.splat(1.0 / LOW_LEVELS);
    // Loops, since closures of many operations are not inlined into a kernel.
    let mut sums = [isa.splat(0.0); 4];
    for v in 0..4 {
        let low = isa.mul(isa.load_ints(&low[v]), unit);
        sums[v] = isa.mul(isa.add(isa.load_ints(&high[v]), low), scale);
    }
    let (Numbers::Int8(_, starts), Some(outliers)) = (&matrix.numbers, &matrix.outliers) else {
        return sums;
    };
    if outliers.are_all() {
        return sums;
    }
    let scale = isa.splat(x.scales[row]);
    let starts = starts[panel * PANEL..][..PANEL].as_chunks().0;
    let kept = kept.as_chunks().0;
    // Of activations whose zero is 0, kernels have taken 128 from each.
    let is_shifted = outliers.shift.is_some();
    for v in 0..4 {
        let mut sum = isa.load_ints(&kept[v]);
        if is_shifted {
            sum = isa.sub(sum, isa.load_ints(&starts[v]));
        }
        sums[v] = isa.add(isa.mul(sum, scale), sums[v]);
    }
    sums
}

/// What sums of blocks start from: -8 times the sum of a block's activations.
#[inline(always)]
fn start_blocks(x: &Rows<'_>, blocks: usize, starts: &mut [i32]) {
    let rows = x.bytes.chunks_exact(x.stride).take(x.count);
    for (row, starts) in rows.zip(starts.chunks_exact_mut(blocks)) {
        for (bytes, start) in row.as_chunks::<BLOCK>().0.iter().zip(starts) {
            let sum: i32 = bytes.iter().map(|x| i32::from(*x)).sum();
            *start = 8 * (ZERO * BLOCK as i32 - sum);
        }
    }
}

/// A panel of a matrix in blocks.
struct Panel<'a> {
    lines: &'a [Line],
    scales: &'a [[f32; PANEL]],
}

/// The sums of a tile of rows, of which `starts` has one for each block: those of blocks, which are
/// of integers, each times its scale, in their order.
#[inline(always)]
fn add_blocks<I: Isa>(
    isa: I,
    panel: Panel<'_>,
    (x, stride): (&[u8], usize),
    starts: &[i32],
    sums: &mut [[f32; PANEL]; TILE_ROWS],
) {
    let blocks = panel.scales.len();
    let rows = starts.len() / blocks;
    let mut tile: Tile = [[0; PANEL]; TILE_ROWS];
    sums[..rows].fill([0.0; PANEL]);
    let lines = panel.lines.as_chunks::<BLOCK_LINES>().0;
    for (block, (lines, scales)) in lines.iter().zip(panel.scales).enumerate() {
        let mut from = [0; TILE_ROWS];
        for (row, from) in from[..rows].iter_mut().enumerate() {
            *from = starts[row * blocks + block];
        }
        isa.block_products(lines, &x[block * BLOCK..], stride, rows, &from, &mut tile);
        let scales: [I::F; 4] = std::array::from_fn(|v| isa.load(&scales.as_chunks().0[v]));
        for (sums, found) in sums[..rows].iter_mut().zip(&tile) {
            let (sums, found) = (sums.as_chunks_mut().0, found.as_chunks().0);
            for v in 0..4 {
                let product = isa.mul(isa.load_ints(&found[v]), scales[v]);
                isa.store(isa.add(isa.load(&sums[v]), product), &mut sums[v]);
            }
        }
    }
}

#[inline(always)]
fn float_sums<I: Isa>(isa: I, panel: &[[f32; PANEL]], x: &[f32]) -> [I::F; 4] {
    let mut sums = [isa.splat(0.0); 4];
    for (weights, x) in panel.iter().zip(x) {
        let x = isa.splat(*x);
        let weights = weights.as_chunks::<LANES>().0;
        for v in 0..4 {
            sums[v] = isa.add(sums[v], isa.mul(isa.load(&weights[v]), x));
        }
    }
    sums
}

/// Puts the outputs of a panel into their row.
#[inline(always)]
fn finish<I: Isa>(isa: I, then: &Then, found: [I::F; 4], panel: usize, row: &mut [f32]) {
    match then {
        Then::Store => store(isa, found, panel, row),
        Then::Gelu => store(isa, activation::gelu(isa, found), panel, row),
        Then::GeluTanh => {
            let inner = std::array::from_fn(|v| activation::gelu_tanh(isa, found[v]));
            store(isa, inner, panel, row);
        }
        Then::Tanh => {
            let turned = std::array::from_fn(|v| activation::tanh(isa, found[v]));
            store(isa, turned, panel, row);
        }
        Then::Add => {
            let row = row[panel * PANEL..][..PANEL].as_chunks_mut().0;
            for v in 0..4 {
                let sum = isa.add(isa.load(&row[v]), found[v]);
                isa.store(sum, &mut row[v]);
            }
        }
        Then::SwiGlu => {
            let row = row[panel * PANEL / 2..][..PANEL / 2].as_chunks_mut().0;
            for v in 0..2 {
                let inner = activation::swiglu(isa, found[v], found[v + 2]);
                isa.store(inner, &mut row[v]);
            }
        }
    }
}

#[inline(always)]
fn store<I: Isa>(isa: I, found: [I::F; 4], panel: usize, row: &mut [f32]) {
    let row = row[panel * PANEL..][..PANEL].as_chunks_mut().0;
    for v in 0..4 {
        isa.store(found[v], &mut row[v]);
    }
}

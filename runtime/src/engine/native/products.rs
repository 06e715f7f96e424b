//! Rows of activations times a packed matrix, and what follows each product.

use super::kernels::{Isa, LANES, PANEL, TILE_ROWS, Tile};
use super::packed::{Numbers, Packed};
use super::rounding::exp;

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
    /// The values themselves; for float matrices.
    pub(super) floats: &'a [f32],
}

/// What is done with a product.
pub(super) enum Then {
    Store,
    /// It is added to what is there.
    Add,
    /// Of a matrix of interleaved halves, `silu(first) * second` is stored.
    SwiGlu,
}

/// A product to be made.
pub(super) struct Product<'a> {
    pub(super) x: Rows<'a>,
    pub(super) matrix: &'a Packed,
    pub(super) then: Then,
    /// Values from one row of `y` to the next, at least those that the panels make.
    pub(super) stride: usize,
    pub(super) y: &'a mut [f32],
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
    } = work;
    let mut tile: Tile = [[0; PANEL]; TILE_ROWS];
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
            if let Numbers::Int8(lines, starts) = &matrix.numbers {
                let lines = &lines[panel * matrix.panel_lines()..][..matrix.panel_lines()];
                let starts = starts[columns.clone()].as_array().expect("a panel");
                let x = &x.bytes[first * x.stride..];
                isa.products(lines, x, work.x.stride, rows, starts, &mut tile);
            }
            for row in first..first + rows {
                let sums: [I::F; 4] = match &matrix.numbers {
                    Numbers::Int8(..) => {
                        let x_scale = isa.splat(x.scales[row]);
                        let sums = tile[row - first].as_chunks::<LANES>().0;
                        std::array::from_fn(|v| isa.mul(isa.load_ints(&sums[v]), x_scale))
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
        Then::Store => {
            let row = row[panel * PANEL..][..PANEL].as_chunks_mut().0;
            for v in 0..4 {
                isa.store(found[v], &mut row[v]);
            }
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
                isa.store(swiglu(isa, found[v], found[v + 2]), &mut row[v]);
            }
        }
    }
}

#[inline(always)]
fn swiglu<I: Isa>(isa: I, gate: I::F, up: I::F) -> I::F {
    let negative = exp(isa, isa.sub(isa.splat(0.0), gate));
    let silu = isa.div(gate, isa.add(isa.splat(1.0), negative));
    isa.mul(silu, up)
}

//! Matrices as kernels read them: in panels of 64 columns.
//!
//! An int8 panel is a list of lines, four for every four inputs; a line is sixteen columns by four
//! inputs. Activations are bytes `x + 128`, so that `sum (x + 128) * w` is too large by 128 times
//! the column's sum: sums start from the negative of that. Inputs and columns that fill up the last
//! group and the last panel are zero.
//!
//! A panel in blocks has half as many lines: the low halves of a line's bytes are what is a line of
//! an int8 panel, the high halves what is the line four further on. They are not signed: 8 is zero,
//! so that the sum of a block is too large by 8 times the sum of its activations.

use super::interleaving::interleave;
use super::kernels::{LANES, Line, PANEL};
use super::outliers::Outliers;
use super::store::{Lines, Store};
use crate::network::{BLOCK, Format, Matrix, floats};

/// What 0 is as a byte of activations.
pub(super) const ZERO: i32 = 128;
/// Lines of a block of a panel.
pub(super) const BLOCK_LINES: usize = BLOCK / 4 / 2 * 4;
/// Two 4-bit zeros.
const ZERO_LEVELS: i8 = 0x88_u8 as i8;
/// The most inputs whose products surely fit in an i32 together.
pub(super) const MAX_INT8_INPUTS: usize = i32::MAX as usize / (255 * 128);

/// The weights of a packed matrix.
#[derive(Debug)]
pub(super) enum Numbers {
    /// Multiplied by activations that are rounded: lines, and what each column's sum starts from.
    Int8(Lines, Vec<i32>),
    /// 4-bit integers in blocks of 32 inputs, multiplied by activations that are rounded: lines,
    /// and for every panel and block, a scale for each column.
    Blocks(Lines, Vec<[f32; PANEL]>),
    /// Multiplied by activations as they are: for every panel and input, a row of the panel.
    Float(Vec<[f32; PANEL]>),
}

/// A matrix in panels, with a scale and a bias for each column.
#[derive(Debug)]
pub(super) struct Packed {
    /// That of its tensor.
    pub(super) name: String,
    pub(super) inputs: usize,
    pub(super) panels: usize,
    pub(super) numbers: Numbers,
    /// As many as the panels have columns, as `bias`.
    pub(super) scale: Vec<f32>,
    pub(super) bias: Vec<f32>,
    /// Of int8 numbers that are multiplied by activations which are rounded; may be absent.
    pub(super) outliers: Option<Outliers>,
}

/// In which order columns go into panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    AsTheyAre,
    /// Of two halves side by side, 32 columns of the first and the same of the second make a panel.
    InterleavedHalves,
}

impl Order {
    fn panels(self, columns: usize) -> usize {
        match self {
            Self::AsTheyAre => columns.div_ceil(PANEL),
            Self::InterleavedHalves => (columns / 2).div_ceil(PANEL / 2),
        }
    }

    /// The column that stands at a place of all panels; `None` for one that fills up.
    fn column(self, columns: usize, place: usize) -> Option<usize> {
        let (panel, place) = (place / PANEL, place % PANEL);
        let (half, start) = (PANEL / 2, columns / 2);
        let (column, end) = match self {
            Self::AsTheyAre => (panel * PANEL + place, columns),
            Self::InterleavedHalves if place < half => (panel * half + place, start),
            Self::InterleavedHalves => (start + panel * half + place - half, columns),
        };
        (column < end).then_some(column)
    }
}

impl Packed {
    /// How many lines a matrix takes of a store, by the arguments of `new`.
    pub(super) fn lines(matrix: &Matrix<'_>, rounds: bool, order: Order) -> usize {
        let of_panel = match matrix.format {
            Format::Int8 if rounds => {
                let apart = matrix.outliers.as_ref().map_or(0, |all| all.inputs.len());
                let kept = match apart < matrix.inputs {
                    true => matrix.inputs,
                    false => 0,
                };
                lines_of(kept) + lines_of(apart)
            }
            Format::Blocks => matrix.inputs / BLOCK * BLOCK_LINES,
            Format::Int8 | Format::F32 => 0,
        };
        order.panels(matrix.columns.len()) * of_panel
    }

    /// Packs a matrix, whose activations are to be rounded or not. The store has room for it.
    pub(super) fn new(matrix: &Matrix<'_>, rounds: bool, order: Order, store: &mut Store) -> Self {
        let columns = matrix.columns.len();
        let panels = order.panels(columns);
        let places: Vec<_> = (0..panels * PANEL)
            .map(|place| order.column(columns, place))
            .collect();
        let of_columns = |bytes: Option<&[u8]>, none: f32| -> Vec<f32> {
            let values = bytes.map(floats);
            let value = |column: usize| values.as_ref().map_or(none, |values| values[column]);
            places.iter().map(|at| at.map_or(0.0, value)).collect()
        };
        let apart = match matrix.format {
            Format::Int8 if rounds => matrix.outliers.as_ref(),
            _ => None,
        };
        let mut bias = of_columns(matrix.bias, 0.0);
        if let Some(shift) = apart.and_then(|apart| apart.shift) {
            let products = of_columns(Some(shift.product), 0.0);
            bias.iter_mut().zip(products).for_each(|(x, y)| *x -= y);
        }
        let outliers = apart.map(|apart| Outliers::new(matrix, apart, &places, store));
        let numbers = match matrix.format {
            Format::Int8 if rounds => match &outliers {
                Some(outliers) if outliers.are_all() => {
                    Numbers::Int8(store.take(0, |_| ()), Vec::new())
                }
                _ => {
                    let inputs: Vec<usize> = (0..matrix.inputs).collect();
                    let (lines, starts) = int8(matrix, &inputs, &places, store);
                    Numbers::Int8(lines, starts)
                }
            },
            Format::Blocks => blocks(matrix, &places, store),
            Format::Int8 | Format::F32 => float(matrix, &places),
        };
        Self {
            name: matrix.name.clone(),
            inputs: matrix.inputs,
            panels,
            numbers,
            scale: match matrix.format {
                // Each block's sum is multiplied by the scale of its block.
                Format::Blocks => of_columns(None, 1.0),
                Format::F32 | Format::Int8 => of_columns(matrix.scale, 1.0),
            },
            bias,
            outliers,
        }
    }

    pub(super) fn rounds(&self) -> bool {
        !matches!(self.numbers, Numbers::Float(..))
    }

    /// Columns of all panels.
    pub(super) fn width(&self) -> usize {
        self.panels * PANEL
    }

    /// Blocks of a column; of matrices in blocks.
    pub(super) fn blocks(&self) -> usize {
        match &self.numbers {
            Numbers::Blocks(_, scales) => scales.len() / self.panels.max(1),
            Numbers::Int8(..) | Numbers::Float(..) => 0,
        }
    }

    /// Lines of an int8 panel.
    pub(super) fn panel_lines(&self) -> usize {
        lines_of(self.inputs)
    }
}

/// Lines of an int8 panel of so many inputs.
pub(super) fn lines_of(inputs: usize) -> usize {
    inputs.div_ceil(4) * 4
}

/// Some inputs of a matrix in panels, and what each column's sum starts from.
pub(super) fn int8(
    matrix: &Matrix<'_>,
    inputs: &[usize],
    places: &[Option<usize>],
    store: &mut Store,
) -> (Lines, Vec<i32>) {
    let panels = places.as_chunks::<PANEL>().0;
    let of_panel = lines_of(inputs.len());
    let mut starts = Vec::with_capacity(places.len());
    let lines = store.take(panels.len() * of_panel, |lines| {
        for (panel, places) in panels.iter().enumerate() {
            let lines = &mut lines[panel * of_panel..][..of_panel];
            let sums = int8_panel(matrix, inputs, places, lines);
            starts.extend(sums.map(|sum| -ZERO * sum));
        }
    });
    (lines, starts)
}

/// Writes a panel, and gives the sums of its columns.
fn int8_panel(
    matrix: &Matrix<'_>,
    inputs: &[usize],
    places: &[Option<usize>; PANEL],
    lines: &mut [Line],
) -> [i32; PANEL] {
    let columns: [Columns; PANEL / LANES] =
        std::array::from_fn(|vector| Columns::of(&places[vector * LANES..][..LANES]));
    let mut sums = Sums::new();
    let groups = lines.as_chunks_mut::<{ PANEL / LANES }>().0;
    // Rows of the matrix from outside to inside: as they lie in memory.
    for (inputs, lines) in inputs.chunks(4).zip(groups) {
        let mut rows = [[0; PANEL]; 4];
        for (row, input) in rows.iter_mut().zip(inputs) {
            let weights = &matrix.bytes[input * matrix.stride + matrix.columns.start..];
            for (columns, to) in columns.iter().zip(row.as_chunks_mut().0) {
                columns.copy(weights, to);
            }
        }
        sums.add(&rows);
        let rows = rows.each_ref().map(|row| row.as_chunks().0);
        for (vector, line) in lines.iter_mut().enumerate() {
            *line = interleave(rows.map(|row| &row[vector]));
        }
    }
    sums.finish()
}

/// The columns of a line.
enum Columns<'a> {
    /// Neighbours from one on, as nearly all are.
    From(usize),
    Mixed(&'a [Option<usize>]),
}

impl<'a> Columns<'a> {
    fn of(places: &'a [Option<usize>]) -> Self {
        let first = places[0].unwrap_or(0);
        let mut neighbours = places.iter().zip(first..);
        match neighbours.all(|(place, column)| *place == Some(column)) {
            true => Self::From(first),
            false => Self::Mixed(places),
        }
    }

    /// Takes their weights from those of an input.
    #[inline(always)]
    fn copy(&self, weights: &[u8], to: &mut [u8; LANES]) {
        match self {
            Self::From(first) => to.copy_from_slice(&weights[*first..][..LANES]),
            Self::Mixed(places) => {
                for (to, place) in to.iter_mut().zip(*places) {
                    *to = place.map_or(0, |column| weights[column]);
                }
            }
        }
    }
}

/// The sums of the columns of a panel.
struct Sums {
    sums: [i32; PANEL],
    /// Those of the latest inputs, which are not in `sums` yet; and how many inputs they are.
    latest: [i16; PANEL],
    inputs: usize,
}

impl Sums {
    /// The most inputs whose weights surely fit in an i16 together.
    const MOST: usize = i16::MAX as usize / 128;

    fn new() -> Self {
        Self {
            sums: [0; PANEL],
            latest: [0; PANEL],
            inputs: 0,
        }
    }

    #[inline(always)]
    fn add(&mut self, rows: &[[u8; PANEL]; 4]) {
        if self.inputs + rows.len() > Self::MOST {
            self.flush();
        }
        self.inputs += rows.len();
        for row in rows {
            for (sum, weight) in self.latest.iter_mut().zip(row) {
                *sum += i16::from(*weight as i8);
            }
        }
    }

    fn flush(&mut self) {
        for (sum, latest) in self.sums.iter_mut().zip(&mut self.latest) {
            *sum += i32::from(std::mem::take(latest));
        }
        self.inputs = 0;
    }

    fn finish(mut self) -> [i32; PANEL] {
        self.flush();
        self.sums
    }
}

fn float(matrix: &Matrix<'_>, places: &[Option<usize>]) -> Numbers {
    let element = |input: usize, column: usize| {
        let place = input * matrix.stride + matrix.columns.start + column;
        match matrix.format {
            Format::Int8 | Format::Blocks => f32::from(matrix.bytes[place] as i8),
            Format::F32 => {
                let bytes = &matrix.bytes[place * 4..];
                f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
            }
        }
    };
    let panels = places.as_chunks::<PANEL>().0.iter();
    let rows = panels.flat_map(|places| {
        (0..matrix.inputs)
            .map(move |input| places.map(|at| at.map_or(0.0, |column| element(input, column))))
    });
    Numbers::Float(rows.collect())
}

fn blocks(matrix: &Matrix<'_>, places: &[Option<usize>], store: &mut Store) -> Numbers {
    let (panels, count) = (places.len() / PANEL, matrix.inputs / BLOCK);
    let mut scales = vec![[0.0; PANEL]; panels * count];
    let of_columns = matrix.scale.map(floats).unwrap_or_default();
    let fill = |lines: &mut [Line]| {
        lines.fill(Line([ZERO_LEVELS; 64]));
        for (place, column) in places.iter().enumerate() {
            let Some(column) = *column else { continue };
            let (panel, place) = (place / PANEL, place % PANEL);
            let (vector, lane) = (place / LANES, place % LANES);
            let first = (matrix.columns.start + column) * matrix.inputs / 2;
            let bytes = &matrix.bytes[first..][..matrix.inputs / 2];
            for (block, bytes) in bytes.as_chunks::<{ BLOCK / 2 }>().0.iter().enumerate() {
                let at = panel * count + block;
                scales[at][place] = of_columns[column * count + block];
                let lines = &mut lines[at * BLOCK_LINES..][..BLOCK_LINES];
                for input in 0..BLOCK {
                    let level = bytes[input / 2] >> (input % 2 * 4) & 15;
                    let group = input / 4;
                    let byte = &mut lines[group / 2 * 4 + vector].0[lane * 4 + input % 4];
                    let half = group % 2 * 4;
                    *byte = (*byte as u8 & !(15 << half) | level << half) as i8;
                }
            }
        }
    };
    let lines = store.take(panels * count * BLOCK_LINES, fill);
    Numbers::Blocks(lines, scales)
}

//! The types of tensors in a GGUF file, and how their blocks become f32.
//!
//! A row consists of blocks, each of some values that share scales. The arithmetic is that of the
//! package `gguf`, operation by operation, so that the values agree to the last bit.

use half::{bf16, f16};

/// A type of tensor that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

/// A type's number in the file, its name, values and bytes in a block, and how a block is read.
struct Row {
    number: u32,
    name: &'static str,
    kind: Kind,
    values: usize,
    bytes: usize,
    widen: fn(&[u8], &mut Vec<f32>),
}

const fn row(
    (number, name, kind): (u32, &'static str, Kind),
    (values, bytes): (usize, usize),
    widen: fn(&[u8], &mut Vec<f32>),
) -> Row {
    Row {
        number,
        name,
        kind,
        values,
        bytes,
        widen,
    }
}

/// The types that are read.
const KINDS: [Row; 11] = [
    row((0, "F32", Kind::F32), (1, 4), |block, out| {
        out.push(f32::from_le_bytes(bytes(block, 0)));
    }),
    row((1, "F16", Kind::F16), (1, 2), |block, out| {
        out.push(half(block, 0));
    }),
    row((30, "BF16", Kind::BF16), (1, 2), |block, out| {
        out.push(bf16::from_le_bytes(bytes(block, 0)).to_f32());
    }),
    row((2, "Q4_0", Kind::Q4_0), (32, 18), q4_0),
    row((3, "Q4_1", Kind::Q4_1), (32, 20), q4_1),
    row((6, "Q5_0", Kind::Q5_0), (32, 22), q5_0),
    row((7, "Q5_1", Kind::Q5_1), (32, 24), q5_1),
    row((8, "Q8_0", Kind::Q8_0), (32, 34), q8_0),
    row((12, "Q4_K", Kind::Q4K), (256, 144), q4_k),
    row((13, "Q5_K", Kind::Q5K), (256, 176), q5_k),
    row((14, "Q6_K", Kind::Q6K), (256, 210), q6_k),
];

/// Names of types that are not read, for errors.
const OTHERS: [(u32, &str); 20] = [
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
];

impl Kind {
    /// The type with a number; an error says what the tensor is of instead.
    pub(crate) fn of(number: u32) -> Result<Self, String> {
        if let Some(row) = KINDS.iter().find(|row| row.number == number) {
            return Ok(row.kind);
        }
        let known = KINDS.map(|row| row.name).join(", ");
        let name = OTHERS.iter().find(|(other, _)| *other == number);
        let name = name.map_or("a type unknown here", |(_, name)| name);
        Err(format!(
            "is of type {name} (number {number}); only {known} are read: quantise the model again as one of these"
        ))
    }

    fn row(self) -> &'static Row {
        let row = KINDS.iter().find(|row| row.kind == self);
        row.expect("the table has every type")
    }

    /// Bytes of a tensor, whose innermost dimension must be of whole blocks.
    pub(crate) fn bytes(self, shape: &[usize]) -> Result<u64, String> {
        let row = self.row();
        let width = shape.last().copied().unwrap_or(1);
        if !width.is_multiple_of(row.values) {
            return Err(format!(
                "is {shape:?} of type {}; expected rows of a multiple of {} values",
                row.name, row.values
            ));
        }
        let values = shape
            .iter()
            .try_fold(1_u64, |product, size| product.checked_mul(*size as u64));
        values
            .and_then(|values| (values / row.values as u64).checked_mul(row.bytes as u64))
            .ok_or_else(|| {
                format!("is {shape:?}, more than there can be bytes; the file is damaged")
            })
    }

    /// Where the values `start` to `start + count` lie among the bytes of a tensor; both must be of
    /// whole blocks.
    pub(crate) fn range(self, start: usize, count: usize) -> std::ops::Range<usize> {
        let row = self.row();
        debug_assert!(start.is_multiple_of(row.values) && count.is_multiple_of(row.values));
        let at = |value: usize| value / row.values * row.bytes;
        at(start)..at(start + count)
    }

    /// The values of whole blocks.
    pub(crate) fn widen(self, blocks: &[u8]) -> Vec<f32> {
        let row = self.row();
        let mut values = Vec::with_capacity(blocks.len() / row.bytes * row.values);
        for block in blocks.chunks_exact(row.bytes) {
            (row.widen)(block, &mut values);
        }
        values
    }
}

fn bytes<const N: usize>(block: &[u8], at: usize) -> [u8; N] {
    *block[at..].first_chunk().expect("a block is long enough")
}

fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes(bytes(block, at)).to_f32()
}

/// The low halves of all bytes, then the high ones.
fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let low = bytes.iter().map(|byte| byte & 15);
    low.chain(bytes.iter().map(|byte| byte >> 4))
}

fn q4_0(block: &[u8], out: &mut Vec<f32>) {
    let scale = half(block, 0);
    out.extend(nibbles(&block[2..]).map(|q| scale * f32::from(q as i8 - 8)));
}

fn q4_1(block: &[u8], out: &mut Vec<f32>) {
    let (scale, least) = (half(block, 0), half(block, 2));
    out.extend(nibbles(&block[4..]).map(|q| scale * f32::from(q) + least));
}

/// Values of 5 bits, the fifth of all of them in a word of their own.
fn fives(high: u32, low: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let with_fifth = move |(index, q)| q | (((high >> index) as u8 & 1) << 4);
    nibbles(low).enumerate().map(with_fifth)
}

fn q5_0(block: &[u8], out: &mut Vec<f32>) {
    let (scale, high) = (half(block, 0), u32::from_le_bytes(bytes(block, 2)));
    out.extend(fives(high, &block[6..]).map(|q| scale * f32::from(q as i8 - 16)));
}

fn q5_1(block: &[u8], out: &mut Vec<f32>) {
    let (scale, least) = (half(block, 0), half(block, 2));
    let high = u32::from_le_bytes(bytes(block, 4));
    out.extend(fives(high, &block[8..]).map(|q| scale * f32::from(q) + least));
}

fn q8_0(block: &[u8], out: &mut Vec<f32>) {
    let scale = half(block, 0);
    out.extend(block[2..].iter().map(|q| scale * f32::from(*q as i8)));
}

/// The scale and the minimum of one of the eight parts of a block of Q4_K or Q5_K, 6 bits each.
///
/// Twelve bytes hold them: the first four the scales of parts 0 to 3, the next four their minima,
/// and in the two highest bits of each of these eight stand the highest bits of parts 4 to 7, whose
/// lower four bits are the halves of the last four bytes.
fn scale_and_minimum(packed: &[u8], part: usize) -> (u8, u8) {
    if part < 4 {
        return (packed[part] & 63, packed[part + 4] & 63);
    }
    let low = packed[part + 4];
    let scale = (low & 15) | (packed[part - 4] >> 6 << 4);
    let minimum = (low >> 4) | (packed[part] >> 6 << 4);
    (scale, minimum)
}

/// Eight parts of 32 values; parts 2n and 2n + 1 are the halves of the same 32 bytes.
fn k_parts(block: &[u8], quants: &[u8], fifth: Option<&[u8]>, out: &mut Vec<f32>) {
    let (scales, minima, packed) = (half(block, 0), half(block, 2), &block[4..16]);
    for part in 0..8 {
        let (scale, minimum) = scale_and_minimum(packed, part);
        let (scale, minimum) = (scales * f32::from(scale), minima * f32::from(minimum));
        let bytes = &quants[part / 2 * 32..][..32];
        for (index, byte) in bytes.iter().enumerate() {
            let low = (byte >> (part % 2 * 4)) & 15;
            let high = fifth.map_or(0, |fifth| ((fifth[index] >> part) & 1) << 4);
            out.push(scale * f32::from(low | high) - minimum);
        }
    }
}

fn q4_k(block: &[u8], out: &mut Vec<f32>) {
    k_parts(block, &block[16..], None, out);
}

fn q5_k(block: &[u8], out: &mut Vec<f32>) {
    k_parts(block, &block[48..], Some(&block[16..48]), out);
}

/// Two halves of 128 values, each of four parts: 64 bytes have the lower four bits of all four, 32
/// bytes the upper two. A scale goes with 16 values.
fn q6_k(block: &[u8], out: &mut Vec<f32>) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let all = half(block, 208);
    for index in 0..256 {
        let (part, place) = (index / 32, index % 32);
        let (group, part) = (part / 4, part % 4);
        let low = (low[group * 64 + part % 2 * 32 + place] >> (part / 2 * 4)) & 15;
        let high = (high[group * 32 + place] >> (part * 2)) & 3;
        let scale = all * f32::from(scales[index / 16] as i8);
        out.push(scale * f32::from((low | (high << 4)) as i8 - 32));
    }
}

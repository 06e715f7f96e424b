//! The arithmetic of quantisation: symmetric int8 with a scale per row, and 4-bit blocks.

/// Symmetric: -128 is not used.
const LARGEST: f32 = 127.0;
/// Weights that share a scale, at 4 bits.
pub(crate) const BLOCK: usize = 32;
/// Where zero lies among the sixteen values of 4 bits.
const MIDDLE: f32 = 8.0;

/// The scale that maps a row's largest magnitude to 127.
pub(crate) fn scale(row: &[f32]) -> f32 {
    let largest = row.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    usable(largest / LARGEST)
}

/// A value as a multiple of its row's scale.
pub(crate) fn quantize(value: f32, scale: f32) -> i8 {
    // The conversion saturates; the clamp keeps it symmetric.
    (value / scale).round_ties_even().clamp(-LARGEST, LARGEST) as i8
}

/// The scale of a block of 4-bit weights: it maps the value of largest magnitude to the end of the
/// range that reaches further, -8.
pub(crate) fn block_scale(block: &[f32]) -> f32 {
    let largest = block
        .iter()
        .fold(0.0_f32, |a, b| if b.abs() > a.abs() { *b } else { a });
    usable(largest / -MIDDLE)
}

/// A value as a multiple of its block's scale, -8 to 7.
pub(crate) fn block_level(value: f32, scale: f32) -> f32 {
    (value / scale)
        .round_ties_even()
        .clamp(-MIDDLE, MIDDLE - 1.0)
}

/// The values of a block, two to a byte, the first in the low half; 8 stands for zero.
pub(crate) fn pack_block(block: &[f32], scale: f32) -> impl Iterator<Item = u8> {
    let level = move |value: f32| block_level(value, scale) as i8 as u8;
    block
        .chunks_exact(2)
        .map(move |pair| level(pair[0]).wrapping_add(8) | (level(pair[1]).wrapping_add(8) << 4))
}

/// A row of zeros, or one so small that dividing by its scale would overflow, is as good as zero.
fn usable(scale: f32) -> f32 {
    if scale.is_normal() { scale } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Vec<f32> {
        (0..96)
            .map(|i| ((i * 37) % 101) as f32 / 17.0 - 3.0)
            .collect()
    }

    #[test]
    fn error_is_at_most_half_a_step() {
        let scale = scale(&row());
        for value in row() {
            let restored = f32::from(quantize(value, scale)) * scale;
            assert!(
                (restored - value).abs() <= scale * 0.500_01,
                "{value} became {restored}"
            );
        }
    }

    #[test]
    fn extremes_stay_symmetric() {
        assert_eq!(quantize(5.0, scale(&[5.0, -5.0])), 127);
        assert_eq!(quantize(-5.0, scale(&[5.0, -5.0])), -127);
        for row in [[0.0, 0.0], [f32::MIN_POSITIVE / 64.0, 0.0]] {
            assert_eq!(scale(&row), 1.0);
            assert_eq!(quantize(row[0], 1.0), 0);
        }
        let largest = [f32::MAX, 1.0];
        assert_eq!(quantize(f32::MAX, scale(&largest)), 127);
    }

    #[test]
    fn four_bits_are_within_a_step() {
        for block in row().chunks_exact(BLOCK) {
            let scale = block_scale(block);
            let bytes: Vec<u8> = pack_block(block, scale).collect();
            assert_eq!(bytes.len(), BLOCK / 2);
            for (index, value) in block.iter().enumerate() {
                let level = bytes[index / 2] >> (index % 2 * 4) & 15;
                let restored = (f32::from(level) - MIDDLE) * scale;
                // The range is not symmetric: one end is a whole step short.
                assert!((restored - value).abs() <= scale.abs() * 1.000_01);
            }
        }
        assert!(pack_block(&[0.0; BLOCK], block_scale(&[0.0; BLOCK])).all(|byte| byte == 0x88));
    }
}

//! Symmetric int8 weights: one scale per row of the checkpoint's matrix, which is one per output channel of a projection and one per
//! token of the embedding.

/// How weights are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quantize {
    /// Weights as int8 with a scale per output channel; activations as uint8 with a scale per tensor, found while running.
    #[default]
    Int8,
    /// Weights and activations as f32.
    None,
}

impl Quantize {
    /// The name in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8-dynamic",
            Self::None => "none",
        }
    }
}

/// Symmetric: -128 is not used.
const LARGEST: f32 = 127.0;

/// The scale that maps a row's largest magnitude to 127.
pub(crate) fn scale(row: &[f32]) -> f32 {
    let largest = row.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let scale = largest / LARGEST;
    // A row of zeros, or one so small that dividing by its scale would overflow, is as good as zero.
    if scale.is_normal() { scale } else { 1.0 }
}

/// A value as a multiple of its row's scale.
pub(crate) fn quantize(value: f32, scale: f32) -> i8 {
    // The conversion saturates; the clamp keeps it symmetric.
    (value / scale).round_ties_even().clamp(-LARGEST, LARGEST) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_at_most_half_a_step() {
        let row: Vec<f32> = (0..100)
            .map(|i| ((i * 37) % 101) as f32 / 17.0 - 3.0)
            .collect();
        let scale = scale(&row);
        for value in row {
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
}

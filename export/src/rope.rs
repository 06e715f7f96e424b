//! Rotary position embedding: the angle by which a pair of dimensions turns at a position.

/// The frequencies of a network's rotary embedding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// The base of the frequencies.
    pub theta: f64,
    /// How they are stretched for texts longer than those of the first training.
    pub scaling: Option<Llama3Scaling>,
}

/// The scaling of Llama 3.1 and later: slow frequencies are divided by `factor`, fast ones kept,
/// those between blended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Scaling {
    /// What slow frequencies are divided by; at least 1.
    pub factor: f64,
    /// Wavelengths above `original_max_position / low_freq_factor` tokens are slow.
    pub low_freq_factor: f64,
    /// Wavelengths below `original_max_position / high_freq_factor` tokens are fast.
    pub high_freq_factor: f64,
    /// The longest sequence, in tokens, of the first training.
    pub original_max_position: f64,
}

impl Rope {
    /// Radians per token of dimension pair `index`, 0 to `head_size / 2`.
    ///
    /// Rounded to f32, as networks are trained: at position 2,000 the rounding is visible in the
    /// fourth digit of an angle.
    pub fn frequency(&self, index: usize, head_size: usize) -> f32 {
        let plain = self.theta.powf(-2.0 * index as f64 / head_size as f64);
        let Some(scaling) = self.scaling else {
            return plain as f32;
        };
        // How often the pair turns round within the first training's longest sequence.
        let turns = scaling.original_max_position * plain / std::f64::consts::TAU;
        let slow = plain / scaling.factor;
        let blend = (turns - scaling.low_freq_factor)
            / (scaling.high_freq_factor - scaling.low_freq_factor);
        (slow + (plain - slow) * blend.clamp(0.0, 1.0)) as f32
    }

    /// The angle by which dimensions `index` and `index + head_size / 2` turn at a position.
    pub fn angle(&self, position: usize, index: usize, head_size: usize) -> f64 {
        f64::from(position as f32 * self.frequency(index, head_size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama_3_keeps_fast_frequencies_and_divides_slow_ones() {
        let plain = Rope {
            theta: 500_000.0,
            scaling: None,
        };
        let scaled = Rope {
            scaling: Some(Llama3Scaling {
                factor: 32.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_max_position: 8192.0,
            }),
            ..plain
        };
        let ratio = |index| f64::from(plain.frequency(index, 64) / scaled.frequency(index, 64));
        assert_eq!(ratio(0), 1.0);
        assert!((ratio(31) - 32.0).abs() < 1e-3);
        let between: Vec<_> = (0..32)
            .map(ratio)
            .filter(|r| *r > 1.001 && *r < 31.9)
            .collect();
        assert!(!between.is_empty());
        assert!(between.is_sorted());
    }
}

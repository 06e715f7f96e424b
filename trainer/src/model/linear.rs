//! A linear model on hashed n-grams: the baseline that a network must beat, and the teacher that
//! keeps it honest.
//!
//! Trained from nothing, a small network learns which corpus a text comes from before it learns
//! what the text says. A linear model over words and letters cannot: what it says of a text it has
//! not seen is a better target than the label alone.

use std::hash::{BuildHasher, Hasher};

use rustc_hash::FxBuildHasher;

/// Buckets that n-grams are hashed into; two n-grams in one bucket share its weight.
const BUCKETS: usize = 1 << 21;
/// Lengths of the letter n-grams.
const LETTERS: std::ops::RangeInclusive<usize> = 3..=5;
/// Added to AdaGrad's sums, so that the first step of a weight is not the full rate.
const SMALLEST_SUM: f32 = 1e-2;
/// The bias learns slower than the weights by this factor.
const BIAS_RATE: f32 = 0.01;

/// A text's distinct n-grams, as buckets in [0, 2^21).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Features(Vec<u32>);

impl Features {
    /// Words, word pairs and letter 3- to 5-grams of the text in lower case, each counted once.
    pub(crate) fn of(text: &str) -> Self {
        let text = text.to_lowercase();
        let words: Vec<&str> = text
            .split(|c: char| !c.is_alphanumeric() && c != '\'')
            .filter(|word| !word.is_empty())
            .collect();
        let mut buckets = Vec::with_capacity(text.len() * 3 + words.len() * 2);
        for (index, word) in words.iter().enumerate() {
            buckets.push(bucket(0, word, ""));
            if let Some(next) = words.get(index + 1) {
                buckets.push(bucket(1, word, next));
            }
        }
        // Letters run over the words' borders, which are one space wide.
        let line = format!(" {} ", words.join(" "));
        let starts: Vec<usize> = line
            .char_indices()
            .map(|(at, _)| at)
            .chain([line.len()])
            .collect();
        for length in LETTERS {
            buckets.extend(
                starts
                    .windows(length + 1)
                    .map(|w| bucket(2, &line[w[0]..w[length]], "")),
            );
        }
        buckets.sort_unstable();
        buckets.dedup();
        Self(buckets)
    }
}

fn bucket(kind: u8, first: &str, second: &str) -> u32 {
    let mut hasher = FxBuildHasher.build_hasher();
    hasher.write_u8(kind);
    hasher.write(first.as_bytes());
    hasher.write_u8(0xff);
    hasher.write(second.as_bytes());
    // The upper bits are the well-mixed ones.
    (hasher.finish() >> 40) as u32 & (BUCKETS as u32 - 1)
}

/// One weight per n-gram, learned with AdaGrad on the logistic loss.
pub(crate) struct Linear {
    weights: Vec<f32>,
    sums: Vec<f32>,
    bias: f32,
    rate: f32,
}

impl Linear {
    /// An untrained model; `rate` is AdaGrad's.
    pub(crate) fn new(rate: f64) -> Self {
        Self {
            weights: vec![0.0; BUCKETS],
            sums: vec![SMALLEST_SUM; BUCKETS],
            bias: 0.0,
            rate: rate as f32,
        }
    }

    /// The logit of "unsafe". Every text has the same norm, however long: n-grams weigh 1 /
    /// sqrt(their number).
    pub(crate) fn logit(&self, text: &Features) -> f32 {
        let sum: f32 = text
            .0
            .iter()
            .map(|&bucket| self.weights[bucket as usize])
            .sum();
        self.bias + sum * scale(text)
    }

    /// One step towards `target`, the probability of "unsafe".
    pub(crate) fn learn(&mut self, text: &Features, target: f32) {
        let error = 1.0 / (1.0 + (-self.logit(text)).exp()) - target;
        let scale = scale(text);
        for &bucket in &text.0 {
            let bucket = bucket as usize;
            let gradient = error * scale;
            self.sums[bucket] += gradient * gradient;
            self.weights[bucket] -= self.rate * gradient / self.sums[bucket].sqrt();
        }
        self.bias -= self.rate * BIAS_RATE * error;
    }
}

fn scale(text: &Features) -> f32 {
    1.0 / (text.0.len().max(1) as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_ignore_case_repetition_and_punctuation() {
        assert_eq!(
            Features::of("Warm soup, warm soup!"),
            Features::of("warm SOUP warm soup")
        );
        assert_ne!(Features::of("warm soup"), Features::of("soup warm"));
        // One word, its letters with a border of spaces: 3 + 2 + 1 n-grams for the five characters
        // " abc ".
        assert_eq!(Features::of("abc").0.len(), 1 + 3 + 2 + 1);
        assert_eq!(Features::of("日本").0.len(), 1 + 2 + 1);
        assert!(Features::of("").0.is_empty());
    }

    #[test]
    fn a_step_moves_the_logit_towards_the_target_and_leaves_other_texts_alone() {
        let (rude, kind) = (Features::of("you fool"), Features::of("warm bread"));
        let mut linear = Linear::new(0.2);
        let mut last = linear.logit(&rude);
        for _ in 0..50 {
            linear.learn(&rude, 1.0);
            assert!(linear.logit(&rude) > last);
            last = linear.logit(&rude);
        }
        assert!(last > 2.0);
        // Only the bias and chance collisions reach another text.
        assert!(linear.logit(&kind).abs() < 0.5);
    }
}

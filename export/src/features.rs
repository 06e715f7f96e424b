//! Which features of a projection are outliers: those that make the rounding of all others, or
//! their own, cost most.

/// Outlier features of a projection. Four take most of the error of a pretrained encoder, and 16
/// are little better than 8 (docs/log/2026-11-28-native-outliers.md).
pub(crate) const OUTLIERS: usize = 8;

/// The features to round apart, ascending, at most [`OUTLIERS`] and never all. `rows` are
/// activations, of as many values as `weights` has: for each feature, the sum of the squares of its
/// weights. `shift` is added to activations before they are rounded.
///
/// Rounding a token moves the outputs by a variance in proportion to the square of the token's
/// largest magnitude, times the sum of all squares of weights. One after another, the feature is
/// taken that lowers the mean of that most.
pub(crate) fn choose(rows: &[f32], weights: &[f64], shift: f32) -> Vec<usize> {
    let mut kept = vec![true; weights.len()];
    let mut chosen = Vec::new();
    let count = rows.len() / weights.len().max(1);
    for _ in 0..OUTLIERS.min(weights.len().saturating_sub(1)) {
        let total: f64 = weights
            .iter()
            .zip(&kept)
            .filter(|(_, kept)| **kept)
            .map(|(x, _)| x)
            .sum();
        let mut gains = vec![0.0; weights.len()];
        let mut squares = 0.0;
        for row in rows.chunks_exact(weights.len()) {
            let (mut largest, mut second, mut place) = (0.0, 0.0, 0);
            for (input, x) in row.iter().enumerate().filter(|(input, _)| kept[*input]) {
                let x = f64::from((x + shift).abs());
                if x > largest {
                    (second, largest, place) = (largest, x, input);
                } else if x > second {
                    second = x;
                }
            }
            squares += largest * largest;
            gains[place] += (largest * largest - second * second) * total;
        }
        for (gain, weight) in gains.iter_mut().zip(weights) {
            *gain = (*gain + weight * squares) / count.max(1) as f64;
        }
        let best = (0..weights.len()).filter(|input| kept[*input]);
        let Some(best) = best.max_by(|a, b| gains[*a].total_cmp(&gains[*b])) else {
            break;
        };
        kept[best] = false;
        chosen.push(best);
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forty tokens of thirty features of the order of 1, the third of which is large.
    fn rows() -> Vec<f32> {
        let value = |place: usize| match place % 30 {
            3 => 40.0 + (place / 30) as f32,
            _ => ((place * 37 + 11) % 101) as f32 / 50.0 - 1.0,
        };
        (0..40 * 30).map(value).collect()
    }

    #[test]
    fn what_is_large_or_weighs_much_is_chosen() {
        let mut weights = vec![1.0; 30];
        weights[17] = 100.0;
        let chosen = choose(&rows(), &weights, 0.0);
        assert_eq!(chosen.len(), OUTLIERS);
        assert!(chosen.contains(&3) && chosen.contains(&17));
        assert!(chosen.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_feature_is_left() {
        assert_eq!(choose(&[1.0, 2.0, 3.0], &[1.0; 3], 0.0).len(), 2);
        assert_eq!(choose(&[], &[1.0; 3], 0.0).len(), 2);
        assert!(choose(&[], &[], 0.0).is_empty());
    }
}

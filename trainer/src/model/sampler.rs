//! Drawing the next token from a decoder's probabilities: top-p.

use std::cmp::Ordering;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Low bits of a weight that do not tell ranges apart: 64 ranges lie between a weight and its
/// double.
const RANGE_BITS: u32 = 17;

/// How texts are sampled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SamplingSettings {
    /// Divides the logits; above 0.
    pub temperature: f64,
    /// The smallest set of tokens whose probabilities reach this is drawn from; in (0, 1].
    pub top_p: f64,
    /// Tokens generated at most. A text that has not ended by then is dropped: a sentence cut off
    /// is not what was asked for.
    pub max_tokens: usize,
    /// The token that ends a text.
    pub end: i32,
    /// Added to the logit of each of a prompt's bonus tokens until it is generated; in nats, 0 for
    /// none.
    pub token_bonus: f64,
    /// Added further to the one that follows among a prompt's bonus tokens what was generated last,
    /// and to the end behind the last of them; in nats, 0 for none.
    pub order_bonus: f64,
}

/// Draws a token with a probability proportional to its weight, cut to the nucleus (Holtzman et al.
/// 2020). `weights` are softmax(logits / temperature), or a multiple of it.
pub(crate) fn sample_token(
    weights: &[f32],
    settings: &SamplingSettings,
    rng: &mut ChaCha8Rng,
) -> i32 {
    let total: f32 = weights.iter().sum();
    let point = rng.random::<f32>();
    if settings.top_p >= 1.0 {
        let weights = weights.iter().copied().enumerate();
        return at(weights, point * total).unwrap_or(settings.end);
    }
    let (last, sum) = last_of_nucleus(weights, settings.top_p);
    let is_kept = |&(token, weight): &(usize, f32)| order((token, weight), last).is_le();
    let kept = weights.iter().copied().enumerate().filter(is_kept);
    at(kept, point * sum).unwrap_or(settings.end)
}

/// From the likeliest token down; of equals, the first in the vocabulary comes first.
fn order(a: (usize, f32), b: (usize, f32)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// The least likely token of the nucleus, and the weight of all that are in it.
///
/// The vocabulary is not sorted: weights are added up by their leading bits, which tells the range
/// that the nucleus ends in, and only the few tokens of that range are.
fn last_of_nucleus(weights: &[f32], top_p: f64) -> ((usize, f32), f32) {
    // Of weights that are not negative, the bits grow with the value.
    let range = |weight: f32| (weight.to_bits() >> RANGE_BITS) as usize;
    let mut sums = vec![0.0f64; range(f32::INFINITY) + 1];
    for &weight in weights {
        sums[range(weight)] += f64::from(weight);
    }
    let wanted = top_p * sums.iter().sum::<f64>();
    let (mut reached, mut end) = (0.0, sums.len() - 1);
    while end > 0 && reached + sums[end] < wanted {
        reached += sums[end];
        end -= 1;
    }
    let tokens = weights.iter().copied().enumerate();
    let mut among: Vec<(usize, f32)> = tokens.filter(|&(_, w)| range(w) == end).collect();
    among.sort_unstable_by(|&a, &b| order(a, b));
    let mut last = (usize::MAX, f32::INFINITY);
    for token in among {
        if reached >= wanted && last.0 != usize::MAX {
            break;
        }
        reached += f64::from(token.1);
        last = token;
    }
    (last, reached as f32)
}

/// The token at which the running sum of weights passes `point`.
fn at(weights: impl Iterator<Item = (usize, f32)>, mut point: f32) -> Option<i32> {
    let mut last = None;
    for (token, weight) in weights {
        if weight > 0.0 {
            // Rounding may leave a small rest: the last token that has any weight takes it.
            last = Some(token as i32);
        }
        point -= weight;
        if point < 0.0 {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    /// The nucleus by sorting everything: its size, and its weight.
    fn sorted_nucleus(weights: &[f32], top_p: f64) -> (Vec<usize>, f64) {
        let mut all: Vec<(usize, f32)> = weights.iter().copied().enumerate().collect();
        all.sort_by(|&a, &b| order(a, b));
        let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let (mut kept, mut reached) = (Vec::new(), 0.0);
        for (token, weight) in all {
            if reached >= top_p * total && !kept.is_empty() {
                break;
            }
            reached += f64::from(weight);
            kept.push(token);
        }
        kept.sort_unstable();
        (kept, reached)
    }

    #[test]
    fn the_nucleus_is_that_of_the_sorted_vocabulary() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for case in 0..300 {
            let size = rng.random_range(1..400);
            // From nearly equal weights, through equal ones, to a few that have nearly all.
            let spread = f64::from(case % 30) as f32;
            let steps = [1e6f32, 4.0][case as usize % 2];
            let weights: Vec<f32> = (0..size)
                .map(|_| ((rng.random::<f32>() * steps).round() / steps * spread).exp())
                .collect();
            let top_p = [0.1, 0.5, 0.9, 0.999][case as usize % 4];
            let (last, sum) = last_of_nucleus(&weights, top_p);
            let tokens = weights.iter().copied().enumerate();
            let kept = tokens.filter(|&token| order(token, last).is_le());
            let kept: Vec<usize> = kept.map(|(token, _)| token).collect();
            let (expected, expected_sum) = sorted_nucleus(&weights, top_p);
            // Sums in another order may differ by a token that is just within rounding.
            assert!(kept.len().abs_diff(expected.len()) <= 1, "case {case}");
            let error = (f64::from(sum) - expected_sum).abs() / expected_sum;
            assert!(
                error < 0.02 || kept == expected,
                "case {case}: {sum} {expected_sum}"
            );
        }
    }

    use super::*;

    #[test]
    fn draws_follow_the_softmax_and_the_nucleus() {
        let logits = [1.0f32, 0.0, 2.0, -1.0];
        let weights = logits.map(|logit| (logit / 0.8).exp());
        let share = |settings: &SamplingSettings| -> Vec<f64> {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let mut counts = [0.0; 4];
            for _ in 0..40_000 {
                counts[sample_token(&weights, settings, &mut rng) as usize] += 1.0 / 40_000.0;
            }
            counts.to_vec()
        };
        let weights: Vec<f64> = logits.iter().map(|&l| (l as f64 / 0.8).exp()).collect();
        let expect = |kept: &[usize]| -> Vec<f64> {
            let sum: f64 = kept.iter().map(|&i| weights[i]).sum();
            (0..4)
                .map(|i| {
                    if kept.contains(&i) {
                        weights[i] / sum
                    } else {
                        0.0
                    }
                })
                .collect()
        };
        // Probabilities are 0.203, 0.058, 0.708 and 0.017: two tokens reach 0.9.
        for (top_p, kept) in [(1.0, &[0, 1, 2, 3][..]), (0.9, &[0, 2]), (0.5, &[2])] {
            let found = share(&SamplingSettings {
                top_p,
                temperature: 0.8,
                max_tokens: 12,
                end: 0,
                token_bonus: 0.0,
                order_bonus: 0.0,
            });
            for (found, expected) in found.iter().zip(expect(kept)) {
                assert!(
                    (found - expected).abs() < 0.01,
                    "{top_p}: {found} {expected}"
                );
            }
        }
    }
}

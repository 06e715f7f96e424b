//! Drawing the next token from a decoder's probabilities: top-p.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

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
    let top_p = settings.top_p as f32;
    // Tokens this unlikely cannot reach 1 - top_p all together, so that none of them is in the
    // nucleus: they need no sorting.
    let least = (1.0 - top_p) * total / weights.len() as f32;
    let mut likely: Vec<(usize, f32)> = weights
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, weight)| *weight >= least)
        .collect();
    likely.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let wanted = top_p * total;
    let mut reached = 0.0;
    let kept = likely
        .iter()
        .take_while(|(_, weight)| {
            let before = reached;
            reached += weight;
            before < wanted
        })
        .count();
    likely.truncate(kept.max(1));
    let sum: f32 = likely.iter().map(|(_, weight)| weight).sum();
    at(likely.into_iter(), point * sum).unwrap_or(settings.end)
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

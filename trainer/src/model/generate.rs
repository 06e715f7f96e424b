//! Writing with a decoder: temperature, top-p, a key/value cache, one random sequence per text.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::model::decoder::{Cache, Decoder};
use crate::model::sampler::{SamplingSettings, sample_token};
use crate::model::tensors::{host, select_rows};

/// Rows generated side by side.
const ROWS: usize = 64;

/// A prompt to continue, and the seed of its randomness.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    /// At least one token.
    pub ids: Vec<i32>,
    /// The same prompt and seed give the same text, whatever is generated beside it.
    pub seed: u64,
    /// Tokens that the text should have, each as often as it stands here; see
    /// [`SamplingSettings::token_bonus`].
    pub bonus_tokens: Vec<i32>,
}

/// The continuation of each prompt without the end token, or `None` where it did not end in time.
pub(crate) fn generate(
    decoder: &Decoder,
    prompts: &[Prompt],
    settings: &SamplingSettings,
) -> Vec<Option<Vec<i32>>> {
    // Rows of one length need no padding, and a shared prompt is read once.
    let mut by_prompt: BTreeMap<(usize, &[i32]), Vec<usize>> = BTreeMap::new();
    for (index, prompt) in prompts.iter().enumerate() {
        let key = (prompt.ids.len(), prompt.ids.as_slice());
        by_prompt.entry(key).or_default().push(index);
    }
    let mut texts = vec![None; prompts.len()];
    let mut batch: Vec<(&[i32], Vec<usize>)> = Vec::new();
    for ((length, ids), indices) in by_prompt {
        let rows: usize = batch.iter().map(|(_, indices)| indices.len()).sum();
        let other_length = batch
            .first()
            .is_some_and(|(first, _)| first.len() != length);
        if other_length || rows + indices.len() > ROWS {
            generate_batch(decoder, prompts, &batch, settings, &mut texts);
            batch.clear();
        }
        batch.push((ids, indices));
    }
    generate_batch(decoder, prompts, &batch, settings, &mut texts);
    texts
}

/// One text being generated.
struct Sequence {
    index: usize,
    rng: ChaCha8Rng,
    tokens: Vec<i32>,
    /// What it should have and has not yet, and how often.
    remaining_bonus: BTreeMap<i32, usize>,
}

impl Sequence {
    /// Writes one more token; tells whether the text goes on.
    fn add_token(&mut self, logits: &mut [f32], settings: &SamplingSettings) -> bool {
        for token in self.remaining_bonus.keys() {
            logits[*token as usize] += settings.token_bonus as f32;
        }
        let token = sample_token(logits, settings, &mut self.rng);
        if token == settings.end {
            return false;
        }
        self.tokens.push(token);
        if let Some(count) = self.remaining_bonus.get_mut(&token) {
            *count -= 1;
            if *count == 0 {
                self.remaining_bonus.remove(&token);
            }
        }
        true
    }
}

/// Continues prompts of one length, each as often as it is asked for.
fn generate_batch(
    decoder: &Decoder,
    prompts: &[Prompt],
    batch: &[(&[i32], Vec<usize>)],
    settings: &SamplingSettings,
    texts: &mut [Option<Vec<i32>>],
) {
    let Some(length) = batch.first().map(|(ids, _)| ids.len()) else {
        return;
    };
    let mut cache = Cache::default();
    let ids: Vec<i32> = batch
        .iter()
        .flat_map(|(ids, _)| ids.iter().copied())
        .collect();
    let hidden = decoder.forward(&ids, batch.len(), length, &mut cache);
    let mut sources = Vec::new();
    let mut rows = Vec::new();
    for (source, (_, indices)) in batch.iter().enumerate() {
        for &index in indices {
            let mut remaining_bonus = BTreeMap::new();
            for &token in &prompts[index].bonus_tokens {
                *remaining_bonus.entry(token).or_default() += 1;
            }
            sources.push(source);
            rows.push(Sequence {
                index,
                rng: ChaCha8Rng::seed_from_u64(prompts[index].seed),
                tokens: Vec::new(),
                remaining_bonus,
            });
        }
    }
    let last: Vec<usize> = sources
        .iter()
        .map(|source| source * length + length - 1)
        .collect();
    let mut hidden = select_rows(&hidden, &last);
    cache = cache.select(&sources, batch.len());
    let room = decoder.shape.max_position.saturating_sub(length);
    for _ in 0..settings.max_tokens.min(room) {
        let mut logits = host(&hidden.matmul(decoder.head().clone().transpose()));
        let mut unfinished = Vec::new();
        for (index, row) in rows.iter_mut().enumerate() {
            let logits = &mut logits[index * decoder.vocabulary..][..decoder.vocabulary];
            match row.add_token(logits, settings) {
                true => unfinished.push(index),
                false => texts[row.index] = Some(std::mem::take(&mut row.tokens)),
            }
        }
        if unfinished.is_empty() {
            return;
        }
        let count = rows.len();
        if unfinished.len() < count {
            cache = cache.select(&unfinished, count);
            let mut index = 0;
            rows.retain(|_| {
                index += 1;
                unfinished.binary_search(&(index - 1)).is_ok()
            });
        }
        let tokens: Vec<i32> = rows
            .iter()
            .filter_map(|row| row.tokens.last().copied())
            .collect();
        hidden = decoder.forward(&tokens, rows.len(), 1, &mut cache);
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::model::likelihood::log_likelihood;
    use crate::recipe::ModelRecipe;

    const SETTINGS: SamplingSettings = SamplingSettings {
        temperature: 0.8,
        top_p: 1.0,
        max_tokens: 12,
        end: 0,
        token_bonus: 0.0,
    };

    fn decoder() -> Decoder {
        let shape = ModelRecipe {
            layers: 2,
            hidden: 32,
            heads: 2,
            kv_heads: 1,
            intermediate: 20,
            max_position: 32,
            rope_theta: 10000.0,
            norm_eps: 1e-6,
            rope_scaling: None,
            tied: true,
        };
        let mut decoder = Decoder::new(&shape, 23, 3, &Device::flex().autodiff());
        decoder = decoder.without_gradients();
        // Fresh weights make all tokens nearly equally likely; larger ones do not.
        for parameter in &mut decoder.parameters {
            parameter.value = parameter.value.clone().mul_scalar(4.0);
        }
        decoder
    }

    #[test]
    fn draws_follow_the_softmax_and_the_nucleus() {
        let logits = [1.0f32, 0.0, 2.0, -1.0];
        let share = |settings: &SamplingSettings| -> Vec<f64> {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let mut counts = [0.0; 4];
            for _ in 0..40_000 {
                counts[sample_token(&logits, settings, &mut rng) as usize] += 1.0 / 40_000.0;
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
            let found = share(&SamplingSettings { top_p, ..SETTINGS });
            for (found, expected) in found.iter().zip(expect(kept)) {
                assert!(
                    (found - expected).abs() < 0.01,
                    "{top_p}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn a_text_does_not_depend_on_its_neighbours() {
        let decoder = decoder();
        let prompts: Vec<Prompt> = (0..20)
            .map(|i| Prompt {
                ids: vec![1 + i % 3; 2 + (i % 2) as usize],
                seed: i as u64,
                bonus_tokens: Vec::new(),
            })
            .collect();
        let together = generate(&decoder, &prompts, &SETTINGS);
        assert!(together.iter().flatten().any(|text| text.len() > 2));
        for (prompt, text) in prompts.iter().zip(&together) {
            assert_eq!(
                &generate(&decoder, std::slice::from_ref(prompt), &SETTINGS)[0],
                text
            );
        }
    }

    #[test]
    fn tokens_with_a_bonus_are_generated_once_each() {
        let decoder = decoder();
        let texts = |token_bonus: f64| {
            let prompts: Vec<Prompt> = (0..300)
                .map(|seed| Prompt {
                    ids: vec![4, 5, 6],
                    seed,
                    bonus_tokens: vec![9, 7, 9],
                })
                .collect();
            let settings = SamplingSettings {
                token_bonus,
                temperature: 1.0,
                max_tokens: 28,
                ..SETTINGS
            };
            generate(&decoder, &prompts, &settings)
        };
        let long: Vec<Vec<i32>> = texts(1e4).into_iter().flatten().collect();
        assert!(!long.is_empty());
        for text in &long {
            let mut first = text[..3].to_vec();
            first.sort_unstable();
            assert_eq!(first, [7, 9, 9], "{text:?}");
        }
        // A token that was generated has lost its bonus.
        assert!(
            long.iter()
                .any(|text| text[3..].iter().any(|id| *id != 7 && *id != 9))
        );
        let has_all = |text: &Vec<i32>| text.contains(&7) && text.contains(&9);
        assert!(!texts(0.0).iter().flatten().all(has_all));
    }

    #[test]
    fn likelihoods_add_up_over_all_texts_of_one_token() {
        let decoder = decoder();
        let (a, b) = ([4, 5, 6], [7]);
        // p(first token) x p(end | it), over all first tokens, is the probability of ending after
        // one.
        let targets: Vec<Vec<i32>> = (1..23).map(|token| vec![token]).collect();
        let rows: Vec<(&[i32], &[i32])> = targets.iter().map(|t| (&a[..], t.as_slice())).collect();
        let batch = host(&log_likelihood(&decoder, &rows, 0));
        for (row, found) in rows.iter().zip(&batch) {
            let alone = host(&log_likelihood(&decoder, &[*row, (&b, &[1, 2, 3])], 0))[0];
            assert!((alone - found).abs() < 1e-4, "{alone} {found}");
        }
        let nothing = host(&log_likelihood(&decoder, &[(&a, &[])], 0))[0].exp();
        let one: f32 = batch.iter().map(|l| l.exp()).sum();
        let frequency = |length: usize| {
            let prompts: Vec<Prompt> = (0..4000)
                .map(|seed| Prompt {
                    ids: a.to_vec(),
                    seed,
                    bonus_tokens: Vec::new(),
                })
                .collect();
            let settings = SamplingSettings {
                temperature: 1.0,
                ..SETTINGS
            };
            let texts = generate(&decoder, &prompts, &settings);
            texts
                .iter()
                .flatten()
                .filter(|text| text.len() == length)
                .count() as f32
                / 4000.0
        };
        assert!(
            (frequency(0) - nothing).abs() < 0.03,
            "{} {nothing}",
            frequency(0)
        );
        assert!((frequency(1) - one).abs() < 0.03, "{} {one}", frequency(1));
    }
}

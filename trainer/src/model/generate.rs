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
mod tests;

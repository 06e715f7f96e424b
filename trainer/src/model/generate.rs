//! Writing with a decoder: temperature, top-p, a key/value cache, one random sequence per text.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use crate::model::decoder::{Cache, Decoder};
use crate::model::sampler::{SamplingSettings, sample_token};
use crate::model::tensors::host_values;

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
    /// [`SamplingSettings::token_bonus`] and [`SamplingSettings::order_bonus`].
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
    /// What it should have.
    wanted: Vec<i32>,
    /// What it has not yet, and how often.
    remaining_bonus: BTreeMap<i32, usize>,
}

impl Sequence {
    /// Writes one more token; tells whether the text goes on.
    fn add_token(&mut self, weights: &[f32], settings: &SamplingSettings) -> bool {
        let token = sample_token(weights, settings, &mut self.rng);
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

    /// What follows among the wanted tokens what was written last, as far as it is not there yet;
    /// the end behind the last of them when nothing is left.
    fn next_in_order(&self, end: i32) -> BTreeSet<i32> {
        let place = |token: Option<&i32>| match token {
            Some(token) => self.remaining_bonus.contains_key(token).then_some(*token),
            None => self.remaining_bonus.is_empty().then_some(end),
        };
        let Some(last) = self.tokens.last() else {
            return place(self.wanted.first()).into_iter().collect();
        };
        let found = self.wanted.iter().enumerate().filter(|(_, t)| *t == last);
        let next = found.map(|(index, _)| self.wanted.get(index + 1));
        next.filter_map(place).collect()
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
    let _guard = tch::no_grad_guard();
    let room = decoder.shape.max_position.saturating_sub(length);
    let room = room.min(settings.max_tokens);
    let ids: Vec<i32> = batch
        .iter()
        .flat_map(|(ids, _)| ids.iter().copied())
        .collect();
    let options = decoder.options();
    let mut cache = Cache::new(&decoder.shape, batch.len(), length + room, options);
    let mut hidden = decoder.read(&ids, batch.len(), &mut cache);
    let mut sources = Vec::new();
    let mut rows = Vec::new();
    for (source, (_, indices)) in batch.iter().enumerate() {
        for &index in indices {
            let mut remaining_bonus = BTreeMap::new();
            for &token in &prompts[index].bonus_tokens {
                *remaining_bonus.entry(token).or_default() += 1;
            }
            sources.push(source as i64);
            rows.push(Sequence {
                index,
                rng: ChaCha8Rng::seed_from_u64(prompts[index].seed),
                tokens: Vec::new(),
                wanted: prompts[index].bonus_tokens.clone(),
                remaining_bonus,
            });
        }
    }
    if sources.len() != batch.len() {
        let sources = decoder.indices(&sources);
        hidden = hidden.index_select(0, &sources);
        cache.select(&sources);
    }
    for _ in 0..room {
        let weights = probabilities(decoder, &hidden, &rows, settings);
        let weights = host_values(&weights);
        let goes_on: Vec<bool> = rows
            .par_iter_mut()
            .zip(weights.par_chunks(decoder.vocabulary))
            .map(|(row, weights)| row.add_token(weights, settings))
            .collect();
        // From the last to the first: what takes a finished row's place is not looked at again.
        for row in (0..rows.len()).rev().filter(|&row| !goes_on[row]) {
            let finished = rows.swap_remove(row);
            texts[finished.index] = Some(finished.tokens);
            cache.swap_remove(row);
        }
        if rows.is_empty() {
            return;
        }
        let tokens: Vec<i32> = rows
            .iter()
            .filter_map(|row| row.tokens.last().copied())
            .collect();
        hidden = decoder.read(&tokens, rows.len(), &mut cache);
    }
}

/// softmax(logits / temperature) of each row after the bonus of its tokens, `[B x V]` on the host.
fn probabilities(
    decoder: &Decoder,
    hidden: &Tensor,
    rows: &[Sequence],
    settings: &SamplingSettings,
) -> Tensor {
    let logits = hidden.linear(&decoder.head().value, None::<&Tensor>);
    let mut logits = logits.to_kind(Kind::Float);
    let add = |bonus: f64, tokens: &dyn Fn(&Sequence) -> Vec<i32>| {
        if bonus == 0.0 {
            return;
        }
        let of_row = |(row, sequence): (usize, &Sequence)| {
            let first = (row * decoder.vocabulary) as i64;
            let tokens = tokens(sequence).into_iter();
            tokens.map(move |token| first + i64::from(token))
        };
        let places: Vec<i64> = rows.iter().enumerate().flat_map(of_row).collect();
        let bonus = decoder.tensor(&vec![bonus as f32; places.len()]);
        let places = decoder.indices(&places);
        let _ = logits.view([-1]).index_add_(0, &places, &bonus);
    };
    add(settings.token_bonus, &|sequence| {
        sequence.remaining_bonus.keys().copied().collect()
    });
    add(settings.order_bonus, &|sequence| {
        sequence.next_in_order(settings.end).into_iter().collect()
    });
    if settings.temperature != 1.0 {
        let _ = logits.g_div_scalar_(settings.temperature);
    }
    logits.softmax(1, Kind::Float).to_device(Device::Cpu)
}

#[cfg(test)]
mod tests;

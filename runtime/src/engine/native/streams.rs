//! Streams: a forward pass that goes on from the keys and values of earlier tokens.

use std::num::NonZeroUsize;

use super::attention::{Heads, TILE_KEYS};
use super::forward::Cache;
use super::{NAME, Native};
use crate::engine::batch::{TokenBatch, check_batch};
use crate::engine::cache::{KeyValues, Past, StreamEngine};
use crate::error::{Error, Result};
use crate::stream_graph::{CacheShape, StreamGraph};

pub(super) fn open(stream: &StreamGraph, threads: NonZeroUsize) -> Result<Box<dyn StreamEngine>> {
    let native = Native::new(&stream.graph, threads)?;
    let found = CacheShape {
        layers: native.network.layers.len(),
        heads: native.network.heads.kv_heads,
        size: native.network.heads.size,
    };
    if found != stream.shape {
        return Err(Error::model(format!(
            "{}: its keys and values are {:?}; expected {found:?}, as the tensors of weights.data \
             are: get the bundle again",
            native.file, stream.shape
        )));
    }
    Ok(Box::new(native))
}

impl StreamEngine for Native {
    fn run(&mut self, past: Past<'_>, ids: &[u32], logits: &mut [f32]) -> Result<KeyValues> {
        let batch = TokenBatch::one(ids);
        check_batch(NAME, &batch)?;
        let mut copies = Copies {
            heads: self.network.heads,
            length: past.tokens() + ids.len(),
            past: past.parts().collect(),
            tokens: past.tokens(),
            present: Vec::with_capacity(2 * self.network.layers.len()),
        };
        self.forward(&batch, past.tokens(), &mut copies, logits)?;
        past.followed_by(NAME, ids.len(), copies.present)
    }
}

/// Keys and values of a stream, `[heads, tokens, size]` outside of the engine.
struct Copies<'a> {
    heads: Heads,
    /// Tokens, all of them.
    length: usize,
    /// Keys and values by turns, of which the first `tokens` of every head are meant.
    past: Vec<([usize; 4], &'a [f32])>,
    tokens: usize,
    present: Vec<(Vec<usize>, Vec<f32>)>,
}

impl Cache for Copies<'_> {
    fn load(&mut self, layer: usize, keys: &mut [f32], values: &mut [f32]) {
        let heads = self.heads;
        let (shape, past) = self.past[2 * layer];
        for head in 0..heads.kv_heads {
            for token in 0..self.tokens {
                let key = &past[(head * shape[2] + token) * heads.size..][..heads.size];
                let place = key_place(heads, head, token);
                for (i, x) in key.iter().enumerate() {
                    keys[place + i * TILE_KEYS] = *x;
                }
            }
        }
        let (shape, past) = self.past[2 * layer + 1];
        for head in 0..heads.kv_heads {
            for token in 0..self.tokens {
                let value = &past[(head * shape[2] + token) * heads.size..][..heads.size];
                values[value_place(heads, head, token)..][..heads.size].copy_from_slice(value);
            }
        }
    }

    fn store(&mut self, _layer: usize, keys: &[f32], values: &[f32]) {
        let heads = self.heads;
        let shape = vec![1, heads.kv_heads, self.length, heads.size];
        let tokens = || {
            (0..heads.kv_heads).flat_map(|head| (0..self.length).map(move |token| (head, token)))
        };
        let (mut all_keys, mut all_values) = (Vec::new(), Vec::new());
        all_keys.reserve_exact(shape.iter().product());
        all_values.reserve_exact(shape.iter().product());
        for (head, token) in tokens() {
            let place = key_place(heads, head, token);
            all_keys.extend((0..heads.size).map(|i| keys[place + i * TILE_KEYS]));
            let place = value_place(heads, head, token);
            all_values.extend_from_slice(&values[place..][..heads.size]);
        }
        self.present.push((shape.clone(), all_keys));
        self.present.push((shape, all_values));
    }
}

/// Where the first value of a key is; the next ones are a tile's width apart.
fn key_place(heads: Heads, head: usize, token: usize) -> usize {
    token / TILE_KEYS * heads.tile() + head * heads.size * TILE_KEYS + token % TILE_KEYS
}

fn value_place(heads: Heads, head: usize, token: usize) -> usize {
    token * heads.values() + head * heads.padded()
}

//! Streams: a forward pass that goes on from the keys and values of earlier tokens.

use std::num::NonZeroUsize;

use super::forward::Cache;
use super::{NAME, Native};
use crate::engine::batch::{TokenBatch, check_batch};
use crate::engine::cache::{KeyValues, StreamEngine};
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
    fn is_exact(&self) -> bool {
        true
    }

    fn run(&mut self, past: KeyValues, ids: &[u32], logits: &mut [f32]) -> Result<KeyValues> {
        let batch = TokenBatch::one(ids);
        check_batch(NAME, &batch)?;
        let tokens = past.tokens();
        let mut kept = Kept(past);
        self.forward(&batch, tokens, &mut kept, logits)?;
        Ok(kept.0.extended_to(tokens + ids.len()))
    }
}

/// Keys and values of a stream, which lie as they do in the arena and take its place.
struct Kept(KeyValues);

impl Cache for Kept {
    fn swap(&mut self, layer: usize, keys: &mut Vec<f32>, values: &mut Vec<f32>) {
        for (part, own) in [keys, values].into_iter().enumerate() {
            std::mem::swap(own, &mut self.0.parts[2 * layer + part]);
        }
    }
}

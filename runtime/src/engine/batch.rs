//! The input of an engine and its output, with the checks of both.

use crate::error::{Error, ErrorKind, Result};

/// Token ids for one run: a rectangle, never padded.
#[derive(Clone, Copy, Debug)]
pub struct TokenBatch<'a> {
    /// The ids, row after row; `rows * tokens` of them.
    pub ids: &'a [u32],
    /// Number of sequences.
    pub rows: usize,
    /// Length of every sequence.
    pub tokens: usize,
}

impl<'a> TokenBatch<'a> {
    /// One sequence.
    pub fn one(ids: &'a [u32]) -> Self {
        Self {
            ids,
            rows: 1,
            tokens: ids.len(),
        }
    }
}

/// Checks a batch before it reaches an engine that would trust it.
pub(super) fn check_batch(engine: &str, batch: &TokenBatch<'_>) -> Result<()> {
    let TokenBatch { ids, rows, tokens } = *batch;
    if ids.is_empty() || rows.checked_mul(tokens) != Some(ids.len()) {
        return Err(Error::argument(format!(
            "engine {engine}: a batch of {rows} x {tokens} tokens with {} ids; expected at least \
             one token and as many ids as \
             rows x tokens",
            ids.len()
        )));
    }
    Ok(())
}

/// Copies an engine's output out, if it has the shape that was asked for. `file` is the graph.
pub(super) fn take_logits(
    (engine, file): (&str, &str),
    rows: usize,
    shape: &[usize],
    found: &[f32],
    logits: &mut [f32],
) -> Result<()> {
    if !matches!(shape, [found, _] if *found == rows) || found.len() != logits.len() {
        return Err(Error::new(
            ErrorKind::InvalidModel,
            format!(
                "{file}: engine {engine} gives logits of shape {shape:?}; expected [{rows}, {}], \
                 a row a text and a column a category \
                 of manifest.json",
                logits.len() / rows.max(1)
            ),
        ));
    }
    logits.copy_from_slice(found);
    Ok(())
}

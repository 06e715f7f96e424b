//! What an engine has computed of the tokens so far, and engines that go on from it.

use crate::bundle::files::STREAM;
use crate::error::{Error, Result};
use crate::graph::OUTPUT;
use crate::stream_graph::CacheShape;

/// Something that runs a graph for streams. Used by one thread at a time.
pub(crate) trait StreamEngine: Send {
    /// Computes the logits of the last of `ids`, which follow the tokens of `past`, and the keys
    /// and values of all of them.
    fn run(&mut self, past: Past<'_>, ids: &[u32], logits: &mut [f32]) -> Result<KeyValues>;
}

/// The keys and values of a text's tokens.
#[derive(Clone, Debug)]
pub(crate) struct KeyValues {
    shape: CacheShape,
    tokens: usize,
    /// Keys and values by turns, layer after layer, each `[heads, tokens, size]`.
    parts: Vec<Vec<f32>>,
}

/// The keys and values of the first tokens of a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past<'a> {
    values: &'a KeyValues,
    tokens: usize,
}

impl KeyValues {
    /// Those of no tokens.
    pub(crate) fn empty(shape: CacheShape) -> Self {
        Self {
            shape,
            tokens: 0,
            parts: vec![Vec::new(); 2 * shape.layers],
        }
    }

    /// How many tokens they are of.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Those of the first tokens, or of all if there are not so many.
    pub(crate) fn first(&self, tokens: usize) -> Past<'_> {
        Past {
            values: self,
            tokens: tokens.min(self.tokens),
        }
    }
}

impl Past<'_> {
    /// How many tokens they are of.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// In the order of a graph's inputs: values of which the first [`tokens`](Self::tokens) of
    /// every head are meant, and their shape.
    pub(super) fn parts(&self) -> impl Iterator<Item = ([usize; 4], &[f32])> {
        let shape = self.values.shape;
        let shape = [1, shape.heads, self.values.tokens, shape.size];
        self.values.parts.iter().map(move |part| (shape, &part[..]))
    }

    /// As [`parts`](Self::parts), without the values that are not meant.
    #[cfg_attr(
        not(feature = "onnxruntime"),
        allow(dead_code, reason = "other engines take them where they lie")
    )]
    pub(super) fn contiguous(&self) -> impl Iterator<Item = ([usize; 4], Vec<f32>)> {
        self.parts().map(|([rows, heads, all, size], part)| {
            let meant = self.tokens * size;
            let head = |head| &part[head * all * size..][..meant];
            let values = (0..heads).flat_map(head).copied().collect();
            ([rows, heads, self.tokens, size], values)
        })
    }

    /// What a graph gave for these and `new` more tokens, if it has the shape that was asked for.
    pub(super) fn followed_by(
        &self,
        engine: &str,
        new: usize,
        parts: impl IntoIterator<Item = (Vec<usize>, Vec<f32>)>,
    ) -> Result<KeyValues> {
        let tokens = self.tokens + new;
        let shape = self.values.shape;
        let expected = [1, shape.heads, tokens, shape.size];
        let part = |(found, values): (Vec<usize>, Vec<f32>)| match found == expected {
            true => Ok(values),
            false => Err(Error::model(format!(
                "{STREAM}: engine {engine} gives keys or values of shape {found:?}; expected \
                 {expected:?}"
            ))),
        };
        let parts: Vec<_> = parts.into_iter().map(part).collect::<Result<_>>()?;
        match parts.len() == 2 * shape.layers {
            true => Ok(KeyValues {
                shape,
                tokens,
                parts,
            }),
            false => Err(Error::model(format!(
                "{STREAM}: engine {engine} gives {} outputs besides {OUTPUT}; expected {}",
                parts.len(),
                2 * shape.layers
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tokens_of_every_head_are_meant() {
        let shape = CacheShape {
            layers: 1,
            heads: 2,
            size: 2,
        };
        let values = |tokens: usize| -> Vec<f32> {
            let places = (0..2).flat_map(|head| (0..tokens).map(move |token| (head, token)));
            let pair = |(head, token): (usize, usize)| [(head * 100 + token * 10) as f32, 1.0];
            places.flat_map(pair).collect()
        };
        let whole = || vec![(vec![1, 2, 5, 2], values(5)); 2];
        let none = KeyValues::empty(shape);
        let five = none.first(9).followed_by("test", 5, whole()).unwrap();
        for asked in [7, 5, 3, 1, 0] {
            let past = five.first(asked);
            let tokens = asked.min(5);
            assert_eq!(past.tokens(), tokens);
            let found: Vec<_> = past.contiguous().collect();
            assert_eq!(found, vec![([1, 2, tokens, 2], values(tokens)); 2]);
        }
        let error = five.first(2).followed_by("test", 4, whole()).unwrap_err();
        assert!(error.to_string().contains("stream.onnx"), "{error}");
        let one = whole().into_iter().take(1);
        assert!(five.first(2).followed_by("test", 3, one).is_err());
        assert!(five.first(2).followed_by("test", 3, whole()).is_ok());
    }
}

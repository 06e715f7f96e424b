//! What an engine has computed of the tokens so far, and engines that go on from it.

#[cfg(any(test, feature = "onnxruntime"))]
use crate::bundle::files::STREAM;
#[cfg(any(test, feature = "onnxruntime"))]
use crate::error::Error;
use crate::error::Result;
#[cfg(any(test, feature = "onnxruntime"))]
use crate::graph::OUTPUT;
use crate::stream_graph::CacheShape;

/// Something that runs a graph for streams. Used by one thread at a time.
pub(crate) trait StreamEngine: Send {
    /// Computes the logits of the last of `ids`, which follow the tokens of `past`, and the keys
    /// and values of all of them. `past` is this engine's own, or of no tokens.
    fn run(&mut self, past: KeyValues, ids: &[u32], logits: &mut [f32]) -> Result<KeyValues>;

    /// Whether these logits are, to the last bit, those that the engine gives of all of the tokens
    /// at once.
    fn is_exact(&self) -> bool {
        false
    }
}

/// The keys and values of a text's tokens, as the engine that computed them lays them out: they are
/// of use to it alone.
#[cfg_attr(
    not(feature = "onnxruntime"),
    allow(dead_code, reason = "native finds all in the parts")
)]
#[derive(Clone, Debug)]
pub(crate) struct KeyValues {
    engine: &'static str,
    shape: CacheShape,
    tokens: usize,
    /// The tokens that the parts have room for: more than are meant, where some were cut off.
    stored: usize,
    /// Keys and values by turns, layer after layer.
    pub(super) parts: Vec<Vec<f32>>,
}

impl KeyValues {
    /// Those of no tokens, on an engine.
    pub(crate) fn empty(engine: &'static str, shape: CacheShape) -> Self {
        Self {
            engine,
            shape,
            tokens: 0,
            stored: 0,
            parts: vec![Vec::new(); 2 * shape.layers],
        }
    }

    /// How many tokens they are of.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Whether they are an engine's own.
    pub(crate) fn are_of(&self, engine: &str) -> bool {
        self.engine == engine
    }

    /// Keeps those of the first tokens, or of all if there are not so many.
    pub(crate) fn cut(&mut self, tokens: usize) {
        self.tokens = self.tokens.min(tokens);
    }

    /// Says that the parts were extended to those of `tokens` tokens.
    pub(super) fn extended_to(self, tokens: usize) -> Self {
        Self {
            tokens,
            stored: tokens,
            ..self
        }
    }
}

#[cfg(any(test, feature = "onnxruntime"))]
impl KeyValues {
    /// In the order of a graph's inputs, each `[1, heads, tokens, size]`.
    pub(super) fn by_heads(&self) -> impl Iterator<Item = ([usize; 4], Vec<f32>)> {
        let CacheShape { heads, size, .. } = self.shape;
        self.parts.iter().map(move |part| {
            let head = |head| &part[head * self.stored * size..][..self.tokens * size];
            let values = (0..heads).flat_map(head).copied().collect();
            ([1, heads, self.tokens, size], values)
        })
    }

    /// What a graph gave for these and `new` more tokens, if it has the shape that was asked for.
    pub(super) fn followed_by(
        &self,
        new: usize,
        parts: impl IntoIterator<Item = (Vec<usize>, Vec<f32>)>,
    ) -> Result<KeyValues> {
        let (engine, shape) = (self.engine, self.shape);
        let tokens = self.tokens + new;
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
                engine,
                shape,
                tokens,
                stored: tokens,
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
        let none = KeyValues::empty("test", shape);
        let mut past = none.followed_by(5, whole()).unwrap();
        for asked in [7, 5, 3, 1, 0] {
            past.cut(asked);
            let tokens = asked.min(5);
            assert_eq!(past.tokens(), tokens);
            let found: Vec<_> = past.by_heads().collect();
            assert_eq!(found, vec![([1, 2, tokens, 2], values(tokens)); 2]);
        }
        let mut two = none.followed_by(5, whole()).unwrap();
        two.cut(2);
        let error = two.followed_by(4, whole()).unwrap_err();
        assert!(error.to_string().contains("stream.onnx"), "{error}");
        let one = whole().into_iter().take(1);
        assert!(two.followed_by(3, one).is_err());
        assert!(two.followed_by(3, whole()).is_ok());
        assert!(two.are_of("test") && !two.are_of("other"));
    }
}

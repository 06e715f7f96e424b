//! The encoder as it lies in `weights.data`: every token sees every other, and each block is
//! normalised after what it was given is added.

use super::tensors::{OnlyLayer, Read, Tensors, unsupported};
use super::{Dimensions, Formats, Matrix, check, check_head_size};
use crate::bundle::Pooling;
use crate::error::{Error, Result};
use crate::graph::Graph;

/// What the feed-forward block has between its two projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x times the normal distribution's cumulative function of x.
    Gelu,
    /// The same, approximated with tanh.
    GeluTanh,
}

/// What the tensors do not tell, and the graph does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Form {
    /// That of every norm.
    pub(crate) epsilon: f32,
    pub(crate) heads: usize,
    pub(crate) activation: Activation,
    /// The mean or the first token.
    pub(crate) pooling: Pooling,
}

impl Form {
    /// What an encoder's tensors do not tell; `None` if the graph is no encoder's.
    pub(crate) fn of(graph: &Graph) -> Result<Option<Self>> {
        let outline = graph.outline()?;
        let has = |operator: &str| outline.operators.contains(operator);
        if !has("MultiHeadAttention") {
            return Ok(None);
        }
        let activation = match (has("BiasGelu"), has("FastGelu")) {
            (true, false) => Activation::Gelu,
            (false, true) => Activation::GeluTanh,
            _ => {
                return Err(Error::unsupported(format!(
                    "{}: expected one activation, BiasGelu or FastGelu: use another engine for \
                     this bundle",
                    graph.file()
                )));
            }
        };
        let heads = match outline.heads[..] {
            [first, ref rest @ ..] if rest.iter().all(|other| *other == first) => first,
            ref found => {
                return Err(Error::unsupported(format!(
                    "{}: its layers have {found:?} heads; expected one number, the same \
                     everywhere: use another engine for this bundle",
                    graph.file()
                )));
            }
        };
        Ok(Some(Self {
            epsilon: graph.norm_epsilon()?,
            heads: usize::try_from(heads).unwrap_or(usize::MAX),
            activation,
            pooling: match has("ReduceMean") {
                true => Pooling::Mean,
                false => Pooling::FirstToken,
            },
        }))
    }
}

/// The factors and the terms of a norm over the width of the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm<'a> {
    pub(crate) weight: &'a [u8],
    pub(crate) bias: &'a [u8],
}

/// The tensors of a layer.
#[derive(Debug)]
pub(crate) struct Layer<'a> {
    /// Query, key and value side by side; or, in the last layer where the first token alone is
    /// judged, the query by itself, then key and value.
    pub(crate) attention_input: Vec<Matrix<'a>>,
    pub(crate) attention_output: Matrix<'a>,
    pub(crate) attention_norm: Norm<'a>,
    pub(crate) up: Matrix<'a>,
    pub(crate) down: Matrix<'a>,
    pub(crate) norm: Norm<'a>,
}

/// A network, borrowed from the bytes of `weights.data`.
#[derive(Debug)]
pub(crate) struct Encoder<'a> {
    pub(crate) dimensions: Dimensions,
    pub(crate) form: Form,
    /// [vocabulary, hidden]
    pub(crate) embedding: Matrix<'a>,
    /// [position, hidden], with the embedding of the token type in it.
    pub(crate) positions: &'a [u8],
    pub(crate) embeddings_norm: Norm<'a>,
    pub(crate) layers: Vec<Layer<'a>>,
    /// Followed by tanh, between pooling and the classifier.
    pub(crate) pooler: Option<Matrix<'a>>,
    pub(crate) score: Matrix<'a>,
}

/// The tensor that encoders have, and decoders do not.
pub(crate) const MARK: &str = "position.weight";
/// The names of the classifier: where labels exclude each other, more follows it.
const SCORES: [&str; 2] = ["logits", "score"];

impl<'a> Encoder<'a> {
    /// Reads the tensors of a safetensors file for an engine, which errors name and which knows
    /// some formats.
    pub(crate) fn read(
        engine: &'static str,
        weights: &'a [u8],
        form: Form,
        formats: Formats,
    ) -> Result<Self> {
        let tensors = Tensors::read(weights, formats, None);
        tensors
            .and_then(|tensors| Self::of(tensors, form))
            .map_err(|what| what.error(engine, "encoder"))
    }

    /// The same of a file that has one layer alone.
    pub(crate) fn read_layer(
        engine: &'static str,
        weights: &'a [u8],
        form: Form,
        only: OnlyLayer,
    ) -> Result<Self> {
        let tensors = Tensors::read(weights, Formats::ALL, Some(only));
        tensors
            .and_then(|tensors| Self::of(tensors, form))
            .map_err(|what| what.error(engine, "encoder"))
    }

    fn of(mut tensors: Tensors<'a>, form: Form) -> Read<Self> {
        let (vocabulary, _) = tensors.shape("embedding.weight")?;
        let (max_position, hidden) = tensors.shape(MARK)?;
        let score = SCORES
            .into_iter()
            .find(|name| tensors.untaken.contains(&format!("{name}.weight")))
            .ok_or_else(|| unsupported("there is no logits.weight".to_owned()))?;
        let (_, categories) = tensors.shape(&format!("{score}.weight"))?;
        let layers = tensors.layers("up.weight");
        if layers == 0 {
            return Err(unsupported("there is no layers.0.up.weight".to_owned()));
        }
        let (_, intermediate) = tensors.shape(&tensors.in_layer(0, "up.weight"))?;
        let dimensions = Dimensions {
            layers,
            hidden,
            heads: form.heads,
            kv_heads: form.heads,
            head_size: hidden / form.heads.max(1),
            intermediate,
            vocabulary,
            max_position,
            categories,
            epsilon: form.epsilon,
        };
        check(&dimensions)?;
        check_head_size(dimensions.head_size)?;
        let d = &dimensions;
        let encoder = Self {
            form,
            embedding: tensors.embedding(d)?,
            positions: tensors.floats(MARK, max_position * hidden)?,
            embeddings_norm: tensors.norm(d, "embeddings_norm")?,
            layers: (0..layers)
                .map(|layer| tensors.encoder_layer(d, form.pooling, layer))
                .collect::<Read<_>>()?,
            pooler: match tensors.untaken.contains("pooler.weight") {
                true => Some(tensors.matrix("pooler", hidden, hidden)?),
                false => None,
            },
            score: tensors.matrix(score, hidden, categories)?,
            dimensions,
        };
        tensors.all_taken()?;
        Ok(encoder)
    }
}

impl<'a> Tensors<'a> {
    fn norm(&mut self, d: &Dimensions, name: &str) -> Read<Norm<'a>> {
        Ok(Norm {
            weight: self.floats(&format!("{name}.weight"), d.hidden)?,
            bias: self.floats(&format!("{name}.bias"), d.hidden)?,
        })
    }

    fn encoder_layer(&mut self, d: &Dimensions, pooling: Pooling, layer: usize) -> Read<Layer<'a>> {
        let number = self.first_layer() + layer;
        let own = |name: &str| format!("layers.{number}.{name}");
        let splits = self.is_last(d, layer) && pooling == Pooling::FirstToken;
        let mut attention_output = self.matrix(&own("attention_output"), d.hidden, d.hidden)?;
        let mut down = self.matrix(&own("down"), d.intermediate, d.hidden)?;
        // The bias of a projection stands with the norm that follows it.
        for (projection, norm) in [
            (&mut attention_output, "attention_norm"),
            (&mut down, "norm"),
        ] {
            let name = own(&format!("{norm}.projection_bias"));
            projection.bias = Some(self.floats(&name, d.hidden)?);
        }
        Ok(Layer {
            attention_input: self.attention_input(d, layer, splits)?,
            attention_output,
            attention_norm: self.norm(d, &own("attention_norm"))?,
            up: self.matrix(&own("up"), d.hidden, d.intermediate)?,
            down,
            norm: self.norm(d, &own("norm"))?,
        })
    }
}

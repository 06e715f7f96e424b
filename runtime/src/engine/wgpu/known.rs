//! Which networks the engine knows, and what both families of them have.

use super::NAME;
use super::schedule::Step;
use super::shaders::{FORMATS, Products};
use crate::error::Result;
use crate::graph::Graph;
use crate::network::encoder::{Encoder, Form};
use crate::network::{Dimensions, Matrix, Network};

/// A network of a graph, as it lies in the file.
pub(super) enum Known<'a> {
    Decoder(Network<'a>),
    Encoder(Encoder<'a>),
}

impl<'a> Known<'a> {
    /// Reads a graph's tensors.
    pub(super) fn of(graph: &'a Graph) -> Result<Self> {
        let weights = graph.weights();
        Ok(match Form::of(graph)? {
            Some(form) => Self::Encoder(Encoder::read(NAME, weights, form, FORMATS)?),
            None => {
                let epsilon = graph.norm_epsilon()?;
                Self::Decoder(Network::read(NAME, weights, epsilon, FORMATS)?)
            }
        })
    }

    pub(super) fn dimensions(&self) -> &Dimensions {
        match self {
            Self::Decoder(network) => &network.dimensions,
            Self::Encoder(encoder) => &encoder.dimensions,
        }
    }

    pub(super) fn embedding(&self) -> &Matrix<'a> {
        match self {
            Self::Decoder(network) => &network.embedding,
            Self::Encoder(encoder) => &encoder.embedding,
        }
    }

    /// The embedding of the positions, `[position, hidden]`, of networks that add one.
    pub(super) fn positions(&self) -> Option<&'a [u8]> {
        match self {
            Self::Decoder(_) => None,
            Self::Encoder(encoder) => Some(encoder.positions),
        }
    }

    /// The cosines and sines of the positions, `[position, head size / 2]`, of networks that rotate
    /// queries and keys.
    pub(super) fn angles(&self) -> Option<[&'a [u8]; 2]> {
        match self {
            Self::Decoder(network) => Some([network.cosines, network.sines]),
            Self::Encoder(_) => None,
        }
    }

    /// All matrices but the embedding, in the order in which they are used.
    pub(super) fn matrices(&self) -> Vec<&Matrix<'_>> {
        match self {
            Self::Decoder(network) => network.matrices(),
            Self::Encoder(encoder) => encoder.matrices(),
        }
    }

    /// What norms multiply by, and then add if they do, in the order in which they are used.
    pub(super) fn norms(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Decoder(network) => network.norms().into_iter().map(<[u8]>::to_vec).collect(),
            Self::Encoder(encoder) => encoder.norms(),
        }
    }

    /// The steps of a forward pass with bindings of at most `binding_bytes`; `None` if not even one
    /// quad of outputs fits.
    pub(super) fn schedule(&self, binding_bytes: usize, products: Products) -> Option<Vec<Step>> {
        match self {
            Self::Decoder(network) => network.schedule(binding_bytes, products),
            Self::Encoder(encoder) => encoder.schedule(binding_bytes, products),
        }
    }
}

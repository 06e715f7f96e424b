//! Which networks the engine knows: those whose tensors and graph it can read.

use super::NAME;
use super::resident::Resident;
use crate::error::Result;
use crate::graph::Graph;
use crate::network::encoder::{Encoder, Form};
use crate::network::labels::kept_labels;
use crate::network::{DECODERS_AND_ENCODERS, Formats, Matrix, Network, OnlyLayer, check_origin};

/// A network of a graph, as it lies in the file.
pub(super) enum Known<'a> {
    Decoder(Network<'a>),
    Encoder(Encoder<'a>),
}

impl<'a> Known<'a> {
    /// The whole network, or, of a file that has no more, one layer of it. Nothing is packed yet.
    pub(super) fn of(graph: &'a Graph, only: Option<OnlyLayer>) -> Result<Self> {
        check_origin(NAME, graph, DECODERS_AND_ENCODERS)?;
        let weights = graph.weights();
        Ok(match Form::of(graph)? {
            Some(form) => Self::Encoder(match only {
                None => Encoder::read(NAME, weights, form, Formats::ALL)?,
                Some(only) => Encoder::read_layer(NAME, weights, form, only)?,
            }),
            None => {
                let epsilon = graph.norm_epsilon()?;
                Self::Decoder(match only {
                    None => Network::read(NAME, weights, epsilon, Formats::ALL)?,
                    Some(only) => Network::read_layer(NAME, weights, epsilon, only)?,
                })
            }
        })
    }

    /// Packs it.
    pub(super) fn pack(&self, graph: &Graph) -> Result<Resident> {
        let outline = graph.outline()?;
        let weights = graph.weights();
        let rounds = |matrix: &Matrix<'_>| outline.integer_weights.contains(&matrix.name);
        let mut resident = match self {
            Self::Encoder(encoder) => Resident::of_encoder(encoder, weights, rounds)?,
            Self::Decoder(network) => Resident::of_decoder(network, weights, rounds)?,
        };
        resident.head.kept_labels = kept_labels(graph, resident.dimensions.categories)?;
        Ok(resident)
    }
}

//! Small made-up networks of every family, for self-tests and tests.

use super::NAME;
use super::known::Known;
use super::shaders::{FORMATS, Products};
use crate::bundle::Pooling;
use crate::error::Result;
use crate::network::encoder::{Activation, Encoder};
use crate::network::sample::{EPSILON, Sample};
use crate::network::{Network, reference, reference_encoder};

/// What a network is besides its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Decoder,
    Encoder {
        pooling: Pooling,
        activation: Activation,
        has_pooler: bool,
    },
}

/// A made-up network.
#[derive(Clone, Copy, Debug)]
pub(super) struct MadeUp {
    pub(super) sample: Sample,
    pub(super) family: Family,
}

impl MadeUp {
    /// The bytes of its `weights.data`.
    pub(super) fn file(&self) -> Vec<u8> {
        match self.family {
            Family::Decoder => self.sample.file(),
            Family::Encoder {
                pooling,
                has_pooler,
                ..
            } => self.sample.encoder_file(pooling, has_pooler),
        }
    }

    /// The network in such bytes.
    pub(super) fn read<'a>(&self, file: &'a [u8]) -> Result<Known<'a>> {
        Ok(match self.family {
            Family::Decoder => Known::Decoder(Network::read(NAME, file, EPSILON, FORMATS)?),
            Family::Encoder {
                pooling,
                activation,
                ..
            } => {
                let form = self.sample.encoder_form(pooling, activation);
                Known::Encoder(Encoder::read(NAME, file, form, FORMATS)?)
            }
        })
    }
}

impl Known<'_> {
    /// The logits of a sequence, by plain loops.
    pub(super) fn expected(&self, products: Products, ids: &[u32]) -> Vec<f32> {
        match self {
            Self::Decoder(network) => reference::forward(network, products, ids),
            Self::Encoder(encoder) => reference_encoder::forward(encoder, products, ids),
        }
    }
}

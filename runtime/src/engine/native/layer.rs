//! One layer of a network by itself, for exporters: the fp32 weights of a whole network may be more
//! than the memory has room for.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, PoisonError};

use super::arena::{Arena, Shape};
use super::forward::{Forward, Inputs, NoCache};
use super::known::Known;
use super::resident::Resident;
use super::{NAME, Native, engine_error};
use crate::bundle::Weights;
use crate::engine::batch::{TokenBatch, check_batch};
use crate::error::Result;
use crate::graph::Graph;
use crate::network::OnlyLayer;

/// A layer of a network on the engine `native`, with what comes before the first layer and after
/// the last one. Shared by the sessions that are made of it.
#[derive(Clone)]
pub struct NetworkLayer {
    network: Arc<Resident>,
    is_last: bool,
    file: &'static str,
}

impl NetworkLayer {
    /// Takes the graph of a whole network, and a `weights.data` with the tensors of layer `number`
    /// and those that belong to no layer.
    pub fn new(onnx: &[u8], weights: &Arc<Weights>, number: usize, is_last: bool) -> Result<Self> {
        let graph = Graph::from_parts(onnx.into(), Arc::clone(weights));
        let only = OnlyLayer { number, is_last };
        Ok(Self {
            network: Arc::new(Known::of(&graph, Some(only))?.pack(&graph)?),
            is_last,
            file: graph.file(),
        })
    }

    /// A session, for one thread at a time.
    pub fn session(&self) -> Result<LayerSession> {
        let network = Arc::clone(&self.network);
        Ok(LayerSession {
            native: Native::of(network, self.file, NonZeroUsize::MIN)?,
            is_last: self.is_last,
        })
    }
}

/// What one thread runs a [`NetworkLayer`] with.
pub struct LayerSession {
    native: Native,
    is_last: bool,
}

/// What stands between two layers: a row for each token of one sequence.
#[derive(Clone, Debug)]
pub struct TokenRows {
    values: Vec<f32>,
    tokens: usize,
}

impl LayerSession {
    /// What the first layer takes: the embedding of one or more tokens. An id is a row of the
    /// file's embedding, which may have fewer rows than the network has tokens.
    pub fn embed(&mut self, ids: &[u32]) -> Result<TokenRows> {
        check_batch(NAME, &TokenBatch::one(ids))?;
        self.native.check(ids, ids.len())?;
        let (forward, arena) = self.forward(ids.len());
        forward.embed(ids, arena);
        Ok(self.rows(ids.len()))
    }

    /// What the layer makes of what was before it; not of the last layer, whose result is
    /// [`logits`](Self::logits).
    pub fn run(&mut self, rows: &TokenRows) -> Result<TokenRows> {
        self.layer(rows, false)?;
        Ok(self.rows(rows.tokens))
    }

    /// The logits that the last layer leads to.
    pub fn logits(&mut self, rows: &TokenRows) -> Result<Vec<f32>> {
        let mut logits = vec![0.0; self.native.network.head.outputs()];
        let (forward, arena) = self.layer(rows, true)?;
        forward.judge(arena, &mut logits);
        Ok(logits)
    }

    /// What each matrix of a layer of floats is multiplied by, by the name of its tensor: a row of
    /// as many values as it has inputs for every token, or for the judged one.
    pub fn inputs(&mut self, rows: &TokenRows) -> Result<BTreeMap<String, Vec<f32>>> {
        let noted = Inputs::default();
        let (forward, arena) = self.with_rows(rows, self.is_last)?;
        let forward = Forward {
            inputs: Some(&noted),
            ..forward
        };
        forward.layers(arena, &mut NoCache);
        Ok(noted.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn layer(&mut self, rows: &TokenRows, is_last: bool) -> Result<(Forward<'_>, &mut Arena)> {
        let (forward, arena) = self.with_rows(rows, is_last)?;
        forward.layers(arena, &mut NoCache);
        Ok((forward, arena))
    }

    /// A forward pass that is to go on from rows, which are in the arena.
    fn with_rows(&mut self, rows: &TokenRows, is_last: bool) -> Result<(Forward<'_>, &mut Arena)> {
        let length = rows.tokens * self.native.network.row();
        if self.is_last != is_last || rows.values.len() != length {
            return Err(engine_error(
                "rows of another network, or logits of a layer that is not the last".to_owned(),
            ));
        }
        self.native.check(&[], rows.tokens)?;
        let (forward, arena) = self.forward(rows.tokens);
        arena.residual[..length].copy_from_slice(&rows.values);
        Ok((forward, arena))
    }

    /// A forward pass of one sequence, with room for it.
    fn forward(&mut self, tokens: usize) -> (Forward<'_>, &mut Arena) {
        let Native {
            network,
            kernel,
            arena,
            ..
        } = &mut self.native;
        let forward = Forward {
            network,
            kernel: *kernel,
            shape: Shape {
                rows: 1,
                past: 0,
                tokens,
            },
            threads: 1,
            inputs: None,
        };
        arena.fit(network, forward.shape);
        (forward, arena)
    }

    fn rows(&self, tokens: usize) -> TokenRows {
        let length = tokens * self.native.network.row();
        TokenRows {
            values: self.native.arena.residual[..length].to_vec(),
            tokens,
        }
    }
}

//! A session: a model on an engine.

use std::num::NonZeroUsize;

use crate::engine::{Engine, EngineChoice};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::verdict::{Input, Verdict};

/// How [`Model::session`] opens an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// Which engine.
    pub engine: EngineChoice,
    /// Threads that one window's computation may use.
    pub threads: NonZeroUsize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            engine: EngineChoice::Auto,
            threads: NonZeroUsize::MIN,
        }
    }
}

/// A model on an engine. It is used by one thread at a time; make one session per thread.
pub struct Session {
    model: Model,
    engine: Box<dyn Engine>,
}

impl Session {
    /// The name of the engine that computes.
    pub fn engine(&self) -> &str {
        self.engine.name()
    }

    /// Checks a text.
    pub fn check(&mut self, _input: &Input<'_>) -> Result<Verdict> {
        let _ = &self.model;
        Err(Error::unsupported("not written yet"))
    }

    /// The raw logits of one window of tokens, one per category.
    pub fn logits(&mut self, _tokens: &[u32]) -> Result<Vec<f32>> {
        Err(Error::unsupported("not written yet"))
    }

    /// The raw logits of every window of a text: one row of category logits per window.
    pub fn window_logits(&mut self, _text: &str) -> Result<Vec<Vec<f32>>> {
        Err(Error::unsupported("not written yet"))
    }
}

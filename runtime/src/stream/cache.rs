//! Windows that grow: only new tokens are computed, and the keys and values of all are kept.

use crate::engine::KeyValues;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::session::Session;

/// The most windows that are kept of a look: enough for a text and what else it reads as. Beyond,
/// they are computed again.
const MAX_GROWING: usize = 16;

/// The windows of this look and of the one before it.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    now: Vec<Growing>,
    before: Vec<Growing>,
}

/// A window as far as it had grown.
#[derive(Clone, Debug)]
struct Growing {
    tokens: Box<[u32]>,
    logits: Vec<f32>,
    values: KeyValues,
}

impl Growing {
    /// With how many of its tokens a window begins that can go on from it. The last token of a
    /// window is run in any case.
    fn shared_with(&self, tokens: &[u32]) -> usize {
        let pairs = self.tokens.iter().zip(tokens);
        let equal = pairs.take_while(|(a, b)| a == b).count();
        equal
            .min(self.values.tokens())
            .min(tokens.len().saturating_sub(1))
    }
}

impl Cache {
    /// Forgets the windows of the look before the last.
    pub(super) fn next_look(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    /// The logits of a window that was computed in this look or the one before.
    pub(super) fn find(&mut self, tokens: &[u32]) -> Option<Vec<f32>> {
        let is_it = |growing: &Growing| *growing.tokens == *tokens;
        if let Some(index) = self.before.iter().position(is_it) {
            let found = self.before.swap_remove(index);
            self.keep(found);
        }
        let found = self.now.iter().find(|growing| is_it(growing));
        found.map(|growing| growing.logits.clone())
    }

    /// Whether some of a window, more than what stands before every window, was computed before.
    pub(super) fn knows(&self, model: &Model, tokens: &[u32]) -> bool {
        let prefix = model.manifest().prefix_tokens.len();
        self.longest(tokens)
            .is_some_and(|(_, shared)| shared > prefix)
    }

    /// The logits of a window, and how many of its tokens did not have to be computed.
    pub(super) fn score(
        &mut self,
        session: &mut Session,
        tokens: &[u32],
    ) -> Result<(Vec<f32>, usize)> {
        let graph = session.model().stream_graph();
        let none = || Error::unsupported("the bundle has no stream.onnx; score whole windows");
        let empty = KeyValues::empty(graph.ok_or_else(none)?.shape);
        let (past, shared) = match self.longest(tokens) {
            Some((growing, shared)) => (&growing.values, shared),
            None => (&empty, 0),
        };
        let (logits, values) = session.logits_after(past.first(shared), &tokens[shared..])?;
        self.keep(Growing {
            tokens: tokens.into(),
            logits: logits.clone(),
            values,
        });
        Ok((logits, shared))
    }

    fn longest(&self, tokens: &[u32]) -> Option<(&Growing, usize)> {
        let all = self.now.iter().chain(&self.before);
        let shared = all.map(|growing| (growing, growing.shared_with(tokens)));
        shared.max_by_key(|(_, shared)| *shared)
    }

    fn keep(&mut self, growing: Growing) {
        if self.now.len() < MAX_GROWING {
            self.now.push(growing);
        }
    }
}

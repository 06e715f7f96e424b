//! Windows that grow: only new tokens are computed, and the keys and values of all are kept.

use std::cmp::Reverse;

use crate::engine::KeyValues;
use crate::error::Result;
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
    /// With how many of its tokens a window begins that can go on from it, on its engine. The last
    /// token of a window is run in any case.
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
        let mut all = self.now.iter().chain(&self.before);
        all.any(|growing| growing.shared_with(tokens) > prefix)
    }

    /// The logits of a window, and how many of its tokens did not have to be computed.
    pub(super) fn score(
        &mut self,
        session: &mut Session,
        tokens: &[u32],
    ) -> Result<(Vec<f32>, usize)> {
        let past = self.past_of(session, tokens)?;
        let shared = past.tokens();
        let (logits, values) = session.logits_after(past, &tokens[shared..])?;
        self.keep(Growing {
            tokens: tokens.into(),
            logits: logits.clone(),
            values,
        });
        Ok((logits, shared))
    }

    /// What the session's engine can go on from to a window. Where that is most of a window of the
    /// look before, it is taken from there: nothing else needs as much of it. Else it is a copy.
    fn past_of(&mut self, session: &Session, tokens: &[u32]) -> Result<KeyValues> {
        let shared = |growing: &Growing| match growing.values.are_of(session.engine()) {
            true => growing.shared_with(tokens),
            false => 0,
        };
        let most = |windows: &[Growing]| {
            let windows = windows.iter().enumerate();
            let shared = windows.map(|(at, growing)| (shared(growing), Reverse(at)));
            shared.max().filter(|(shared, _)| *shared > 0)
        };
        let (mut past, shared) = match (most(&self.now), most(&self.before)) {
            (Some(now), before) if before.is_none_or(|before| now.0 > before.0) => {
                (self.now[now.1.0].values.clone(), now.0)
            }
            (_, Some((shared, Reverse(at)))) => {
                let values = match 2 * shared >= self.before[at].values.tokens() {
                    true => self.before.remove(at).values,
                    false => self.before[at].values.clone(),
                };
                (values, shared)
            }
            _ => (session.no_values()?, 0),
        };
        past.cut(shared);
        Ok(past)
    }

    fn keep(&mut self, growing: Growing) {
        if self.now.len() < MAX_GROWING {
            self.now.push(growing);
        }
    }
}

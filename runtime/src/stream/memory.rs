//! Windows that need not be scored twice.

use std::collections::HashMap;

use crate::error::Result;
use crate::session::Session;

/// The most windows that are remembered; beyond, they are computed again.
const MAX_REMEMBERED: usize = 16_384;

/// What a stream's verdicts have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamWork {
    /// Windows that the network computed.
    pub windows: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Windows that were needed again and were known.
    pub windows_reused: usize,
}

/// The logits of windows that were scored before. A window is scored alone, so that its logits depend on its tokens only, and what
/// is remembered is exactly what would be computed.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    settled: HashMap<Box<[u32]>, Vec<f32>>,
    /// The last windows of the texts of this look and the one before it: more text moves them, and they are not met again.
    ends: Vec<End>,
    ends_before: Vec<End>,
    work: StreamWork,
}

type End = (Box<[u32]>, Vec<f32>);

impl Memory {
    /// Forgets the last windows of the look before the last.
    pub(super) fn next_look(&mut self) {
        self.ends_before = std::mem::take(&mut self.ends);
    }

    pub(super) fn work(&self) -> StreamWork {
        self.work
    }

    /// The logits of a window, remembered or computed.
    pub(super) fn score(
        &mut self,
        session: &mut Session,
        tokens: &[u32],
        is_last: bool,
    ) -> Result<Vec<f32>> {
        if let Some(logits) = self.find(tokens) {
            let logits = logits.clone();
            self.work.windows_reused += 1;
            return Ok(logits);
        }
        let logits = session.logits(tokens)?;
        self.work.windows += 1;
        self.work.tokens += tokens.len();
        if is_last {
            self.ends.push((tokens.into(), logits.clone()));
        } else if self.settled.len() < MAX_REMEMBERED {
            self.settled.insert(tokens.into(), logits.clone());
        }
        Ok(logits)
    }

    fn find(&self, tokens: &[u32]) -> Option<&Vec<f32>> {
        let end = || {
            self.ends
                .iter()
                .chain(&self.ends_before)
                .find(|(end, _)| **end == *tokens)
        };
        self.settled
            .get(tokens)
            .or_else(|| end().map(|(_, logits)| logits))
    }
}

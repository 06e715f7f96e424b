//! Remembers the logits of windows, so that a whole window is computed once and a growing one goes
//! on from where it was.

use std::collections::HashMap;

use super::cache::Cache;
use crate::error::Result;
use crate::session::Session;
use crate::tally::Window;

/// The most windows that are remembered; beyond, they are computed again.
const MAX_REMEMBERED: usize = 16_384;

/// What a stream's verdicts have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamWork {
    /// Windows that the network computed, whole or what was new of them.
    pub windows: usize,
    /// The tokens that it computed for them.
    pub tokens: usize,
    /// Windows that were needed again and were known.
    pub windows_reused: usize,
    /// Tokens of windows that were not computed, because their keys and values were in the cache.
    pub tokens_cached: usize,
}

/// The logits of windows that were scored before. They depend on the window's tokens only, whatever
/// is scored beside it, so that what is settled is exactly what would be computed.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    settled: HashMap<Box<[u32]>, Vec<f32>>,
    /// The last windows of the texts of this look and the one before it: more text moves them, and
    /// they are not met again.
    ends: Vec<End>,
    ends_before: Vec<End>,
    cache: Cache,
    work: StreamWork,
}

type End = (Box<[u32]>, Vec<f32>);

impl Memory {
    /// Forgets the last windows of the look before the last.
    pub(super) fn next_look(&mut self) {
        self.ends_before = std::mem::take(&mut self.ends);
        self.cache.next_look();
    }

    pub(super) fn work(&self) -> StreamWork {
        self.work
    }

    /// The logits of windows, remembered or computed.
    pub(super) fn score(
        &mut self,
        session: &mut Session,
        windows: &[Window<'_>],
    ) -> Result<Vec<Vec<f32>>> {
        enum Found {
            Known(Vec<f32>),
            /// The place among those that are new: one that stands there twice is computed once.
            New(usize),
        }
        let mut new = Vec::new();
        let mut places = HashMap::new();
        let found = windows.iter().map(|window| match self.find(window.tokens) {
            Some(logits) => Found::Known(logits.clone()),
            None => Found::New(*places.entry(window.tokens).or_insert_with(|| {
                new.push(*window);
                new.len() - 1
            })),
        });
        let found: Vec<_> = found.collect();
        let tokens: Vec<_> = new.iter().map(|window| window.tokens).collect();
        let computed = session.logits_of(&tokens)?;
        self.work.windows += new.len();
        self.work.windows_reused += windows.len() - new.len();
        let logits = found.into_iter().map(|found| match found {
            Found::Known(logits) => logits,
            Found::New(place) => computed[place].clone(),
        });
        let logits = logits.collect();
        for (window, logits) in new.into_iter().zip(computed) {
            self.work.tokens += window.tokens.len();
            if window.is_last {
                self.ends.push((window.tokens.into(), logits));
            } else if self.settled.len() < MAX_REMEMBERED {
                self.settled.insert(window.tokens.into(), logits);
            }
        }
        Ok(logits)
    }

    /// As [`score`](Self::score), but a window that has grown is computed from where it was before.
    /// Where int8 activations are scaled over what is computed at once, its logits are near those
    /// of the whole window, and are not remembered as such.
    pub(super) fn score_grown(
        &mut self,
        session: &mut Session,
        windows: &[Window<'_>],
    ) -> Result<Vec<Vec<f32>>> {
        windows
            .iter()
            .map(|window| self.score_one_grown(session, *window))
            .collect()
    }

    fn score_one_grown(&mut self, session: &mut Session, window: Window<'_>) -> Result<Vec<f32>> {
        if let Some(logits) = self.find(window.tokens) {
            let logits = logits.clone();
            self.work.windows_reused += 1;
            return Ok(logits);
        }
        if let Some(logits) = self.cache.find(window.tokens) {
            self.work.windows_reused += 1;
            self.settle(session, window, &logits);
            return Ok(logits);
        }
        // A complete window of which nothing is known costs the same either way, and is needed
        // again in the end.
        if !window.is_last && !self.cache.knows(session.model(), window.tokens) {
            return Ok(self.score(session, &[window])?.concat());
        }
        let (logits, cached) = self.cache.score(session, window.tokens)?;
        self.work.windows += 1;
        self.work.tokens += window.tokens.len() - cached;
        self.work.tokens_cached += cached;
        self.settle(session, window, &logits);
        Ok(logits)
    }

    /// Remembers a complete window that has grown, where its logits are those of the whole.
    fn settle(&mut self, session: &Session, window: Window<'_>, logits: &[f32]) {
        let is_settled = !window.is_last && session.is_exact_after();
        if is_settled && self.settled.len() < MAX_REMEMBERED {
            self.settled.insert(window.tokens.into(), logits.to_vec());
        }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::engine::EngineChoice;
    use crate::input::Input;
    use crate::model::Model;
    use crate::session::SessionOptions;
    use crate::stream::{Stream, StreamOptions};

    /// On native, which gives the bits of whole windows, the end computes its last window alone.
    #[test]
    fn what_has_grown_is_not_computed_again() {
        let mini = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/mini");
        let options = SessionOptions {
            engine: EngineChoice::Named("native".to_owned()),
            ..SessionOptions::default()
        };
        let mut session = Model::open(mini).unwrap().session(&options).unwrap();
        let text = "The library opens at nine in the morning, and closes at six. ".repeat(60);
        let every_word = StreamOptions {
            debounce_bytes: 1,
            ..StreamOptions::default()
        };
        let mut stream = Stream::new(&session, every_word);
        assert!(stream.uses_cache());
        for word in text.split_inclusive(' ') {
            stream.push(&mut session, word.as_bytes()).unwrap();
        }
        let before = stream.work().windows;
        let verdict = stream.finish(&mut session).unwrap();
        assert!(verdict.windows > 3);
        assert!(stream.work().windows <= before + 1);
        assert_eq!(verdict, session.check(&Input::prompt(&text)).unwrap());
    }
}

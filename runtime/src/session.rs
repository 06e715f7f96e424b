//! A session: a model on an engine.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroUsize;

use crate::engine::{Engine, EngineChoice, TokenBatch};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::policy::is_language_tag;
use crate::text::{language, tokenize};
use crate::verdict::{Input, Verdict};

/// How [`Model::session`] opens an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// Which engine.
    pub engine: EngineChoice,
    /// Threads that one window's computation may use. More than one pays only for long windows on idle cores.
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
///
/// Methods take `&mut self` because engines reuse their working memory between calls. A session keeps its model alive.
pub struct Session {
    model: Model,
    engine: Box<dyn Engine>,
}

impl Session {
    /// Runs one token, so that a graph that does not fit the manifest is found now and not at the first check.
    pub(crate) fn new(model: Model, engine: Box<dyn Engine>) -> Result<Self> {
        let mut session = Self { model, engine };
        session.logits(&[0])?;
        Ok(session)
    }

    /// The name of the engine that computes.
    pub fn engine(&self) -> &str {
        self.engine.name()
    }

    /// Checks a text. All of it is scored, in as many windows as it needs; the scores are the maximum over the windows.
    pub fn check(&mut self, input: &Input<'_>) -> Result<Verdict> {
        let text = joined(input);
        let tag = match input.language {
            Some(tag) if is_language_tag(tag) => tag,
            Some(tag) => {
                return Err(Error::argument(format!(
                    "language {tag:?} is not a BCP-47 tag; expected one such as \"en\" or \"pt-BR\", or none to identify it"
                )));
            }
            None => language::identify(&text),
        };
        let tokens = self.model.tokenize(&text)?;
        let rows = self.score_windows(&tokens)?;
        let mut scores = vec![0.0_f32; self.model.categories().len()];
        for row in &rows {
            for (score, logit) in scores.iter_mut().zip(row) {
                *score = score.max(sigmoid(*logit));
            }
        }
        let thresholds = self
            .model
            .manifest()
            .policy
            .thresholds(self.model.categories(), tag);
        Ok(Verdict::decide(
            scores,
            &thresholds,
            tag.to_owned(),
            tokens.len(),
            rows.len(),
        ))
    }

    /// The raw logits, one per category, of one window of 1 to `max_position` tokens.
    pub fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        let manifest = self.model.manifest();
        let limit = manifest.architecture.max_position;
        if tokens.is_empty() || tokens.len() > limit {
            return Err(Error::argument(format!(
                "a window of {} tokens; expected 1 to {limit}, the model's max_position",
                tokens.len()
            )));
        }
        tokenize::check_ids(tokens, manifest.architecture.vocabulary)?;
        let mut logits = vec![0.0; manifest.categories.len()];
        let batch = TokenBatch {
            ids: tokens,
            rows: 1,
            tokens: tokens.len(),
        };
        self.engine.run(&batch, &mut logits)?;
        // A comparison with NaN is false, which would read as safe.
        match logits.iter().position(|logit| !logit.is_finite()) {
            Some(index) => Err(Error::new(
                ErrorKind::Engine,
                format!(
                    "engine {}: logit of category {:?} is {}; expected a finite number: the weights are damaged or overflow",
                    self.engine.name(),
                    self.model.categories()[index],
                    logits[index]
                ),
            )),
            None => Ok(logits),
        }
    }

    /// The raw logits of every window of a text: one row of category logits per window; no rows for empty text.
    pub fn window_logits(&mut self, text: &str) -> Result<Vec<Vec<f32>>> {
        let tokens = self.model.tokenize(text)?;
        self.score_windows(&tokens)
    }

    /// Runs the windows one at a time: with int8 the scale of a layer's activations is taken over the whole tensor, so a window's
    /// logits would depend on the windows that happen to share its batch.
    fn score_windows(&mut self, tokens: &[u32]) -> Result<Vec<Vec<f32>>> {
        let windows = self.model.windows(tokens);
        windows.iter().map(|window| self.logits(window)).collect()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("model", &self.model)
            .field("engine", &self.engine.name())
            .finish()
    }
}

/// The text that is scored: the prompt, or the prompt, a space and the response.
fn joined<'a>(input: &Input<'a>) -> Cow<'a, str> {
    match input.response {
        None => Cow::Borrowed(input.prompt),
        Some("") if input.prompt.is_empty() => Cow::Borrowed(""),
        Some(response) => Cow::Owned(format!("{} {response}", input.prompt)),
    }
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigmoid_stays_a_probability() {
        assert_eq!(sigmoid(0.0), 0.5);
        assert_eq!(sigmoid(f32::MAX), 1.0);
        assert_eq!(sigmoid(f32::MIN), 0.0);
    }

    #[test]
    fn prompt_and_response_are_joined_by_one_space() {
        let input = |prompt, response| Input {
            prompt,
            response,
            language: None,
        };
        assert_eq!(joined(&input("a", None)), "a");
        assert_eq!(joined(&input("a", Some("b"))), "a b");
        assert_eq!(joined(&input("", Some(""))), "");
    }
}

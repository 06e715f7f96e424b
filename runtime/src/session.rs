//! A session: a model on an engine.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::check::{Check, How};
use crate::clock::Instant;
use crate::engine::{self, Engine, EngineChoice, KeyValues, StreamEngine, TokenBatch};
use crate::error::{Error, ErrorKind, Result};
use crate::input::Input;
use crate::model::Model;
use crate::options::CheckOptions;
use crate::tally::Window;
use crate::text::tokenize;
use crate::verdict::Verdict;

/// How [`Model::session`] opens an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// Which engine.
    pub engine: EngineChoice,
    /// Threads that one window's computation may use, at most [`MAX_THREADS`](crate::MAX_THREADS).
    /// More than one pays only for long windows on idle cores.
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
/// Methods take `&mut self` because engines reuse their working memory between calls. A session
/// keeps its model alive.
pub struct Session {
    model: Model,
    engine: Box<dyn Engine>,
    threads: NonZeroUsize,
    /// Opened for the first stream that goes on from what it has computed.
    stream: Option<Box<dyn StreamEngine>>,
    computing: Duration,
}

impl Model {
    /// Opens the model on an engine.
    ///
    /// Sessions of one model share its weights as far as the engine can: `native` sessions share
    /// everything that they do not change, `onnxruntime` sessions have a copy each.
    pub fn session(&self, options: &SessionOptions) -> Result<Session> {
        Session::new(self, options)
    }
}

impl Session {
    /// Opens a model on an engine; as [`Model::session`] does.
    ///
    /// Runs one token, so that a graph that does not fit the manifest is found now and not at the
    /// first check.
    pub fn new(model: &Model, options: &SessionOptions) -> Result<Self> {
        let mut session = Self {
            engine: engine::open(model.graph(), &options.engine, options.threads)?,
            model: model.clone(),
            threads: options.threads,
            stream: None,
            computing: Duration::ZERO,
        };
        session.logits(&[0])?;
        Ok(session)
    }

    /// The name of the engine that computes.
    pub fn engine(&self) -> &str {
        self.engine.name()
    }

    /// Checks a text: all of it, in as many windows as it needs, as it is written and, where it is
    /// disguised, as it reads. The scores are the maximum over all of these.
    pub fn check(&mut self, input: &Input<'_>) -> Result<Verdict> {
        self.check_with(input, &CheckOptions::default())
    }

    /// Checks a text as the options say.
    pub fn check_with(&mut self, input: &Input<'_>, options: &CheckOptions) -> Result<Verdict> {
        let model = self.model.clone();
        let check = Check::new(&model, input, options, How::WHOLE)?;
        let rows = self.logits_of(&tokens_of(&check.windows()))?;
        check.verdict(rows)
    }

    /// Checks several texts, which share runs of the engine where it takes many rows at once and
    /// their windows are equally long. Each verdict, and each error, is to the last bit the one
    /// that [`check_with`](Self::check_with) gives on its text alone, in the order of `inputs`.
    pub fn check_many(
        &mut self,
        inputs: &[Input<'_>],
        options: &CheckOptions,
    ) -> Vec<Result<Verdict>> {
        let model = self.model.clone();
        let read = |input| Check::new(&model, input, options, How::WHOLE);
        let checks: Vec<_> = inputs.iter().map(read).collect();
        let windows: Vec<_> = checks.iter().flatten().map(Check::windows).collect();
        let all: Vec<_> = windows
            .iter()
            .flat_map(|windows| tokens_of(windows))
            .collect();
        let Ok(rows) = self.logits_of(&all) else {
            // One of the texts fails, and the others are not to fail with it.
            return inputs
                .iter()
                .map(|input| self.check_with(input, options))
                .collect();
        };
        let counts: Vec<_> = windows.iter().map(Vec::len).collect();
        let (mut rows, mut counts) = (rows.into_iter(), counts.into_iter());
        let verdicts = checks.into_iter().map(|check| {
            let check = check?;
            let own = rows.by_ref().take(counts.next().unwrap_or_default());
            check.verdict(own.collect())
        });
        verdicts.collect()
    }

    /// How many windows of `tokens` tokens its engine computes at once, at least 1: more than 1
    /// where texts of [`check_many`](Self::check_many) share runs.
    pub fn rows_at_once(&self, tokens: usize) -> usize {
        self.engine.rows_at_once(tokens)
    }

    /// How long its engines have computed since it was opened: what is left of a check's time is
    /// reading and tokenising. Zero where there is no clock (WebAssembly without a system).
    pub fn computing_time(&self) -> Duration {
        self.computing
    }

    /// The model that this is a session of.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The raw logits of one window of 1 to `max_position` tokens: one per category, and then one
    /// per language, where the model has a language head.
    pub fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        Ok(self.logits_of_rectangle(&[tokens])?.concat())
    }

    /// The raw logits of windows, a row for each: those of one length together, as many at once as
    /// the engine takes.
    pub(crate) fn logits_of(&mut self, windows: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        self.in_rectangles(windows, Self::logits_of_rectangle)
    }

    /// What the classifier reads of windows of 1 to `max_position` tokens, as many values each as
    /// the network is wide: the state of the judged token after the last layer, or the mean of all
    /// tokens'. A row does not depend on the others. On engine `native` alone; others refuse.
    pub fn pooled_states(&mut self, windows: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        self.in_rectangles(windows, Self::states_of_rectangle)
    }

    /// What `compute` makes of windows, a row for each: those of one length together, as many at
    /// once as the engine takes.
    fn in_rectangles(
        &mut self,
        windows: &[&[u32]],
        compute: impl Fn(&mut Self, &[&[u32]]) -> Result<Vec<Vec<f32>>>,
    ) -> Result<Vec<Vec<f32>>> {
        let mut order: Vec<_> = (0..windows.len()).collect();
        order.sort_by_key(|place| windows[*place].len());
        let mut found = vec![Vec::new(); windows.len()];
        for same in order.chunk_by(|a, b| windows[*a].len() == windows[*b].len()) {
            let at_once = self.engine.rows_at_once(windows[same[0]].len());
            for places in same.chunks(at_once) {
                let rows: Vec<_> = places.iter().map(|place| windows[*place]).collect();
                for (place, values) in places.iter().zip(compute(self, &rows)?) {
                    found[*place] = values;
                }
            }
        }
        Ok(found)
    }

    /// The logits of windows of one length, in one run of the engine.
    fn logits_of_rectangle(&mut self, rows: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let mut logits = Vec::new();
        for row in rows {
            logits.extend(self.room_for(row, row.len())?);
        }
        let batch = TokenBatch {
            ids: &rows.concat(),
            rows: rows.len(),
            tokens: rows[0].len(),
        };
        let start = Instant::now();
        self.engine.run(&batch, &mut logits)?;
        self.computing += start.elapsed();
        let rows = logits.chunks(logits.len() / rows.len());
        rows.map(|row| self.finite(row.to_vec())).collect()
    }

    /// The pooled states of windows of one length, in one run of the engine.
    fn states_of_rectangle(&mut self, rows: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        for row in rows {
            self.room_for(row, row.len())?;
        }
        let batch = TokenBatch {
            ids: &rows.concat(),
            rows: rows.len(),
            tokens: rows[0].len(),
        };
        let states = self.engine.pooled(&batch)?;
        let states = states.chunks(states.len() / rows.len());
        Ok(states.map(<[f32]>::to_vec).collect())
    }

    /// Whether [`logits_after`](Self::logits_after) can compute.
    pub(crate) fn has_cache(&self) -> bool {
        self.no_values().is_ok()
    }

    /// The keys and values of no tokens, from which the session's engine can go on.
    pub(crate) fn no_values(&self) -> Result<KeyValues> {
        let none = || Error::unsupported("the bundle has no stream.onnx; score whole windows");
        let shape = self.model.stream_graph().ok_or_else(none)?.shape;
        let name = self.engine.name();
        let engine = engine::name_with_streams(name).ok_or_else(|| engine::no_streams(name))?;
        Ok(KeyValues::empty(engine, shape))
    }

    /// The logits of the last of `tokens`, which follow those of `past`, and the keys and values of
    /// all of them.
    pub(crate) fn logits_after(
        &mut self,
        past: KeyValues,
        tokens: &[u32],
    ) -> Result<(Vec<f32>, KeyValues)> {
        let mut logits = self.room_for(tokens, past.tokens() + tokens.len())?;
        let engine = match (&mut self.stream, self.model.stream_graph()) {
            (Some(engine), _) => engine,
            (none, Some(graph)) => none.insert(engine::open_stream(
                self.engine.name(),
                graph,
                self.threads,
            )?),
            (None, None) => {
                return Err(Error::unsupported(
                    "the bundle has no stream.onnx; score whole windows",
                ));
            }
        };
        let start = Instant::now();
        let present = engine.run(past, tokens, &mut logits)?;
        self.computing += start.elapsed();
        Ok((self.finite(logits)?, present))
    }

    /// Whether what [`logits_after`](Self::logits_after) gave are, to the last bit, the logits of
    /// all of the tokens at once.
    pub(crate) fn is_exact_after(&self) -> bool {
        self.stream.as_ref().is_some_and(|engine| engine.is_exact())
    }

    /// Room for the logits of tokens that are in order and make a window of `length` in the end.
    fn room_for(&self, tokens: &[u32], length: usize) -> Result<Vec<f32>> {
        let manifest = self.model.manifest();
        let limit = manifest.architecture.max_position;
        if tokens.is_empty() || length > limit {
            return Err(Error::argument(format!(
                "a window of {length} tokens; expected 1 to {limit}, the model's max_position"
            )));
        }
        tokenize::check_ids(tokens, manifest.architecture.vocabulary)?;
        Ok(vec![0.0; manifest.outputs()])
    }

    fn finite(&self, logits: Vec<f32>) -> Result<Vec<f32>> {
        // A comparison with NaN is false, which would read as safe.
        match logits.iter().position(|logit| !logit.is_finite()) {
            Some(index) => {
                let manifest = self.model.manifest();
                let (kind, name) = match index.checked_sub(manifest.categories.len()) {
                    Some(language) => ("language", &manifest.languages[language]),
                    None => ("category", &manifest.categories[index]),
                };
                Err(Error::new(
                    ErrorKind::Engine,
                    format!(
                        "engine {}: logit of {kind} {name:?} is {}; expected a finite number: the \
                         weights are damaged or overflow",
                        self.engine.name(),
                        logits[index]
                    ),
                ))
            }
            None => Ok(logits),
        }
    }

    /// The raw logits of every window of a text: one row, as [`Session::logits`] gives it, per
    /// window; no rows for empty text.
    pub fn window_logits(&mut self, text: &str) -> Result<Vec<Vec<f32>>> {
        let tokens = self.model.tokenize(text)?;
        let windows = self.model.windows(&tokens);
        let windows: Vec<_> = windows.iter().map(Vec::as_slice).collect();
        self.logits_of(&windows)
    }
}

fn tokens_of<'a>(windows: &[Window<'a>]) -> Vec<&'a [u32]> {
    windows.iter().map(|window| window.tokens).collect()
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("model", &self.model)
            .field("engine", &self.engine.name())
            .finish()
    }
}

//! `duoguard.Stream`.

use std::sync::{Arc, Mutex, PoisonError};

use duoguard::{Input, Session, StreamOptions};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{Failure, guarded};
use crate::opened::Opened;
use crate::text::text;
use crate::verdict::Verdict;

/// A text that is checked while it is still being written. One thread at a time may use it.
#[pyclass(frozen, module = "duoguard")]
pub struct Stream {
    /// `None` while a call works with it, after `close`, and after a defect.
    state: Mutex<Option<State>>,
    prompt: Option<String>,
}

struct State {
    opened: Arc<Opened>,
    stream: duoguard::Stream,
}

impl Stream {
    pub fn new(py: Python<'_>, opened: Arc<Opened>, options: StreamOptions) -> PyResult<Self> {
        let prompt = options.prompt.clone();
        let session = opened.take();
        let (session, stream) = py.detach(|| {
            let mut session = session.map_or_else(|| opened.session(), Ok)?;
            // Options that no check would take are refused now, not at the first verdict.
            let nothing = Input {
                language: options.language.as_deref(),
                ..Input::prompt("")
            };
            guarded(|| session.check_with(&nothing, &options.check))?;
            let stream = duoguard::Stream::new(&session, options);
            Ok::<_, Failure>((session, stream))
        })?;
        opened.put([session]);
        Ok(Self {
            state: Mutex::new(Some(State { opened, stream })),
            prompt,
        })
    }

    /// Works with the stream and a session, without the interpreter's lock.
    fn work<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&mut duoguard::Stream, &mut Session) -> duoguard::Result<T> + Send,
    ) -> PyResult<(T, Arc<Opened>)> {
        let mut state = self.take()?;
        if state.opened.is_stale() {
            std::mem::forget(state);
            return Err(PyRuntimeError::new_err(
                "the stream was begun before this process was forked off; begin another",
            ));
        }
        let session = state.opened.take();
        // A panic leaves the stream taken: what it remembers is in an unknown state.
        let (state, session, result) = py.detach(|| {
            let session = session.map_or_else(|| state.opened.session(), Ok);
            let mut session = match session {
                Ok(session) => session,
                Err(failure) => return Ok((state, None, Err(failure))),
            };
            let result = guarded(|| Ok(call(&mut state.stream, &mut session)))?;
            Ok::<_, Failure>((state, Some(session), result.map_err(Failure::from)))
        })?;
        let opened = state.opened.clone();
        opened.put(session);
        *self.lock() = Some(state);
        Ok((result?, opened))
    }

    fn take(&self) -> PyResult<State> {
        self.lock().take().ok_or_else(|| {
            PyRuntimeError::new_err(
                "the stream is closed, or another thread is using it; a stream is used by one \
                 thread at a time",
            )
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verdict(&self, found: duoguard::Verdict, opened: &Opened, streamed: &str) -> Verdict {
        match &self.prompt {
            Some(prompt) => Verdict::of(found, &opened.categories, prompt, Some(streamed)),
            None => Verdict::of(found, &opened.categories, streamed, None),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(stale) = state.take_if(|state| state.opened.is_stale()) {
            std::mem::forget(stale);
        }
    }
}

#[pymethods]
impl Stream {
    /// Takes the next piece, and gives a verdict on the text so far if enough of it is new.
    fn push(&self, py: Python<'_>, piece: &Bound<'_, PyAny>) -> PyResult<Option<Verdict>> {
        let bytes = match piece.cast::<PyBytes>() {
            Ok(bytes) => bytes.as_bytes().to_vec(),
            Err(_) => text("piece", piece)?.as_bytes().to_vec(),
        };
        let push = |stream: &mut duoguard::Stream, session: &mut Session| {
            let found = stream.push(session, &bytes)?;
            Ok(found.map(|found| (found, stream.text().to_owned())))
        };
        let (found, opened) = self.work(py, push)?;
        Ok(found.map(|(found, text)| self.verdict(found, &opened, &text)))
    }

    /// The verdict on the whole text: exactly that of `Guard.check`. More may be pushed afterwards.
    fn finish(&self, py: Python<'_>) -> PyResult<Verdict> {
        let finish = |stream: &mut duoguard::Stream, session: &mut Session| {
            let found = stream.finish(session)?;
            Ok((found, stream.text().to_owned()))
        };
        let ((found, text), opened) = self.work(py, finish)?;
        Ok(self.verdict(found, &opened, &text))
    }

    /// Whether verdicts on the way cost what is new of the text.
    #[getter]
    fn uses_cache(&self) -> PyResult<bool> {
        let state = self.take()?;
        let uses_cache = state.stream.uses_cache();
        *self.lock() = Some(state);
        Ok(uses_cache)
    }

    /// The streamed text so far.
    #[getter]
    fn text(&self) -> PyResult<String> {
        let state = self.take()?;
        let text = state.stream.text().to_owned();
        *self.lock() = Some(state);
        Ok(text)
    }

    /// Frees what the stream remembers; it cannot be used afterwards.
    fn close(&self) {
        if let Some(stale) = self.lock().take().filter(|state| state.opened.is_stale()) {
            std::mem::forget(stale);
        }
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(
        &self,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) {
        self.close();
    }
}

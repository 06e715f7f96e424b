//! `duoguard.Guard`.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use duoguard::{CheckOptions, EngineChoice, Input};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::batch::{self, Batch, Row};
use crate::error::{Failure, guarded};
use crate::opened::{Opened, Source, absolute};
use crate::options::check_options;
use crate::stream::Stream;
use crate::text::{optional_text, text};
use crate::verdict::Verdict;

/// A model that is open, and checks texts. Any number of threads may use it at once.
#[pyclass(frozen, module = "duoguard")]
pub struct Guard {
    source: Source,
    /// What names the bundle where it is opened again: a bundled one's name, or a folder.
    bundle: Py<PyAny>,
    opened: Mutex<Option<Arc<Opened>>>,
}

impl Guard {
    /// The bundle as this process has it open; opened again in the child of a fork.
    fn opened(&self, py: Python<'_>) -> PyResult<Arc<Opened>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fresh) = opened.as_ref().filter(|opened| !opened.is_stale()) {
            return Ok(fresh.clone());
        }
        if let Some(stale) = opened.take() {
            // Its threads are not in this process: to free it could mean to wait for them.
            std::mem::forget(stale);
        }
        drop(opened);
        let fresh = Arc::new(py.detach(|| Opened::new(&self.source))?);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(opened.get_or_insert(fresh).clone())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let opened = self
            .opened
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(stale) = opened.take_if(|opened| opened.is_stale()) {
            std::mem::forget(stale);
        }
    }
}

#[pymethods]
impl Guard {
    #[new]
    #[pyo3(signature = (bundle = None, *, engine = None, threads = 1, public_key = None))]
    fn new(
        py: Python<'_>,
        bundle: Option<Bound<'_, PyAny>>,
        engine: Option<&str>,
        threads: usize,
        public_key: Option<String>,
    ) -> PyResult<Self> {
        let find = py.import("duoguard._bundles")?.getattr("find")?;
        let (bundle, path): (Bound<'_, PyAny>, PathBuf) = find.call1((bundle,))?.extract()?;
        let threads = NonZeroUsize::new(threads)
            .ok_or_else(|| Failure::argument("threads is 0; expected at least 1"))?;
        let engine: Result<EngineChoice, Infallible> = engine.unwrap_or("auto").parse();
        let engine = engine.unwrap_or_else(|never: Infallible| match never {});
        let guard = Self {
            source: Source {
                path: absolute(&path)?,
                public_key,
                engine,
                threads,
            },
            bundle: bundle.unbind(),
            opened: Mutex::new(None),
        };
        guard.opened(py)?;
        Ok(guard)
    }

    /// The folder of the bundle.
    #[getter]
    fn path(&self) -> PathBuf {
        self.source.path.clone()
    }

    /// The name of the engine that computes.
    #[getter]
    fn engine(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.opened(py)?.engine.clone())
    }

    /// The names of the categories, in the order of scores.
    #[getter]
    fn categories(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        Ok(self.opened(py)?.categories.to_vec())
    }

    /// Checks a text, or a response to it.
    #[pyo3(signature = (text, response = None, language = None, **options))]
    fn check(
        &self,
        py: Python<'_>,
        text: &Bound<'_, PyAny>,
        response: Option<&Bound<'_, PyAny>>,
        language: Option<&str>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Verdict> {
        let options = check_options(options)?;
        let (text, response) = (
            self::text("text", text)?,
            optional_text("response", response)?,
        );
        let opened = self.opened(py)?;
        let session = opened.take();
        let (text, response) = (text.as_str(), response.as_deref());
        let (session, found) = py.detach(|| {
            let mut session = session.map_or_else(|| opened.session(), Ok)?;
            let input = Input {
                prompt: text,
                response,
                language,
            };
            let found = guarded(|| Ok(session.check_with(&input, &options)))?;
            Ok::<_, Failure>((session, found))
        })?;
        opened.put([session]);
        let found = found.map_err(Failure::from)?;
        Ok(Verdict::of(found, &opened.categories, text, response))
    }

    /// Checks many texts, on several threads, without holding the interpreter's lock.
    #[pyo3(signature = (texts, responses = None, language = None, *, threads = None, on_error = "raise", **options))]
    #[allow(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn check_batch(
        &self,
        py: Python<'_>,
        texts: &Bound<'_, PyAny>,
        responses: Option<&Bound<'_, PyAny>>,
        language: Option<&Bound<'_, PyAny>>,
        threads: Option<usize>,
        on_error: &str,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Batch> {
        let keep = match on_error {
            "raise" => false,
            "keep" => true,
            other => {
                return Err(PyValueError::new_err(format!(
                    "on_error is {other:?}; expected \"raise\" or \"keep\""
                )));
            }
        };
        let options: CheckOptions = check_options(options)?;
        let threads = match threads {
            Some(threads) => NonZeroUsize::new(threads)
                .ok_or_else(|| Failure::argument("threads is 0; expected at least 1"))?,
            None => std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        };
        let rows = Row::read(texts, responses, language, keep)?;
        let opened = self.opened(py)?;
        batch::check(py, &opened, rows, &options, threads, keep)
    }

    /// Begins a text that comes piece by piece.
    #[pyo3(signature = (prompt = None, language = None, *, debounce_bytes = 256, cache = true, **options))]
    fn stream(
        &self,
        py: Python<'_>,
        prompt: Option<&Bound<'_, PyAny>>,
        language: Option<String>,
        debounce_bytes: usize,
        cache: bool,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Stream> {
        let options = duoguard::StreamOptions {
            check: check_options(options)?,
            prompt: optional_text("prompt", prompt)?.map(|text| text.as_str().to_owned()),
            language,
            debounce_bytes,
            cache,
        };
        Stream::new(py, self.opened(py)?, options)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "<Guard {} on {}>",
            self.bundle.bind(py).repr()?,
            self.engine(py)?
        ))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let (py, guard) = (slf.py(), slf.get());
        let engine = match &guard.source.engine {
            EngineChoice::Auto => None,
            EngineChoice::Named(name) => Some(name.as_str()),
        };
        let reopen = py.import("duoguard._bundles")?.getattr("reopen")?;
        let source = &guard.source;
        let (threads, key) = (source.threads.get(), source.public_key.as_deref());
        let arguments = (guard.bundle.bind(py), engine, threads, key);
        Ok((reopen, arguments.into_pyobject(py)?.into_any()))
    }
}

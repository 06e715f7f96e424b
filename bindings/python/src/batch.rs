//! `duoguard.Batch`: many texts on several threads.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use duoguard::{CheckOptions, Input, Session};
use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::error::{Failure, guarded};
use crate::opened::Opened;
use crate::text::{optional_text, text};
use crate::verdict::Verdict;

/// How long Ctrl-C may wait.
const SIGNALS: Duration = Duration::from_millis(100);

/// What is checked of one row.
pub struct Row {
    text: PyBackedStr,
    response: Option<PyBackedStr>,
    language: Option<String>,
}

impl Row {
    /// The rows of parallel iterables. With `keep`, a row that is no text is kept as its failure.
    pub fn read(
        texts: &Bound<'_, PyAny>,
        responses: Option<&Bound<'_, PyAny>>,
        language: Option<&Bound<'_, PyAny>>,
        keep: bool,
    ) -> PyResult<Vec<Result<Self, Failure>>> {
        if texts.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err(
                "texts is one str; expected many: call check for one text",
            ));
        }
        let given = |value: Option<&Bound<'_, PyAny>>| value.is_some_and(|value| !value.is_none());
        let mut others = match given(responses) {
            true => responses
                .map(|responses| responses.try_iter())
                .transpose()?,
            false => None,
        };
        let one_language = language.and_then(|tag| tag.extract::<String>().ok());
        let mut languages = match given(language) && one_language.is_none() {
            true => language.map(|tags| tags.try_iter()).transpose()?,
            false => None,
        };
        let mut rows = Vec::new();
        for (index, value) in texts.try_iter()?.enumerate() {
            let value = value?;
            let response = others
                .as_mut()
                .map(|others| next("responses", others, index));
            let tag = languages.as_mut().map(|tags| next("language", tags, index));
            let (response, tag) = (response.transpose()?, tag.transpose()?);
            let row = Self::of(
                &value,
                response.as_ref(),
                tag.as_ref(),
                one_language.as_ref(),
            );
            rows.push(match row {
                Ok(row) => Ok(row),
                Err(error) => {
                    let failure = Failure::argument(error.value(value.py()).to_string());
                    match keep {
                        true => Err(failure),
                        false => return Err(failure.of_row(index).into()),
                    }
                }
            });
        }
        for (what, rest) in [("responses", others), ("language", languages)] {
            if rest.is_some_and(|mut rest| rest.next().is_some()) {
                return Err(PyValueError::new_err(format!(
                    "{what} has more entries than texts, which has {}",
                    rows.len()
                )));
            }
        }
        Ok(rows)
    }

    fn of(
        value: &Bound<'_, PyAny>,
        response: Option<&Bound<'_, PyAny>>,
        tag: Option<&Bound<'_, PyAny>>,
        language: Option<&String>,
    ) -> PyResult<Self> {
        let tag = optional_text("language", tag)?;
        Ok(Self {
            text: text("text", value)?,
            response: optional_text("response", response)?,
            language: tag
                .map(|tag| tag.as_str().to_owned())
                .or_else(|| language.cloned()),
        })
    }

    fn check(
        &self,
        session: &mut Session,
        opened: &Opened,
        options: &CheckOptions,
    ) -> Result<Verdict, Failure> {
        let (text, response) = (self.text.as_str(), self.response.as_deref());
        let input = Input {
            prompt: text,
            response,
            language: self.language.as_deref(),
        };
        let found = guarded(|| session.check_with(&input, options))?;
        Ok(Verdict::of(found, &opened.categories, text, response))
    }
}

fn next<'py>(
    what: &str,
    values: &mut Bound<'py, pyo3::types::PyIterator>,
    index: usize,
) -> PyResult<Bound<'py, PyAny>> {
    values.next().unwrap_or_else(|| {
        Err(PyValueError::new_err(format!(
            "{what} has {index} entries; expected one for each of the texts"
        )))
    })
}

/// Checks all rows, and stops early when Python has a signal to handle, such as Ctrl-C, or at the
/// first failure without `keep`.
pub fn check(
    py: Python<'_>,
    opened: &Opened,
    rows: Vec<Result<Row, Failure>>,
    options: &CheckOptions,
    threads: NonZeroUsize,
    keep: bool,
) -> PyResult<Batch> {
    let workers = threads.get().min(rows.len());
    let mut sessions = opened.take_many(workers);
    let (stop, next) = (&AtomicBool::new(false), &AtomicUsize::new(0));
    let (given, rows) = (&rows, rows.len());
    // One thread works through the rows, and leaves with what it found.
    let work = |session: Option<Session>| {
        let mut found = Vec::new();
        let mut session = match session.map_or_else(|| opened.session(), Ok) {
            Ok(session) => session,
            Err(failure) => return (None, found, Some(failure)),
        };
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(row) = given.get(index) else { break };
            let verdict = match row {
                Ok(row) => row.check(&mut session, opened, options),
                Err(failure) => Err(failure.clone()),
            };
            if verdict.is_err() && !keep {
                stop.store(true, Ordering::Relaxed);
            }
            found.push((index, verdict));
        }
        (Some(session), found, None)
    };
    let (parts, interrupted) = py.detach(|| {
        thread::scope(|scope| {
            let (ended, ends) = mpsc::channel();
            for _ in 0..workers {
                let (session, ended, work) = (sessions.pop(), ended.clone(), &work);
                scope.spawn(move || ended.send(work(session)));
            }
            drop(ended);
            let (mut parts, mut interrupted) = (Vec::new(), Ok(()));
            loop {
                match ends.recv_timeout(SIGNALS) {
                    Ok(part) => parts.push(part),
                    Err(mpsc::RecvTimeoutError::Disconnected) => break (parts, interrupted),
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        if interrupted.is_ok() {
                            interrupted = Python::attach(|py| py.check_signals());
                            stop.fetch_or(interrupted.is_err(), Ordering::Relaxed);
                        }
                    }
                }
            }
        })
    });
    let mut verdicts: Vec<Option<Result<Verdict, Failure>>> = Vec::new();
    verdicts.resize_with(rows, || None);
    let mut not_opened = None;
    for (session, found, failure) in parts {
        // A session that panicked is not used again.
        let whole = !found.iter().any(|(_, verdict)| is_panic(verdict));
        opened.put(session.filter(|_| whole));
        not_opened = failure.or(not_opened);
        for (index, verdict) in found {
            verdicts[index] = Some(verdict);
        }
    }
    interrupted?;
    if let Some(failure) = not_opened {
        return Err(failure.into());
    }
    let failed = verdicts.iter().enumerate();
    let failed = failed.filter_map(|(row, verdict)| Some((row, verdict.as_ref()?.as_ref().err()?)));
    if let (false, Some((row, failure))) = (keep, failed.clone().next()) {
        return Err(failure.of_row(row).into());
    }
    Ok(Batch {
        rows: verdicts.into_iter().flatten().collect(),
        categories: opened.categories.len(),
    })
}

fn is_panic(verdict: &Result<Verdict, Failure>) -> bool {
    verdict.as_ref().is_err_and(Failure::is_panic)
}

/// The verdicts on many texts, in their order.
#[pyclass(frozen, sequence, module = "duoguard")]
pub struct Batch {
    rows: Vec<Result<Verdict, Failure>>,
    categories: usize,
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.rows.len()
    }

    fn __getitem__(&self, index: isize) -> PyResult<Verdict> {
        let place = match index < 0 {
            true => self.rows.len().checked_sub(index.unsigned_abs()),
            false => Some(index.unsigned_abs()),
        };
        let row = place.and_then(|place| Some((place, self.rows.get(place)?)));
        match row {
            Some((_, Ok(verdict))) => Ok(verdict.clone()),
            Some((place, Err(failure))) => Err(failure.of_row(place).into()),
            None => Err(PyIndexError::new_err(format!(
                "row {index} of a batch of {}",
                self.rows.len()
            ))),
        }
    }

    fn __iter__(slf: Py<Self>) -> Verdicts {
        Verdicts {
            batch: slf,
            next: 0,
        }
    }

    /// All scores, 32-bit floats, as a memoryview of a row for each text and a column for each
    /// category; numpy.asarray takes it without a copy. A row that failed is NaN.
    #[getter]
    fn scores<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let size = self.rows.len() * self.categories * size_of::<f32>();
        let bytes = PyBytes::new_with(py, size, |bytes| {
            let rows = bytes.chunks_exact_mut(self.categories * size_of::<f32>());
            for (row, into) in self.rows.iter().zip(rows) {
                for (place, four) in into.chunks_exact_mut(size_of::<f32>()).enumerate() {
                    let score = row
                        .as_ref()
                        .map_or(f32::NAN, |verdict| verdict.values[place]);
                    four.copy_from_slice(&score.to_ne_bytes());
                }
            }
            Ok(())
        })?;
        let view = py
            .import("builtins")?
            .getattr("memoryview")?
            .call1((bytes,))?;
        match self.rows.is_empty() {
            // A memoryview cannot have a dimension of 0 beside another.
            true => view.call_method1("cast", ("f",)),
            false => view.call_method1("cast", ("f", [self.rows.len(), self.categories])),
        }
    }

    /// Why a row has no verdict, for each row; None where it has one.
    #[getter]
    fn errors(&self) -> Vec<Option<&str>> {
        let rows = self.rows.iter();
        rows.map(|row| row.as_ref().err().map(|failure| failure.message.as_str()))
            .collect()
    }

    /// The verdicts as columns, by name; what a row that failed does not have is None.
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let verdicts = || self.rows.iter().map(|row| row.as_ref().ok());
        let columns = PyDict::new(py);
        let flagged: Vec<_> = verdicts().map(|row| row.map(|row| row.flagged)).collect();
        columns.set_item("flagged", flagged)?;
        let category: Vec<_> = verdicts()
            .map(|row| row.and_then(Verdict::category))
            .collect();
        columns.set_item("category", category)?;
        let score: Vec<_> = verdicts().map(|row| row.map(|row| row.score)).collect();
        columns.set_item("score", score)?;
        let language: Vec<_> = verdicts()
            .map(|row| row.map(|row| &*row.language))
            .collect();
        columns.set_item("language", language)?;
        let tokens: Vec<_> = verdicts().map(|row| row.map(|row| row.tokens)).collect();
        columns.set_item("tokens", tokens)?;
        let windows: Vec<_> = verdicts().map(|row| row.map(|row| row.windows)).collect();
        columns.set_item("windows", windows)?;
        columns.set_item("error", self.errors())?;
        Ok(columns)
    }

    fn __repr__(&self) -> String {
        let flagged = self.rows.iter().flatten().filter(|row| row.flagged).count();
        let failed = self.rows.iter().filter(|row| row.is_err()).count();
        let failed = match failed {
            0 => String::new(),
            failed => format!(", {failed} not checked"),
        };
        format!("<Batch of {}: {flagged} unsafe{failed}>", self.rows.len())
    }
}

/// The verdicts of a batch, one by one.
#[pyclass(module = "duoguard")]
struct Verdicts {
    batch: Py<Batch>,
    next: isize,
}

#[pymethods]
impl Verdicts {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&mut self) -> PyResult<Option<Verdict>> {
        let batch = self.batch.get();
        if self.next.unsigned_abs() == batch.rows.len() {
            return Ok(None);
        }
        self.next += 1;
        batch.__getitem__(self.next - 1).map(Some)
    }
}

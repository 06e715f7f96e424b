//! What is said about a text.

use std::ops::Range;
use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Where in the caller's texts the window that scored highest lies, in characters:
/// `text[span.start:span.end]`.
#[pyclass(frozen, eq, hash, get_all, module = "duoguard", from_py_object)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// `"prompt"` or `"response"`.
    part: String,
    start: usize,
    end: usize,
}

#[pymethods]
impl Span {
    #[new]
    fn new(part: String, start: usize, end: usize) -> PyResult<Self> {
        match part.as_str() {
            "prompt" | "response" => Ok(Self { part, start, end }),
            other => Err(PyValueError::new_err(format!(
                "part is {other:?}; expected \"prompt\" or \"response\""
            ))),
        }
    }

    #[classattr]
    fn __match_args__() -> (&'static str, &'static str, &'static str) {
        ("part", "start", "end")
    }

    fn __repr__(&self) -> String {
        format!("Span({:?}, {}, {})", self.part, self.start, self.end)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyAny>, (String, usize, usize)) {
        let span = slf.get();
        let class = slf.get_type().into_any();
        (class, (span.part.clone(), span.start, span.end))
    }
}

impl Span {
    /// The part of a span in the prompt or in the response, whichever is longer; the prompt's, if
    /// they are equal. `text` and `response` are what was checked.
    fn of(span: Option<&duoguard::Span>, text: &str, response: Option<&str>) -> Self {
        let empty = duoguard::Span::default();
        let span = span.unwrap_or(&empty);
        let (part, within, range): (_, _, &Range<usize>) =
            match span.response.len() > span.prompt.len() {
                true => ("response", response.unwrap_or_default(), &span.response),
                false => ("prompt", text, &span.prompt),
            };
        let characters = |bytes: usize| within[..bytes].chars().count();
        let start = characters(range.start);
        Self {
            part: part.to_owned(),
            start,
            end: start + within[range.clone()].chars().count(),
        }
    }
}

/// What the model says about one text. It has no truth value: look at `flagged`.
#[pyclass(frozen, eq, module = "duoguard")]
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Whether a category's score exceeds its threshold.
    #[pyo3(get)]
    pub flagged: bool,
    /// The category that exceeds its threshold by most; None when nothing is flagged.
    #[pyo3(get)]
    category: Option<String>,
    /// The largest score of any category, a probability in [0, 1].
    #[pyo3(get)]
    pub score: f32,
    /// The tag of the language whose thresholds applied, or "und".
    #[pyo3(get)]
    pub language: String,
    /// Tokens in the text.
    #[pyo3(get)]
    pub tokens: usize,
    /// Those of them that at least one window covered.
    #[pyo3(get)]
    pub tokens_scored: usize,
    /// Windows that the text was scored in; 0 for empty text, which is safe.
    #[pyo3(get)]
    pub windows: usize,
    /// Whether max_tokens left some of the text unscored.
    #[pyo3(get)]
    pub partial: bool,
    /// Where the window that scored highest lies.
    #[pyo3(get)]
    span: Span,
    pub values: Vec<f32>,
    categories: Arc<[String]>,
}

impl Verdict {
    /// A verdict of the runtime on `text`, or on a response to it.
    pub fn of(
        found: duoguard::Verdict,
        categories: &Arc<[String]>,
        text: &str,
        response: Option<&str>,
    ) -> Self {
        let cut = |view: &duoguard::ScoredView| view.tokens_scored < view.tokens;
        Self {
            flagged: found.flagged,
            category: found.category.map(|index| categories[index].clone()),
            score: found.score,
            partial: found.views.iter().any(cut),
            tokens: found.tokens,
            tokens_scored: found.tokens_scored,
            windows: found.windows,
            span: Span::of(found.span.as_ref(), text, response),
            language: found.language,
            values: found.scores,
            categories: categories.clone(),
        }
    }

    pub fn category(&self) -> Option<&str> {
        self.category.as_deref()
    }
}

#[pymethods]
impl Verdict {
    #[new]
    #[pyo3(signature = (flagged, category, scores, language, tokens, tokens_scored, windows, partial, span))]
    #[allow(clippy::too_many_arguments, reason = "all that a verdict says")]
    fn new(
        flagged: bool,
        category: Option<String>,
        scores: &Bound<'_, PyDict>,
        language: String,
        tokens: usize,
        tokens_scored: usize,
        windows: usize,
        partial: bool,
        span: Span,
    ) -> PyResult<Self> {
        let mut categories = Vec::new();
        let mut values = Vec::new();
        for (name, value) in scores {
            categories.push(name.extract::<String>()?);
            values.push(value.extract::<f32>()?);
        }
        Ok(Self {
            flagged,
            category,
            score: values.iter().copied().fold(0.0, f32::max),
            language,
            tokens,
            tokens_scored,
            windows,
            partial,
            span,
            values,
            categories: categories.into(),
        })
    }

    /// The score of every category, by its name: a probability in [0, 1].
    #[getter]
    fn scores<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let scores = PyDict::new(py);
        for (name, value) in self.categories.iter().zip(&self.values) {
            scores.set_item(name, value)?;
        }
        Ok(scores)
    }

    /// All fields, as values that json.dumps takes.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        fields.set_item("flagged", self.flagged)?;
        fields.set_item("category", &self.category)?;
        fields.set_item("score", self.score)?;
        fields.set_item("scores", self.scores(py)?)?;
        fields.set_item("language", &self.language)?;
        fields.set_item("tokens", self.tokens)?;
        fields.set_item("tokens_scored", self.tokens_scored)?;
        fields.set_item("windows", self.windows)?;
        fields.set_item("partial", self.partial)?;
        let span = PyDict::new(py);
        span.set_item("part", &self.span.part)?;
        span.set_item("start", self.span.start)?;
        span.set_item("end", self.span.end)?;
        fields.set_item("span", span)?;
        Ok(fields)
    }

    fn __bool__(&self) -> PyResult<bool> {
        Err(PyTypeError::new_err(
            "a Verdict has no truth value, because true could mean safe or unsafe; look at .flagged",
        ))
    }

    fn __repr__(&self) -> String {
        let highest = self.values.iter().zip(self.categories.iter());
        let highest = highest.max_by(|a, b| a.0.total_cmp(b.0));
        let (score, name) = match (&self.category, highest) {
            (Some(category), _) => {
                let at = self.categories.iter().position(|name| name == category);
                (
                    at.map_or(self.score, |at| self.values[at]),
                    category.as_str(),
                )
            }
            (None, Some((score, name))) => (*score, name.as_str()),
            (None, None) => (0.0, "no category"),
        };
        let word = if self.flagged { "unsafe" } else { "safe" };
        let partial = match self.partial {
            true => format!(", {} scored", self.tokens_scored),
            false => String::new(),
        };
        format!(
            "<Verdict {word}: {name} {score:.2}, language {}, {} tokens{partial}>",
            self.language, self.tokens
        )
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let verdict = slf.get();
        let fields = (
            verdict.flagged,
            verdict.category.clone(),
            verdict.scores(slf.py())?,
            verdict.language.clone(),
            verdict.tokens,
            verdict.tokens_scored,
            verdict.windows,
            verdict.partial,
            verdict.span.clone(),
        );
        Ok((
            slf.get_type().into_any(),
            fields.into_pyobject(slf.py())?.into_any(),
        ))
    }
}

//! Texts as Python gives them.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyString;

use crate::error::Failure;

/// The text of a `str`, without a copy; `what` names the argument.
///
/// Half of a surrogate pair is an error: it stands for no character, and has no UTF-8.
pub fn text(what: &str, value: &Bound<'_, PyAny>) -> PyResult<PyBackedStr> {
    let Ok(string) = value.cast::<PyString>() else {
        let found = value.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "{what} is a {found}; expected a str"
        )));
    };
    PyBackedStr::try_from(string.clone()).map_err(|cause| {
        Failure::argument(format!(
            "{what} is not text: {}; replace what is no character first, as in \
             text.encode(\"utf-8\", \"replace\").decode()",
            cause.value(value.py())
        ))
        .into()
    })
}

/// The same of what may be `None`.
pub fn optional_text(
    what: &str,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<PyBackedStr>> {
    let given = value.filter(|value| !value.is_none());
    given.map(|value| text(what, value)).transpose()
}

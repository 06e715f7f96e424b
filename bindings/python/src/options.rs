//! The keyword arguments that say how a text is checked: `CheckOptions` of `_native.pyi`.

use std::collections::{BTreeMap, BTreeSet};

use duoguard::{CheckOptions, Coverage, Join};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::Failure;

const NAMES: &str = "join, max_tokens, target_fpr, literal, thresholds, allowed";

/// Reads the keyword arguments; an argument that is not known is an error.
pub fn check_options(given: Option<&Bound<'_, PyDict>>) -> PyResult<CheckOptions> {
    let mut options = CheckOptions::default();
    for (name, value) in given.into_iter().flatten() {
        let name: String = name.extract()?;
        match name.as_str() {
            "join" => options.join = join(&value.extract::<String>()?)?,
            "max_tokens" => {
                options.coverage = match value.extract::<Option<usize>>()? {
                    Some(max_tokens) => Coverage::Partial { max_tokens },
                    None => Coverage::Full,
                }
            }
            "target_fpr" => options.target_fpr = value.extract()?,
            "literal" => options.normalize = !value.extract::<bool>()?,
            "thresholds" => {
                let thresholds = value.extract::<Option<BTreeMap<String, f32>>>()?;
                options.thresholds = thresholds.unwrap_or_default();
            }
            "allowed" => {
                let texts = value.try_iter()?;
                let texts = texts.map(|text| text?.extract::<String>());
                options.allowed = texts.collect::<PyResult<BTreeSet<_>>>()?;
            }
            other => {
                return Err(PyTypeError::new_err(format!(
                    "{other:?} is no option of a check; expected one of {NAMES}"
                )));
            }
        }
    }
    Ok(options)
}

fn join(name: &str) -> Result<Join, Failure> {
    match name {
        "space" => Ok(Join::Space),
        "newline" => Ok(Join::Newline),
        "separate" => Ok(Join::Separate),
        other => Err(Failure::argument(format!(
            "join is {other:?}; expected \"space\", \"newline\" or \"separate\""
        ))),
    }
}

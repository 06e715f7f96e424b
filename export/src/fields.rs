//! Reading the fields of a `config.json`: errors name the field, what was found and what was
//! expected.

use serde_json::{Map, Value};

/// No size in a `config.json` may exceed this: products of three of them fit in 64 bits.
const MAX_SIZE: u64 = 1 << 20;
/// The fields of a JSON object.
pub(crate) struct Fields<'a>(pub(crate) &'a Map<String, Value>);

impl Fields<'_> {
    /// A field that is there and not null.
    pub(crate) fn given(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A number of things, which must be there.
    pub(crate) fn size(&self, name: &str) -> Result<usize, String> {
        let value = self
            .0
            .get(name)
            .ok_or_else(|| format!("{name} is missing"))?;
        value
            .as_u64()
            .filter(|size| (1..=MAX_SIZE).contains(size))
            .map(|size| size as usize)
            .ok_or_else(|| format!("{name} is {value}; expected an integer of 1 to {MAX_SIZE}"))
    }

    /// A positive number, which may be absent.
    pub(crate) fn positive(&self, name: &str) -> Result<Option<f64>, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_f64()
                .filter(|number| *number > 0.0 && number.is_finite())
                .map(Some)
                .ok_or_else(|| format!("{name} is {value}; expected a positive number")),
        }
    }
}

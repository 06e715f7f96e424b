//! The metadata of a GGUF file: keys and their values, read by type. Errors name the key, what was
//! expected and what was found.

use std::collections::BTreeMap;
use std::fmt;

/// No size in the metadata may exceed this, as in a `config.json`.
const MAX_SIZE: u64 = 1 << 20;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
    Flag(bool),
    Text(String),
    Texts(Vec<String>),
    Integers(Vec<i64>),
    Floats(Vec<f32>),
    /// An array of a kind that nothing here reads; its bytes were skipped.
    Other(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(value) => write!(f, "{value}"),
            Self::Signed(value) => write!(f, "{value}"),
            Self::F32(value) => write!(f, "{value}"),
            Self::F64(value) => write!(f, "{value}"),
            Self::Flag(value) => write!(f, "{value}"),
            Self::Text(value) if value.chars().count() <= 60 => write!(f, "{value:?}"),
            Self::Text(value) => write!(f, "a text of {} bytes", value.len()),
            Self::Texts(values) => write!(f, "an array of {} strings", values.len()),
            Self::Integers(values) => write!(f, "an array of {} integers", values.len()),
            Self::Floats(values) => write!(f, "an array of {} numbers", values.len()),
            Self::Other(kind) => write!(f, "an array of {kind}"),
        }
    }
}

/// Every key of the file with its value.
#[derive(Debug, Default)]
pub(crate) struct Metadata(pub(crate) BTreeMap<String, Value>);

impl Metadata {
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, String> {
        self.read(key, "a string", |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, String> {
        self.read(key, "true or false", |value| match value {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    pub(crate) fn texts(&self, key: &str) -> Result<Option<&[String]>, String> {
        self.read(key, "an array of strings", |value| match value {
            Value::Texts(texts) => Some(texts.as_slice()),
            _ => None,
        })
    }

    pub(crate) fn integers(&self, key: &str) -> Result<Option<&[i64]>, String> {
        self.read(key, "an array of integers", |value| match value {
            Value::Integers(integers) => Some(integers.as_slice()),
            _ => None,
        })
    }

    pub(crate) fn floats(&self, key: &str) -> Result<Option<&[f32]>, String> {
        self.read(key, "an array of 32-bit floats", |value| match value {
            Value::Floats(floats) => Some(floats.as_slice()),
            _ => None,
        })
    }

    /// An integer of 0 or more.
    pub(crate) fn count(&self, key: &str) -> Result<Option<u64>, String> {
        self.read(key, "an integer of at least 0", |value| match value {
            Value::Unsigned(count) => Some(*count),
            Value::Signed(count) => u64::try_from(*count).ok(),
            _ => None,
        })
    }

    /// A number of things: one or more.
    pub(crate) fn size(&self, key: &str) -> Result<Option<u64>, String> {
        match self.count(key)? {
            Some(size) if !(1..=MAX_SIZE).contains(&size) => Err(format!(
                "{key} is {size}; expected an integer of 1 to {MAX_SIZE}"
            )),
            size => Ok(size),
        }
    }

    /// A positive number. Those of 32 bits are taken as the decimal that they were written for:
    /// 0.00001, not 0.000009999999747378752.
    pub(crate) fn positive(&self, key: &str) -> Result<Option<f64>, String> {
        self.read(key, "a positive number", |value| {
            let number = match value {
                Value::F32(number) => number.to_string().parse().ok()?,
                Value::F64(number) => *number,
                Value::Unsigned(number) => *number as f64,
                _ => return None,
            };
            (number > 0.0 && number.is_finite()).then_some(number)
        })
    }

    fn read<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.0.get(key) else {
            return Ok(None);
        };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(format!("{key} is {value}; expected {expected}")),
        }
    }
}

/// The value of a key that must be there.
pub(crate) fn required<T>(key: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| format!("{key} is missing from the metadata; convert the model again"))
}

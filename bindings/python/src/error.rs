//! Failures, and the exceptions that they are in Python.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use duoguard::ErrorKind;
use pyo3::prelude::*;

/// The exceptions, which `python/duoguard/_errors.py` defines.
mod exceptions {
    #![allow(missing_docs, reason = "the macro's items; _errors.py documents them")]
    pyo3::import_exception!(duoguard._errors, InvalidArgumentError);
    pyo3::import_exception!(duoguard._errors, BundleReadError);
    pyo3::import_exception!(duoguard._errors, InvalidModelError);
    pyo3::import_exception!(duoguard._errors, UnsupportedError);
    pyo3::import_exception!(duoguard._errors, EngineError);
    pyo3::import_exception!(duoguard._errors, OutOfMemoryError);
    pyo3::import_exception!(duoguard._errors, PanicError);
}

/// Why a call failed, as the C header tells statuses apart.
#[derive(Clone, Debug)]
pub struct Failure {
    status: Status,
    pub message: String,
}

#[derive(Clone, Copy, Debug)]
enum Status {
    InvalidArgument,
    Io,
    InvalidModel,
    Unsupported,
    Engine,
    OutOfMemory,
    Panic,
}

impl Failure {
    pub fn argument(message: impl Into<String>) -> Self {
        Self::new(Status::InvalidArgument, message)
    }

    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Status::Unsupported, message)
    }

    fn new(status: Status, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, message }
    }

    /// Whether what was in use can only be dropped.
    pub fn is_panic(&self) -> bool {
        matches!(self.status, Status::Panic)
    }

    /// The same, of one row of a batch.
    pub fn of_row(&self, row: usize) -> Self {
        Self::new(self.status, format!("row {row}: {}", self.message))
    }
}

impl From<duoguard::Error> for Failure {
    fn from(error: duoguard::Error) -> Self {
        let status = match error.kind() {
            ErrorKind::InvalidArgument => Status::InvalidArgument,
            ErrorKind::Io => Status::Io,
            ErrorKind::InvalidModel => Status::InvalidModel,
            ErrorKind::Unsupported => Status::Unsupported,
            ErrorKind::OutOfMemory => Status::OutOfMemory,
            // A kind that is not told apart here is the runtime's own failure.
            _ => Status::Engine,
        };
        Self::new(status, error.to_string())
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        let message = failure.message;
        match failure.status {
            Status::InvalidArgument => exceptions::InvalidArgumentError::new_err(message),
            Status::Io => exceptions::BundleReadError::new_err(message),
            Status::InvalidModel => exceptions::InvalidModelError::new_err(message),
            Status::Unsupported => exceptions::UnsupportedError::new_err(message),
            Status::Engine => exceptions::EngineError::new_err(message),
            Status::OutOfMemory => exceptions::OutOfMemoryError::new_err(message),
            Status::Panic => exceptions::PanicError::new_err(message),
        }
    }
}

/// Runs a call of the runtime; a panic is a failure. What the call had borrowed must not be used
/// again then.
pub fn guarded<T>(call: impl FnOnce() -> duoguard::Result<T>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => Ok(result?),
        Err(payload) => Err(Failure::new(
            Status::Panic,
            format!(
                "a defect in duoguard: {}; nothing was checked",
                text_of(&*payload)
            ),
        )),
    }
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    match (
        payload.downcast_ref::<String>(),
        payload.downcast_ref::<&str>(),
    ) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "a panic without a message",
    }
}

//! Panics end here.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(panic = "abort")]
compile_error!(
    "the C library turns panics into DUOGUARD_PANIC, which panic = \"abort\" would make impossible: build it with panic = \"unwind\""
);

/// Runs a call; if it panics, returns the panic's message.
///
/// What the call had borrowed may be half-changed: a session that was running poisons itself, and a
/// model never changes.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    let call = || {
        #[cfg(test)]
        crate::tests::panics::trip(crate::tests::panics::Place::Entry);
        call()
    };
    catch_unwind(AssertUnwindSafe(call)).map_err(message)
}

fn message(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => match payload.downcast_ref::<&str>() {
            Some(message) => (*message).to_owned(),
            None => {
                // Dropping a payload of unknown type could panic again.
                std::mem::forget(payload);
                "a panic without a message".to_owned()
            }
        },
    }
}

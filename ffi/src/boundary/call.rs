//! What every function of the header does: panics end here, a failure becomes a status and a
//! message.

use std::ffi::{CStr, c_char};
use std::ptr;

use crate::failure::Failure;
use crate::message;
use crate::status::Status;
use crate::structs::CError;
use crate::unwind;

/// Runs a call that has a status; writes the message of a failure.
///
/// # Safety
/// `error` is NULL or points to a `duoguard_error` that can be written to.
pub(super) unsafe fn outcome(
    error: *mut CError,
    call: impl FnOnce() -> Result<(), Failure>,
) -> i32 {
    let failure = match unwind::catch(call) {
        Ok(Ok(())) => return Status::Ok as i32,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure::panic(&panic),
    };
    if !error.is_null() {
        let message = message::fitted(&failure.message);
        // SAFETY: the caller's promise; a fitted message is no longer than the buffer.
        unsafe { ptr::copy_nonoverlapping(message.as_ptr(), error.cast::<u8>(), message.len()) };
    }
    failure.status as i32
}

/// Runs a call that has no status; a panic becomes `fallback`.
pub(super) fn value<T>(fallback: T, call: impl FnOnce() -> T) -> T {
    unwind::catch(call).unwrap_or(fallback)
}

/// # Safety
/// `object` is NULL or came out of `Box::into_raw`, and is not used again.
pub(super) unsafe fn free<T>(object: *mut T) {
    if !object.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(object) });
    }
}

pub(super) fn pointer(name: Option<&CStr>) -> *const c_char {
    name.map_or(ptr::null(), CStr::as_ptr)
}

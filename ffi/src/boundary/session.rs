//! `duoguard_session`: made, freed, and what it checks.

use std::ffi::c_char;
use std::ptr;

use super::arguments::required;
use super::call::{free, outcome, pointer, value};
use super::options::{check_options, session_options, text_input};
use super::outputs::Outputs;
use crate::model::ModelHandle;
use crate::session::SessionHandle;
use crate::structs::{CCheckOptions, CError, CInput, COptions, CVerdict};

/// `duoguard_session_new`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_session_new(
    model: *const ModelHandle,
    options: *const COptions,
    out: *mut *mut SessionHandle,
    error: *mut CError,
) -> i32 {
    // SAFETY: `model` is NULL or alive, `options` has the size that it says, `out` and `error` are
    // the caller's, as the header says.
    unsafe {
        outcome(error, || {
            let model = required(model.as_ref(), "model")?;
            let options = session_options(options)?;
            let out = required(ptr::NonNull::new(out), "out")?;
            let session = SessionHandle::new(model, &options)?;
            out.write_unaligned(Box::into_raw(Box::new(session)));
            Ok(())
        })
    }
}

/// `duoguard_session_free`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_session_free(session: *mut SessionHandle) {
    // SAFETY: it came out of `Box::into_raw` here and is freed once, as the header says.
    unsafe { value((), || free(session)) }
}

/// `duoguard_session_engine`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_session_engine(session: *const SessionHandle) -> *const c_char {
    // SAFETY: it is NULL or a session that is alive, as the header says.
    unsafe {
        value(ptr::null(), || {
            pointer(session.as_ref().map(SessionHandle::engine))
        })
    }
}

/// `duoguard_session_check`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_session_check(
    session: *mut SessionHandle,
    input: *const CInput,
    options: *const CCheckOptions,
    scores: *mut f32,
    score_count: usize,
    verdict: *mut CVerdict,
    error: *mut CError,
) -> i32 {
    // SAFETY: `session` is NULL or alive and nobody else uses it, `input` and `options` have the
    // sizes that they say and what they point to is readable, the outputs are writable for their
    // sizes, as the header says.
    unsafe {
        outcome(error, || {
            let session = required(session.as_mut(), "session")?;
            required(ptr::NonNull::new(input.cast_mut()), "input")?;
            let input = text_input(input)?;
            let options = check_options(options, session)?;
            let wanted = Outputs::new(session, scores, score_count, verdict)?;
            wanted.write(&session.check(&input, &options)?)
        })
    }
}

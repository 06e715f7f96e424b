//! `duoguard_stream`: begun, pushed to, finished, freed.

use std::ffi::c_char;
use std::ptr;

use super::arguments::{array, required};
use super::call::{free, outcome, value};
use super::options::stream_options;
use super::outputs::Outputs;
use crate::session::SessionHandle;
use crate::stream::StreamHandle;
use crate::structs::{CError, CStreamOptions, CVerdict};

/// `duoguard_stream_new`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_stream_new(
    session: *mut SessionHandle,
    options: *const CStreamOptions,
    out: *mut *mut StreamHandle,
    error: *mut CError,
) -> i32 {
    // SAFETY: `session` is NULL or alive and nobody else uses it, `options` has the size that it
    // says and what it points to is readable, `out` and `error` are the caller's, as the header
    // says.
    unsafe {
        outcome(error, || {
            let session = required(session.as_mut(), "session")?;
            let out = required(ptr::NonNull::new(out), "out")?;
            let options = stream_options(options, session)?;
            let stream = StreamHandle::new(session, options)?;
            out.write_unaligned(Box::into_raw(Box::new(stream)));
            Ok(())
        })
    }
}

/// `duoguard_stream_uses_cache`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_stream_uses_cache(stream: *const StreamHandle) -> u32 {
    // SAFETY: `stream` is NULL or alive, and nobody changes it meanwhile, as the header says.
    unsafe {
        value(0, || {
            stream
                .as_ref()
                .map_or(0, |stream| stream.uses_cache().into())
        })
    }
}

/// `duoguard_stream_push`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_stream_push(
    stream: *mut StreamHandle,
    session: *mut SessionHandle,
    piece: *const c_char,
    piece_size: usize,
    judged: *mut u32,
    scores: *mut f32,
    score_count: usize,
    verdict: *mut CVerdict,
    error: *mut CError,
) -> i32 {
    // SAFETY: `stream` and `session` are NULL or alive and nobody else uses them, the piece is
    // readable and the outputs writable for their sizes, as the header says.
    unsafe {
        outcome(error, || {
            let stream = required(stream.as_mut(), "stream")?;
            let session = required(session.as_mut(), "session")?;
            let piece = array(piece.cast::<u8>(), piece_size, "piece")?;
            let judged = required(ptr::NonNull::new(judged), "judged")?;
            let wanted = Outputs::new(session, scores, score_count, verdict)?;
            let found = stream.push(session, piece)?;
            if let Some(found) = &found {
                wanted.write(found)?;
            }
            judged.write_unaligned(found.is_some().into());
            Ok(())
        })
    }
}

/// `duoguard_stream_finish`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_stream_finish(
    stream: *mut StreamHandle,
    session: *mut SessionHandle,
    scores: *mut f32,
    score_count: usize,
    verdict: *mut CVerdict,
    error: *mut CError,
) -> i32 {
    // SAFETY: `stream` and `session` are NULL or alive and nobody else uses them, the outputs are
    // writable for their sizes, as the header says.
    unsafe {
        outcome(error, || {
            let stream = required(stream.as_mut(), "stream")?;
            let session = required(session.as_mut(), "session")?;
            let wanted = Outputs::new(session, scores, score_count, verdict)?;
            wanted.write(&stream.finish(session)?)
        })
    }
}

/// `duoguard_stream_free`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_stream_free(stream: *mut StreamHandle) {
    // SAFETY: it came out of `Box::into_raw` here and is freed once, as the header says.
    unsafe { value((), || free(stream)) }
}

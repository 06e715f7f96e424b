//! A panic at every entry becomes a status, and a session that panicked is not used again.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char};
use std::ptr;

use crate::boundary::*;
use crate::status::Status;
use crate::stream::StreamHandle;
use crate::structs::{CError, CInput, CVerdict, Growable};

/// Where a test wants the library to panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// As soon as a function of the header is entered.
    Entry,
    /// While a session checks a text.
    Check,
}

thread_local! {
    static ARMED: Cell<Option<Place>> = const { Cell::new(None) };
}

/// Panics, once, if this thread's test asked for it here.
pub(crate) fn trip(place: Place) {
    if ARMED.get() == Some(place) {
        ARMED.set(None);
        panic!("tripped at {place:?}");
    }
}

fn armed<T>(place: Place, call: impl FnOnce() -> T) -> T {
    ARMED.set(Some(place));
    let result = call();
    assert_eq!(ARMED.take(), None, "the call did not get to {place:?}");
    result
}

fn entered<T>(call: impl FnOnce() -> T) -> T {
    armed(Place::Entry, call)
}

/// A prompt alone.
fn input(prompt: &str) -> CInput {
    CInput {
        struct_size: size_of::<CInput>() as u32,
        prompt: prompt.as_ptr().cast(),
        prompt_size: prompt.len(),
        ..CInput::UNSET
    }
}

struct Opened {
    model: *mut crate::model::ModelHandle,
    session: *mut crate::session::SessionHandle,
}

fn open() -> Opened {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/mini");
    let path = CString::new(path).unwrap();
    let (mut model, mut session) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: as the header says.
    unsafe {
        let status = duoguard_model_open(path.as_ptr(), &mut model, ptr::null_mut());
        assert_eq!(status, Status::Ok as i32);
        let status = duoguard_session_new(model, ptr::null(), &mut session, ptr::null_mut());
        assert_eq!(status, Status::Ok as i32);
    }
    Opened { model, session }
}

impl Opened {
    fn check(&self, error: *mut CError) -> i32 {
        let mut scores = [0.0; 12];
        // SAFETY: as the header says.
        unsafe {
            duoguard_session_check(
                self.session,
                &input("How do I bake bread?"),
                ptr::null(),
                scores.as_mut_ptr(),
                scores.len(),
                ptr::null_mut(),
                error,
            )
        }
    }
}

impl Opened {
    fn begin(&self) -> *mut StreamHandle {
        let mut stream = ptr::null_mut();
        // SAFETY: as the header says.
        let status =
            unsafe { duoguard_stream_new(self.session, ptr::null(), &mut stream, ptr::null_mut()) };
        assert_eq!(status, Status::Ok as i32);
        stream
    }

    fn push(&self, stream: *mut StreamHandle, error: *mut CError) -> i32 {
        let piece = "How do I bake bread?";
        let (mut judged, mut verdict) = (0, CVerdict::empty());
        // SAFETY: as the header says.
        unsafe {
            duoguard_stream_push(
                stream,
                self.session,
                piece.as_ptr().cast(),
                piece.len(),
                &mut judged,
                ptr::null_mut(),
                0,
                &mut verdict,
                error,
            )
        }
    }

    fn finish(&self, stream: *mut StreamHandle, error: *mut CError) -> i32 {
        let mut verdict = CVerdict::empty();
        // SAFETY: as the header says.
        unsafe {
            duoguard_stream_finish(
                stream,
                self.session,
                ptr::null_mut(),
                0,
                &mut verdict,
                error,
            )
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: as the header says.
        unsafe {
            duoguard_session_free(self.session);
            duoguard_model_free(self.model);
        }
    }
}

fn message(error: &CError) -> String {
    // SAFETY: the library wrote it, with a NUL.
    let text = unsafe { CStr::from_ptr(ptr::from_ref(error).cast::<c_char>()) };
    text.to_str().unwrap().to_owned()
}

#[test]
fn entries_with_a_status_return_it() {
    let opened = open();
    let mut error = CError::empty();
    let panic = Status::Panic as i32;
    let error_at = &raw mut error;
    let mut out = ptr::null_mut();
    let mut session = ptr::null_mut();
    // SAFETY: as the header says.
    unsafe {
        assert_eq!(entered(|| duoguard_engine_available(0, error_at)), panic);
        let path = c"nowhere".as_ptr();
        assert_eq!(
            entered(|| duoguard_model_open(path, &mut out, error_at)),
            panic
        );
        assert_eq!(
            entered(|| duoguard_model_open_memory(ptr::null(), 0, &mut out, error_at)),
            panic
        );
        assert_eq!(
            entered(|| duoguard_session_new(opened.model, ptr::null(), &mut session, error_at)),
            panic
        );
        let mut stream = ptr::null_mut();
        assert_eq!(
            entered(|| duoguard_stream_new(opened.session, ptr::null(), &mut stream, error_at)),
            panic
        );
        assert!(stream.is_null());
        assert_eq!(entered(|| opened.push(stream, error_at)), panic);
        assert_eq!(entered(|| opened.finish(stream, error_at)), panic);
    }
    assert_eq!(entered(|| opened.check(error_at)), panic);
    assert!(out.is_null() && session.is_null());
    assert!(
        message(&error).contains("tripped at Entry"),
        "{}",
        message(&error)
    );
    // Nothing had begun: the session is as good as new.
    assert_eq!(opened.check(ptr::null_mut()), Status::Ok as i32);
}

#[test]
fn entries_without_a_status_fall_back() {
    let opened = open();
    let Opened { model, session } = opened;
    assert_eq!(entered(|| duoguard_abi_version()), 0);
    assert!(entered(|| duoguard_version()).is_null());
    assert!(!entered(|| duoguard_status_name(0)).is_null());
    assert_eq!(entered(|| duoguard_engine_count()), 0);
    assert!(entered(|| duoguard_engine_name(0)).is_null());
    // SAFETY: as the header says.
    unsafe {
        assert_eq!(entered(|| duoguard_model_category_count(model)), 0);
        assert!(entered(|| duoguard_model_category_name(model, 0)).is_null());
        assert!(entered(|| duoguard_session_engine(session)).is_null());
        entered(|| duoguard_stream_free(ptr::null_mut()));
        entered(|| duoguard_session_free(ptr::null_mut()));
        entered(|| duoguard_model_free(ptr::null_mut()));
    }
}

#[test]
fn a_session_that_panicked_refuses_work_and_its_model_does_not() {
    let opened = open();
    let panic = Status::Panic as i32;
    let mut error = CError::empty();
    assert_eq!(armed(Place::Check, || opened.check(&raw mut error)), panic);
    assert!(
        message(&error).contains("tripped at Check"),
        "{}",
        message(&error)
    );
    assert_eq!(opened.check(&raw mut error), panic);
    assert!(
        message(&error).contains("free the session"),
        "{}",
        message(&error)
    );
    let mut other = Opened {
        model: ptr::null_mut(),
        session: ptr::null_mut(),
    };
    // SAFETY: as the header says.
    let status = unsafe {
        duoguard_session_new(
            opened.model,
            ptr::null(),
            &mut other.session,
            ptr::null_mut(),
        )
    };
    assert_eq!(status, Status::Ok as i32);
    assert_eq!(other.check(ptr::null_mut()), Status::Ok as i32);
}

#[test]
fn a_stream_that_panicked_refuses_work_with_any_session() {
    let (opened, other) = (open(), open());
    let panic = Status::Panic as i32;
    let mut error = CError::empty();
    let stream = opened.begin();
    let panicked = armed(Place::Check, || opened.finish(stream, &raw mut error));
    assert_eq!(panicked, panic);
    for session in [&opened, &other] {
        assert_eq!(session.push(stream, &raw mut error), panic);
        assert!(
            message(&error).contains("free the stream"),
            "{}",
            message(&error)
        );
    }
    // A session that panicked elsewhere spoils no stream.
    let fresh = other.begin();
    assert_eq!(opened.push(fresh, &raw mut error), panic);
    assert_eq!(other.finish(fresh, ptr::null_mut()), Status::Ok as i32);
    // SAFETY: as the header says.
    unsafe {
        duoguard_stream_free(stream);
        duoguard_stream_free(fresh);
    }
}

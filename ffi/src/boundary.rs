//! The one file that touches the caller's memory: the functions of `include/duoguard.h`.
//!
//! Each turns what it was given into Rust values, calls safe code, and writes its outputs when all
//! has gone well. What the header asks of callers is what makes the `unsafe` here sound. What can
//! be checked is checked: NULL, sizes, alignment, UTF-8.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::mem::{offset_of, size_of};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::{ptr, slice};

use runtime::{Bundle, EngineChoice, Model, SessionOptions, Verdict, engine_info, engine_names};

use crate::failure::Failure;
use crate::message;
use crate::model::ModelHandle;
use crate::session::SessionHandle;
use crate::status::{self, Status};
use crate::stream::StreamHandle;
use crate::structs::{CError, CFile, COptions, CStreamOptions, CVerdict, whole_fields};
use crate::unwind;

/// A `struct_size` beyond this is memory that nobody has initialised.
const MAX_STRUCT_SIZE: usize = 4096;

const ABI_VERSION: &str = env!("DUOGUARD_ABI_VERSION");
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");

/// `duoguard_abi_version`.
#[unsafe(no_mangle)]
pub extern "C" fn duoguard_abi_version() -> u32 {
    value(0, || ABI_VERSION.parse().unwrap_or(0))
}

/// `duoguard_version`.
#[unsafe(no_mangle)]
pub extern "C" fn duoguard_version() -> *const c_char {
    value(ptr::null(), || VERSION.as_ptr().cast())
}

/// `duoguard_status_name`.
#[unsafe(no_mangle)]
pub extern "C" fn duoguard_status_name(status: i32) -> *const c_char {
    value(c"unknown status".as_ptr(), || status::name(status).as_ptr())
}

/// `duoguard_engine_count`.
#[unsafe(no_mangle)]
pub extern "C" fn duoguard_engine_count() -> usize {
    value(0, || engines().len())
}

/// `duoguard_engine_name`.
#[unsafe(no_mangle)]
pub extern "C" fn duoguard_engine_name(index: usize) -> *const c_char {
    value(ptr::null(), || {
        pointer(engines().get(index).map(CString::as_c_str))
    })
}

/// `duoguard_engine_available`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_engine_available(index: usize, error: *mut CError) -> i32 {
    let call = || {
        let name = engine_names().nth(index);
        let info = name.and_then(engine_info).ok_or_else(|| {
            Failure::argument(format!(
                "index is {index}; expected less than duoguard_engine_count(), which is {}",
                engines().len()
            ))
        })?;
        if info.available {
            return Ok(());
        }
        let message = format!("engine {}: {}", info.name, info.detail);
        Err(Failure::new(Status::Unsupported, message))
    };
    // SAFETY: `error` is the caller's, as the header says.
    unsafe { outcome(error, call) }
}

/// `duoguard_model_open`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_model_open(
    path: *const c_char,
    out: *mut *mut ModelHandle,
    error: *mut CError,
) -> i32 {
    // SAFETY: `path` ends in NUL, `out` and `error` are the caller's to write to, as the header
    // says.
    unsafe {
        outcome(error, || {
            let path = folder(required(string(path), "path")?)?;
            let out = required(ptr::NonNull::new(out), "out")?;
            let model = ModelHandle::new(Model::open(path)?)?;
            out.write_unaligned(Box::into_raw(Box::new(model)));
            Ok(())
        })
    }
}

/// `duoguard_model_open_memory`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_model_open_memory(
    files: *const CFile,
    file_count: usize,
    out: *mut *mut ModelHandle,
    error: *mut CError,
) -> i32 {
    // SAFETY: `files`, the names and the bytes in it are readable during the call, `out` and
    // `error` are the caller's, as the header says.
    unsafe {
        outcome(error, || {
            let out = required(ptr::NonNull::new(out), "out")?;
            let mut given = Vec::new();
            for (index, file) in array(files, file_count, "files")?.iter().enumerate() {
                let field = format!("files[{index}].name");
                let name = utf8(required(string(file.name), &field)?.to_bytes(), &field)?;
                let data = array(file.data.cast::<u8>(), file.size, &format!("{name}: data"))?;
                given.push((name, data));
            }
            let model = ModelHandle::new(Model::from_bundle(Bundle::from_memory(given)?)?)?;
            out.write_unaligned(Box::into_raw(Box::new(model)));
            Ok(())
        })
    }
}

/// `duoguard_model_free`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_model_free(model: *mut ModelHandle) {
    // SAFETY: it came out of `Box::into_raw` here and is freed once, as the header says.
    unsafe { value((), || free(model)) }
}

/// `duoguard_model_category_count`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_model_category_count(model: *const ModelHandle) -> usize {
    // SAFETY: it is NULL or a model that is alive, as the header says.
    unsafe { value(0, || model.as_ref().map_or(0, ModelHandle::category_count)) }
}

/// `duoguard_model_category_name`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_model_category_name(
    model: *const ModelHandle,
    index: usize,
) -> *const c_char {
    // SAFETY: it is NULL or a model that is alive, as the header says.
    unsafe {
        value(ptr::null(), || {
            pointer(model.as_ref().and_then(|model| model.category_name(index)))
        })
    }
}

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

/// `duoguard_session_set_language`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_session_set_language(
    session: *mut SessionHandle,
    tag: *const c_char,
    error: *mut CError,
) -> i32 {
    // SAFETY: `session` is NULL or alive and nobody else uses it, `tag` ends in NUL, `error` is the
    // caller's, as the header says.
    unsafe {
        outcome(error, || {
            let session = required(session.as_mut(), "session")?;
            let tag = string(tag).map(|tag| utf8(tag.to_bytes(), "tag"));
            session.set_language(tag.transpose()?)
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
    prompt: *const c_char,
    prompt_size: usize,
    response: *const c_char,
    response_size: usize,
    scores: *mut f32,
    score_count: usize,
    verdict: *mut CVerdict,
    error: *mut CError,
) -> i32 {
    // SAFETY: `session` is NULL or alive and nobody else uses it, the texts are readable and the
    // outputs writable for their sizes, as the header says.
    unsafe {
        outcome(error, || {
            let session = required(session.as_mut(), "session")?;
            let prompt = text(prompt, prompt_size, "prompt")?;
            let response = match (response.is_null(), response_size) {
                (true, 0) => None,
                _ => Some(text(response, response_size, "response")?),
            };
            let wanted = Outputs::new(session, scores, score_count, verdict)?;
            wanted.write(&session.check(prompt, response)?)
        })
    }
}

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
    // says and its prompt is readable, `out` and `error` are the caller's, as the header says.
    unsafe {
        outcome(error, || {
            let session = required(session.as_mut(), "session")?;
            let out = required(ptr::NonNull::new(out), "out")?;
            let unset = CStreamOptions {
                struct_size: 0,
                debounce_bytes: 0,
                prompt: ptr::null(),
                prompt_size: 0,
                rescore: 0,
                reserved: 0,
            };
            let given = known_options(options, unset, &CStreamOptions::ENDS, "stream_options")?;
            let prompt = match (given.prompt.is_null(), given.prompt_size) {
                (true, 0) => None,
                (_, size) => Some(text(given.prompt, size, "stream_options.prompt")?),
            };
            let debounce = match given.debounce_bytes {
                0 => None,
                bytes => Some(bytes as usize),
            };
            if given.rescore > 1 || given.reserved != 0 {
                let message = "stream_options.rescore is 0 or 1, and stream_options.reserved 0, in this library; expected that, or a newer library";
                return Err(Failure::new(Status::Unsupported, message));
            }
            let cache = given.rescore == 0;
            let stream = StreamHandle::new(session, prompt, debounce, cache)?;
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

/// Where the results of a check go, found fit to take them before it starts.
struct Outputs {
    scores: *mut f32,
    verdict: *mut CVerdict,
    verdict_size: usize,
}

impl Outputs {
    /// # Safety
    /// `verdict` is NULL or has the size that it says.
    unsafe fn new(
        session: &SessionHandle,
        scores: *mut f32,
        score_count: usize,
        verdict: *mut CVerdict,
    ) -> Result<Self, Failure> {
        let categories = session.category_count();
        if scores.is_null() && score_count != 0 {
            return Err(Failure::argument(format!(
                "scores is NULL, but score_count is {score_count}; expected room for {categories} scores, or NULL and 0"
            )));
        }
        if !scores.is_null() && score_count != categories {
            return Err(Failure::argument(format!(
                "score_count is {score_count}; expected {categories}, the model's category count"
            )));
        }
        if scores.is_null() && verdict.is_null() {
            return Err(Failure::argument(
                "both scores and verdict are NULL; expected a place for the result",
            ));
        }
        let verdict_size = match verdict.is_null() {
            true => 0,
            // SAFETY: the caller's promise.
            false => unsafe { struct_size(verdict.cast(), "verdict", CVerdict::ENDS[0])? },
        };
        Ok(Self {
            scores,
            verdict,
            verdict_size,
        })
    }

    /// # Safety
    /// `scores` is NULL or has room for a score per category; `verdict` is NULL or has the size
    /// that it says.
    unsafe fn write(&self, found: &Verdict) -> Result<(), Failure> {
        // Made before anything is written: this can still fail.
        let verdict = CVerdict::new(found)?;
        if !self.scores.is_null() {
            let bytes = size_of_val(found.scores.as_slice());
            // SAFETY: there is room, and as bytes they need no alignment.
            unsafe {
                ptr::copy_nonoverlapping(
                    found.scores.as_ptr().cast(),
                    self.scores.cast::<u8>(),
                    bytes,
                );
            }
        }
        if !self.verdict.is_null() {
            // `struct_size` stays what the caller set.
            let start = offset_of!(CVerdict, flagged);
            let end = whole_fields(&CVerdict::ENDS, self.verdict_size);
            let from = (&raw const verdict).cast::<u8>();
            let to = self.verdict.cast::<u8>();
            let unknown = self.verdict_size.saturating_sub(size_of::<CVerdict>());
            // SAFETY: `end` lies within both structs, and `unknown` bytes within the caller's.
            unsafe {
                ptr::copy_nonoverlapping(from.add(start), to.add(start), end - start);
                to.add(self.verdict_size - unknown).write_bytes(0, unknown);
            }
        }
        Ok(())
    }
}

/// # Safety
/// `options` is NULL or has the size that it says, and its engine is NULL or ends in NUL.
unsafe fn session_options(options: *const COptions) -> Result<SessionOptions, Failure> {
    let unset = COptions {
        struct_size: 0,
        threads: 0,
        engine: ptr::null(),
    };
    // SAFETY: the caller's promise.
    let (given, engine) = unsafe {
        let given = known_options(options, unset, &COptions::ENDS, "options")?;
        (given, string(given.engine))
    };
    let engine = match engine {
        None => EngineChoice::Auto,
        Some(name) => match utf8(name.to_bytes(), "options.engine")?.parse() {
            Ok(choice) => choice,
            Err(never) => match never {},
        },
    };
    let defaults = SessionOptions::default();
    Ok(SessionOptions {
        engine,
        threads: NonZeroUsize::new(given.threads as usize).unwrap_or(defaults.threads),
    })
}

/// The caller's options: `unset` where `options` is NULL, and in fields that an older caller does
/// not have.
///
/// # Safety
/// `options` is NULL or has the size that it says; `T` is one of the header's structs, whose every
/// bit pattern is a value.
unsafe fn known_options<T: Copy>(
    options: *const T,
    unset: T,
    ends: &[usize],
    name: &str,
) -> Result<T, Failure> {
    let mut known = unset;
    if options.is_null() {
        return Ok(known);
    }
    // SAFETY: the caller's promise; what is copied and looked at lies within the size.
    let (size, unknown) = unsafe {
        let size = struct_size(options.cast(), name, ends[0])?;
        let from = options.cast::<u8>();
        let end = whole_fields(ends, size);
        ptr::copy_nonoverlapping(from, (&raw mut known).cast::<u8>(), end);
        let end = size.min(size_of::<T>());
        (size, slice::from_raw_parts(from.add(end), size - end))
    };
    if unknown.iter().any(|byte| *byte != 0) {
        return Err(Failure::new(
            Status::Unsupported,
            format!(
                "{name} has {size} bytes, and sets an option beyond the {} that this library ({}) knows; expected zeros there, or a newer library",
                size_of::<T>(),
                env!("CARGO_PKG_VERSION")
            ),
        ));
    }
    Ok(known)
}

/// The `struct_size` of the caller's struct, at least `least` bytes.
///
/// # Safety
/// `size` can be read.
unsafe fn struct_size(size: *const u32, name: &str, least: usize) -> Result<usize, Failure> {
    // SAFETY: the caller's promise.
    let size = unsafe { size.read_unaligned() } as usize;
    if (least..=MAX_STRUCT_SIZE).contains(&size) {
        return Ok(size);
    }
    Err(Failure::argument(format!(
        "{name}.struct_size is {size}; expected sizeof(duoguard_{name}), and at least {least}: start from DUOGUARD_{}_INIT",
        name.to_uppercase()
    )))
}

/// # Safety
/// `pointer` is NULL or points to `size` readable bytes that stay as they are while the result is
/// used.
unsafe fn text<'a>(pointer: *const c_char, size: usize, name: &str) -> Result<&'a str, Failure> {
    // SAFETY: the caller's promise.
    utf8(unsafe { array(pointer.cast(), size, name)? }, name)
}

fn utf8<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, Failure> {
    str::from_utf8(bytes).map_err(|cause| {
        let at = cause.valid_up_to();
        Failure::argument(format!(
            "{name} is not UTF-8: byte {at} of {} is 0x{:02x}; convert it to UTF-8 first",
            bytes.len(),
            bytes[at]
        ))
    })
}

/// # Safety
/// `pointer` is NULL or points to `count` items that stay as they are while the result is used.
unsafe fn array<'a, T>(pointer: *const T, count: usize, name: &str) -> Result<&'a [T], Failure> {
    let fits = count
        .checked_mul(size_of::<T>())
        .is_some_and(|bytes| bytes <= isize::MAX as usize);
    let refused = |what: &str| Err(Failure::argument(format!("{name}: {what}")));
    match (pointer.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => refused(&format!(
            "the pointer is NULL, but its size is {count}; expected NULL with 0 only"
        )),
        _ if !fits => refused(&format!("the size is {count}, more than memory can hold")),
        _ if !pointer.is_aligned() => refused("the pointer is not aligned"),
        // SAFETY: the caller's promise, and the checks above.
        _ => Ok(unsafe { slice::from_raw_parts(pointer, count) }),
    }
}

/// # Safety
/// `pointer` is NULL or points to bytes that end in NUL and stay as they are while the result is
/// used.
unsafe fn string<'a>(pointer: *const c_char) -> Option<&'a CStr> {
    // SAFETY: the caller's promise.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) })
}

#[cfg(unix)]
fn folder(path: &CStr) -> Result<PathBuf, Failure> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::OsStr::from_bytes(path.to_bytes()).into())
}

#[cfg(not(unix))]
fn folder(path: &CStr) -> Result<PathBuf, Failure> {
    utf8(path.to_bytes(), "path").map(PathBuf::from)
}

fn required<T>(given: Option<T>, name: &str) -> Result<T, Failure> {
    given.ok_or_else(|| Failure::argument(format!("{name} is NULL; expected a pointer")))
}

/// # Safety
/// `object` is NULL or came out of `Box::into_raw`, and is not used again.
unsafe fn free<T>(object: *mut T) {
    if !object.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(object) });
    }
}

fn pointer(name: Option<&CStr>) -> *const c_char {
    name.map_or(ptr::null(), CStr::as_ptr)
}

/// The engines' names in the form that C reads: made once, never changed.
fn engines() -> &'static [CString] {
    static NAMES: OnceLock<Vec<CString>> = OnceLock::new();
    NAMES.get_or_init(|| {
        engine_names()
            .map(|name| CString::new(name).unwrap_or_default())
            .collect()
    })
}

/// Runs a call that has a status; writes the message of a failure.
///
/// # Safety
/// `error` is NULL or points to a `duoguard_error` that can be written to.
unsafe fn outcome(error: *mut CError, call: impl FnOnce() -> Result<(), Failure>) -> i32 {
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
fn value<T>(fallback: T, call: impl FnOnce() -> T) -> T {
    unwind::catch(call).unwrap_or(fallback)
}

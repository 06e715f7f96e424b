//! Texts, arrays, names and pointers as the caller gives them: NULL, sizes, alignment and UTF-8 are
//! checked here.

use std::ffi::{CStr, c_char};
use std::mem::size_of;
use std::path::PathBuf;
use std::slice;

use crate::failure::Failure;

/// # Safety
/// `pointer` is NULL or points to `size` readable bytes that stay as they are while the result is
/// used.
pub(super) unsafe fn text<'a>(
    pointer: *const c_char,
    size: usize,
    name: &str,
) -> Result<&'a str, Failure> {
    // SAFETY: the caller's promise.
    utf8(unsafe { array(pointer.cast(), size, name)? }, name)
}

/// Text that need not be there: NULL with size 0 is none.
///
/// # Safety
/// `pointer` is NULL or points to `size` readable bytes that stay as they are while the result is
/// used.
pub(super) unsafe fn optional_text<'a>(
    pointer: *const c_char,
    size: usize,
    name: &str,
) -> Result<Option<&'a str>, Failure> {
    match (pointer.is_null(), size) {
        (true, 0) => Ok(None),
        // SAFETY: the caller's promise.
        _ => unsafe { text(pointer, size, name).map(Some) },
    }
}

pub(super) fn utf8<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, Failure> {
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
pub(super) unsafe fn array<'a, T>(
    pointer: *const T,
    count: usize,
    name: &str,
) -> Result<&'a [T], Failure> {
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
pub(super) unsafe fn string<'a>(pointer: *const c_char) -> Option<&'a CStr> {
    // SAFETY: the caller's promise.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) })
}

/// The tag of a language, if there is one.
///
/// # Safety
/// `tag` is NULL or points to bytes that end in NUL and stay as they are while the result is used.
pub(super) unsafe fn language<'a>(
    tag: *const c_char,
    name: &str,
) -> Result<Option<&'a str>, Failure> {
    // SAFETY: the caller's promise.
    let tag = unsafe { string(tag) };
    tag.map(|tag| utf8(tag.to_bytes(), name)).transpose()
}

#[cfg(unix)]
pub(super) fn folder(path: &CStr) -> Result<PathBuf, Failure> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::OsStr::from_bytes(path.to_bytes()).into())
}

#[cfg(not(unix))]
pub(super) fn folder(path: &CStr) -> Result<PathBuf, Failure> {
    utf8(path.to_bytes(), "path").map(PathBuf::from)
}

pub(super) fn required<T>(given: Option<T>, name: &str) -> Result<T, Failure> {
    given.ok_or_else(|| Failure::argument(format!("{name} is NULL; expected a pointer")))
}

//! duoguard as WebAssembly: what `index.js` calls.
//!
//! Every value passes through the module's memory. A call leaves its answer in one place, JSON of
//! `{"ok": ...}` or `{"status": ..., "message": ...}`, which `answer` and `answer_size` name and
//! the next call replaces. A panic is a trap; the instance cannot be used afterwards.

mod calls;
mod host;
mod state;

use std::slice;

/// Makes room for `size` bytes, which the caller fills and the call that takes them frees.
#[unsafe(no_mangle)]
pub extern "C" fn allocate(size: usize) -> *mut u8 {
    Box::leak(vec![0; size].into_boxed_slice()).as_mut_ptr()
}

/// The bytes of an `allocate`, owned again.
///
/// # Safety
/// They came of `allocate` with the same size, and were not taken before.
unsafe fn taken(at: *mut u8, size: usize) -> Box<[u8]> {
    // SAFETY: as the caller promises.
    unsafe { Box::from_raw(slice::from_raw_parts_mut(at, size)) }
}

/// Takes a file of the bundle: its name and its bytes.
///
/// # Safety
/// Both came of `allocate`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn file(name: *mut u8, name_size: usize, data: *mut u8, size: usize) {
    // SAFETY: as the caller promises.
    let (name, data) = unsafe { (taken(name, name_size), taken(data, size)) };
    state::with(|state| state.add_file(&name, data));
}

/// Opens the files that were taken, as a JSON object says.
///
/// # Safety
/// The text came of `allocate`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(opening: *mut u8, size: usize) {
    // SAFETY: as the caller promises.
    let opening = unsafe { taken(opening, size) };
    host::keep_panics();
    state::answer(calls::open, &opening);
}

/// Checks the input that a JSON object describes.
///
/// # Safety
/// The text came of `allocate`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn check(request: *mut u8, size: usize) {
    // SAFETY: as the caller promises.
    let request = unsafe { taken(request, size) };
    state::answer(calls::check, &request);
}

/// Begins a stream, as a JSON object says; the answer is its number.
///
/// # Safety
/// The text came of `allocate`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_new(request: *mut u8, size: usize) {
    // SAFETY: as the caller promises.
    let request = unsafe { taken(request, size) };
    state::answer(calls::stream_new, &request);
}

/// Takes the next bytes of a stream; the answer is a verdict or null.
///
/// # Safety
/// The bytes came of `allocate`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_push(stream: u32, piece: *mut u8, size: usize) {
    // SAFETY: as the caller promises.
    let piece = unsafe { taken(piece, size) };
    state::answer(
        |state, piece| calls::stream_push(state, stream, piece),
        &piece,
    );
}

/// The verdict on a stream's whole text.
#[unsafe(no_mangle)]
pub extern "C" fn stream_finish(stream: u32) {
    state::answer(|state, _| calls::stream_finish(state, stream), &[]);
}

/// Forgets a stream.
#[unsafe(no_mangle)]
pub extern "C" fn stream_free(stream: u32) {
    state::with(|state| drop(state.streams.remove(&stream)));
}

/// Where the last answer is.
#[unsafe(no_mangle)]
pub extern "C" fn answer() -> *const u8 {
    state::with(|state| state.answer.as_ptr())
}

/// How many bytes the last answer has.
#[unsafe(no_mangle)]
pub extern "C" fn answer_size() -> usize {
    state::with(|state| state.answer.len())
}

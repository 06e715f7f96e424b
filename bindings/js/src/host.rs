//! What the module asks of JavaScript, and what it leaves there when it ends in a panic.

use std::panic;
use std::sync::Mutex;

#[link(wasm_import_module = "duoguard")]
unsafe extern "C" {
    /// Fills memory with random bytes: `crypto.getRandomValues`.
    fn random(at: *mut u8, size: usize);
}

/// Where `getrandom` 0.3 and 0.4 are told to look (`--cfg getrandom_backend="custom"`); their
/// errors are the same number.
///
/// # Safety
/// `at` points to `size` bytes that may be written.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    at: *mut u8,
    size: usize,
) -> Result<(), getrandom::Error> {
    // SAFETY: as the caller promises.
    unsafe { random(at, size) };
    Ok(())
}

static PANIC: Mutex<String> = Mutex::new(String::new());

/// Keeps the words of a panic, which is a trap: JavaScript reads them then.
pub fn keep_panics() {
    panic::set_hook(Box::new(|info| {
        if let Ok(mut kept) = PANIC.try_lock() {
            *kept = info.to_string();
        }
    }));
}

/// Where the words of the last panic are.
#[unsafe(no_mangle)]
pub extern "C" fn panic_message() -> *const u8 {
    PANIC
        .try_lock()
        .map_or(std::ptr::null(), |kept| kept.as_ptr())
}

/// How many bytes they have; 0 if there was none.
#[unsafe(no_mangle)]
pub extern "C" fn panic_message_size() -> usize {
    PANIC.try_lock().map_or(0, |kept| kept.len())
}

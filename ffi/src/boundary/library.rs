//! Versions, statuses and engines: what needs no model.

use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::OnceLock;

use runtime::{engine_info, engine_names};

use super::call::{outcome, pointer, value};
use crate::failure::Failure;
use crate::status::{self, Status};
use crate::structs::CError;

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

/// The engines' names in the form that C reads: made once, never changed.
fn engines() -> &'static [CString] {
    static NAMES: OnceLock<Vec<CString>> = OnceLock::new();
    NAMES.get_or_init(|| {
        engine_names()
            .map(|name| CString::new(name).unwrap_or_default())
            .collect()
    })
}

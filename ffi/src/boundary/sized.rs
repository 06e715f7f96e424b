//! Structs that can grow, as an older or a newer caller has them.

use std::mem::size_of;
use std::{ptr, slice};

use crate::failure::Failure;
use crate::status::Status;
use crate::structs::{Growable, whole_fields};

/// A `struct_size` beyond this is memory that nobody has initialised.
const MAX_STRUCT_SIZE: usize = 4096;

/// What the caller set: the defaults where `given` is NULL, and in fields that an older caller does
/// not have.
///
/// # Safety
/// `given` is NULL or has the size that it says.
pub(super) unsafe fn known<T: Growable>(given: *const T) -> Result<T, Failure> {
    let mut known = T::UNSET;
    if given.is_null() {
        return Ok(known);
    }
    // SAFETY: the caller's promise; what is copied and looked at lies within the size, and any
    // bytes are a `T`.
    let (size, unknown) = unsafe {
        let size = struct_size(given.cast(), T::NAME, T::ENDS[0])?;
        let from = given.cast::<u8>();
        let end = whole_fields(T::ENDS, size);
        ptr::copy_nonoverlapping(from, (&raw mut known).cast::<u8>(), end);
        let end = size.min(size_of::<T>());
        (size, slice::from_raw_parts(from.add(end), size - end))
    };
    if unknown.iter().any(|byte| *byte != 0) {
        return Err(Failure::new(
            Status::Unsupported,
            format!(
                "{} has {size} bytes, and sets a field beyond the {} that this library ({}) knows; expected zeros there, or a newer library",
                T::NAME,
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
pub(super) unsafe fn struct_size(
    size: *const u32,
    name: &str,
    least: usize,
) -> Result<usize, Failure> {
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

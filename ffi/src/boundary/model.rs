//! `duoguard_model`: opened, asked, freed.

use std::ffi::c_char;
use std::ptr;

use runtime::{Bundle, Model};

use super::arguments::{array, folder, required, string, utf8};
use super::call::{free, outcome, pointer, value};
use super::options::model_options;
use crate::model::ModelHandle;
use crate::structs::{CError, CFile, CModelOptions};

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
    // SAFETY: the caller's promise, which is the other function's too; it takes NULL for options.
    unsafe { duoguard_model_open_with(path, ptr::null(), out, error) }
}

/// `duoguard_model_open_with`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_model_open_with(
    path: *const c_char,
    options: *const CModelOptions,
    out: *mut *mut ModelHandle,
    error: *mut CError,
) -> i32 {
    // SAFETY: `path` ends in NUL, `options` has the size that it says or is NULL, `out` and `error`
    // are the caller's to write to, as the header says.
    unsafe {
        outcome(error, || {
            let path = folder(required(string(path), "path")?)?;
            let out = required(ptr::NonNull::new(out), "out")?;
            let model = ModelHandle::new(Model::open_with(path, &model_options(options)?)?)?;
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
    // SAFETY: the caller's promise, which is the other function's too; it takes NULL for options.
    unsafe { duoguard_model_open_memory_with(files, file_count, ptr::null(), out, error) }
}

/// `duoguard_model_open_memory_with`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duoguard_model_open_memory_with(
    files: *const CFile,
    file_count: usize,
    options: *const CModelOptions,
    out: *mut *mut ModelHandle,
    error: *mut CError,
) -> i32 {
    // SAFETY: `files`, the names and the bytes in it are readable during the call, `options` has
    // the size that it says or is NULL, `out` and `error` are the caller's, as the header says.
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
            let bundle = Bundle::from_memory_with(given, &model_options(options)?)?;
            let model = ModelHandle::new(Model::from_bundle(bundle)?)?;
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

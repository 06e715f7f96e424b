//! What of libtorch is a setting of the whole process: determinism.

use std::ffi::c_void;
use std::sync::Once;

// SAFETY: the names and signatures are those of the pinned libtorch; `be_deterministic` says more.
unsafe extern "C" {
    // at::globalContext()
    #[link_name = "_ZN2at13globalContextEv"]
    fn global_context() -> *mut c_void;
    // at::Context::setDeterministicAlgorithms(bool, bool)
    #[link_name = "_ZN2at7Context26setDeterministicAlgorithmsEbb"]
    fn set_deterministic_algorithms(context: *mut c_void, on: bool, warn_only: bool);
    // at::Context::setDeterministicFillUninitializedMemory(bool)
    #[link_name = "_ZN2at7Context39setDeterministicFillUninitializedMemoryEb"]
    fn set_fill_uninitialized_memory(context: *mut c_void, on: bool);
}

/// The variable that gives cuBLAS a workspace of its own for each stream, without which its
/// products are not deterministic.
const WORKSPACE: &str = "CUBLAS_WORKSPACE_CONFIG";

/// What a GPU needs for deterministic products, before the first of them. A value that the user has
/// set stays.
pub(crate) fn prepare_cuda() {
    if std::env::var_os(WORKSPACE).is_none() {
        // SAFETY: it is called while the program has one thread, as `device` asks for.
        unsafe { std::env::set_var(WORKSPACE, ":4096:8") };
    }
}

/// From here on the same step gives the same bytes: an operation that has no deterministic form
/// fails instead of running.
pub(crate) fn be_deterministic() {
    static DONE: Once = Once::new();
    // SAFETY: the three symbols are exported by libtorch_cpu with these signatures in the pinned
    // version; a member function takes its object first (Itanium ABI). The context lives as long as
    // the process.
    DONE.call_once(|| unsafe {
        let context = global_context();
        set_deterministic_algorithms(context, true, false);
        // On by default with the above: it fills every new tensor with NaN, to find mistakes.
        set_fill_uninitialized_memory(context, false);
    });
}

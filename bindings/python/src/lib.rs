//! The Python package's native half: `duoguard._native`. What people see of it is in
//! `python/duoguard`.
//!
//! Locks are taken while the thread holds the interpreter's lock, and released before it gives
//! that up. So none is held by another thread when Python forks, and the child's copies are free.

mod batch;
mod error;
mod guard;
mod opened;
mod options;
#[cfg(feature = "serve")]
mod serve;
mod stream;
mod text;
mod verdict;

use pyo3::prelude::*;

/// What `duoguard` is made of.
#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use super::batch::Batch;
    #[pymodule_export]
    use super::guard::Guard;
    #[cfg(feature = "serve")]
    #[pymodule_export]
    use super::serve::serve;
    #[pymodule_export]
    use super::stream::Stream;
    #[pymodule_export]
    use super::verdict::{Span, Verdict};
    use super::*;

    /// The release, such as "0.1.0".
    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// To be called in the child after a fork.
    #[pyfunction]
    fn after_fork_in_child() {
        super::opened::after_fork_in_child();
    }

    /// The engines of this build: name, whether it can be used here, and what was found or what to
    /// do.
    #[pyfunction]
    fn engines() -> Vec<(String, bool, String)> {
        let engines = duoguard::engines().into_iter();
        engines
            .map(|engine| (engine.name, engine.available, engine.detail))
            .collect()
    }
}

//! Time that passes, where there is a clock.

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(crate) use std::time::Instant;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(crate) use none::Instant;

/// WebAssembly without a system has no clock, and the standard library's panics: no time passes.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod none {
    use std::time::Duration;

    pub(crate) struct Instant;

    impl Instant {
        pub(crate) fn now() -> Self {
            Self
        }

        pub(crate) fn elapsed(&self) -> Duration {
            Duration::ZERO
        }
    }
}

//! What only code inside the library can test: panics, and the constants of the header.

#![allow(unsafe_code)]

mod header;
pub(crate) mod panics;

//! The C library: what `include/duoguard.h` declares, on top of the runtime.
//!
//! `boundary` alone touches the caller's memory; the rest is safe code.

#![deny(unsafe_code)]

mod boundary;
mod choices;
mod failure;
mod message;
mod model;
mod session;
mod status;
mod stream;
mod structs;
mod unwind;

#[cfg(test)]
mod tests;

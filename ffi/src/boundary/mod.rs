//! The one folder that touches the caller's memory: the functions of `include/duoguard.h`.
//!
//! Each turns what it was given into Rust values, calls safe code, and writes its outputs when all
//! has gone well. What the header asks of callers is what makes the `unsafe` here sound. What can
//! be checked is checked: NULL, sizes, alignment, UTF-8.

#![allow(unsafe_code)]

mod arguments;
mod call;
mod library;
mod model;
mod options;
mod outputs;
mod session;
mod sized;
mod stream;

#[cfg(test)]
pub(crate) use {library::*, model::*, session::*, stream::*};

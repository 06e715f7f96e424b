//! The runtime, from a bundle on disk to a verdict. One binary, so that it links once.

mod around;
mod bundle;
mod cached_stream;
mod coverage;
mod damaged_graph;
mod decoder;
mod disguises;
mod engines;
mod language_head;
mod policy;
mod session;
mod signed;
mod stream;
mod support;

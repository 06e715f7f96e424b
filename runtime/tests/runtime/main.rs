//! The runtime, from a bundle on disk to a verdict. One binary, so that it links once.

mod bundle;
mod damaged_graph;
mod engines;
mod session;
mod support;

//! BERT-like encoders: every token sees every other, and the whole window is judged at once.

pub mod config;
pub(crate) mod graph;
pub(crate) mod reference;
pub(crate) mod tensors;

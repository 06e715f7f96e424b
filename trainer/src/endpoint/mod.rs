//! A language model behind an OpenAI-compatible HTTP endpoint (vLLM, llama.cpp's server, hosted
//! ones), asked many things at once.
//!
//! Servers are slow, restart and answer nonsense: what may pass is tried again, what will not is
//! reported with its request, and a journal keeps every completion, so that a killed run asks only
//! for what is missing.

mod chat;
mod client;
mod error;
mod journal;
mod settings;
#[cfg(test)]
mod tests;
mod workers;

pub(crate) use chat::{ChatRequest, Completion};
pub use error::EndpointError;
pub(crate) use settings::EndpointSettings;
pub(crate) use workers::Endpoint;

//! Whether a bundle's network is one whose tensors are known.

use crate::error::{Error, Result};
use crate::graph::Graph;

/// The decoders and encoders whose tensors have the names and the meaning that are known here;
/// `architecture.model_type` of the manifest.
pub(crate) const DECODERS_AND_ENCODERS: &[&str] =
    &["qwen2", "llama", "bert", "roberta", "xlm-roberta"];

/// Refuses, for an engine, a bundle whose tensors may mean something else than their names say. A
/// graph without a manifest is judged by its tensors alone.
pub(crate) fn check_origin(engine: &str, graph: &Graph, known: &[&str]) -> Result<()> {
    match graph.origin() {
        Some(origin) => check_field(engine, "architecture.model_type", &origin.model_type, known),
        None => Ok(()),
    }
}

/// Refuses, for an engine, a value of a field of the manifest that is not among those it knows.
pub(crate) fn check_field(engine: &str, field: &str, found: &str, known: &[&str]) -> Result<()> {
    match known.contains(&found) {
        true => Ok(()),
        false => Err(Error::unsupported(format!(
            "manifest.json: {field} is {found:?}; engine {engine} knows {}: use another engine for \
             this bundle, or export the model again \
             as one of these",
            known.join(", ")
        ))),
    }
}

//! Labels that exclude each other, of which some are categories.

use crate::error::{Error, Result};
use crate::graph::Graph;

/// The labels of a graph that are its categories, where its labels exclude each other; `labels` is
/// how many there are.
///
/// # Errors
/// One that there is not.
pub(crate) fn kept_labels(graph: &Graph, labels: usize) -> Result<Option<Vec<usize>>> {
    let Some(kept) = graph.outline()?.kept_labels else {
        return Ok(None);
    };
    let known = kept
        .iter()
        .map(|label| usize::try_from(*label).ok().filter(|label| *label < labels));
    match known.collect() {
        Some(known) => Ok(Some(known)),
        None => Err(Error::model(format!(
            "{}: its categories are the labels {kept:?} of {labels}: get the bundle again",
            graph.file()
        ))),
    }
}

/// Of labels that exclude each other, one against all others together: its value less the logarithm
/// of the sum of the others' powers of e. In f64, so that it is the same on all systems.
pub(crate) fn against_others(labels: &[f32], label: usize) -> f32 {
    let others = || {
        let others = labels.iter().enumerate().filter(|(at, _)| *at != label);
        others.map(|(_, value)| f64::from(*value))
    };
    let largest = others().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = others().map(|value| (value - largest).exp()).sum();
    (f64::from(labels[label]) - (largest + sum.ln())) as f32
}

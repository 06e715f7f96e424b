//! Decides whether activations are rounded to int8: by what the bundle is certified for, what the
//! GPU is good at, and what the caller says.

use wgpu::Adapter;

use super::NAME;
use super::adapter;
use super::shaders::Products;
use crate::error::{Error, Result};
use crate::graph::Origin;

/// The environment variable that overrides the choice: `int8` or `f32`.
pub(super) const VARIABLE: &str = "DUOGUARD_WGPU_PRODUCTS";

/// A scheme whose weights the shaders multiply by.
#[derive(Clone, Copy)]
pub(super) struct Scheme {
    /// `quantization.scheme` of the manifest.
    pub(super) name: &'static str,
    /// Whether the bundle was certified with the activations of every projection rounded to 8 bits.
    rounds_activations: bool,
}

pub(super) const SCHEMES: [Scheme; 6] = [
    Scheme::new("int8-dynamic", true),
    Scheme::new("int8-per-token", true),
    // Its certificate is of activations of which some are rounded less.
    Scheme::new("int8-outliers", false),
    Scheme::new("int8-weights", false),
    // Some of its projections are exempted, and it is not said which.
    Scheme::new("int8-mixed", false),
    Scheme::new("none", false),
];

impl Scheme {
    const fn new(name: &'static str, rounds_activations: bool) -> Self {
        Self {
            name,
            rounds_activations,
        }
    }
}

/// How int8 weights are multiplied on an adapter, for a bundle whose scheme was checked.
pub(super) fn choose(origin: Option<&Origin>, adapter: &Adapter) -> Result<Products> {
    let scheme = origin.and_then(|origin| origin.scheme.as_deref());
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    decide(scheme, &wanted, || adapter::multiplies_int8(adapter))
}

fn decide(
    scheme: Option<&str>,
    wanted: &str,
    is_native: impl FnOnce() -> bool,
) -> Result<Products> {
    let may_round = SCHEMES
        .iter()
        .any(|known| known.rounds_activations && scheme == Some(known.name));
    match wanted {
        "" if may_round && is_native() => Ok(Products::Int8),
        "" | "f32" => Ok(Products::F32),
        "int8" if may_round => Ok(Products::Int8),
        "int8" => Err(Error::unsupported(format!(
            "engine {NAME}: {VARIABLE} is \"int8\", and the bundle's quantization.scheme is {}, \
             whose activations are not rounded: unset \
             the variable, or export the model with int8 or int8-token",
            scheme.unwrap_or("not known")
        ))),
        other => Err(Error::unsupported(format!(
            "engine {NAME}: {VARIABLE} is {other:?}; expected \"int8\", \"f32\" or no such variable"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_are_rounded_where_the_bundle_allows_and_the_gpu_gains() {
        let chosen = |scheme, wanted, is_native| decide(scheme, wanted, || is_native).ok();
        let rounding = Some("int8-dynamic");
        assert_eq!(chosen(rounding, "", true), Some(Products::Int8));
        assert_eq!(chosen(rounding, "", false), Some(Products::F32));
        assert_eq!(chosen(rounding, "f32", true), Some(Products::F32));
        assert_eq!(chosen(rounding, "int8", false), Some(Products::Int8));
        for keeping in [None, Some("int8-weights"), Some("int8-mixed"), Some("none")] {
            assert_eq!(chosen(keeping, "", true), Some(Products::F32));
            assert_eq!(chosen(keeping, "int8", true), None);
        }
        let refused = decide(rounding, "fp8", || true).unwrap_err().to_string();
        assert!(
            refused.contains("fp8") && refused.contains(VARIABLE),
            "{refused}"
        );
    }
}

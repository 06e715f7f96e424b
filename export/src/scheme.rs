//! The ways to store weights and to multiply by them, one table for all who choose among them.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::error::ExportError;

/// How weights are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quantize {
    /// Weights as int8 with a scale per output channel; activations as uint8 with a scale per
    /// tensor, found while running.
    #[default]
    Int8,
    /// As [`Int8`](Self::Int8), with a scale per token for the activations.
    Int8Token,
    /// As [`Int8Token`](Self::Int8Token), except for a few inputs of each projection, its outlier
    /// features: 16 bits with a scale of their own. Where the certificate asks for it, all inputs
    /// of some projections.
    Int8Outliers,
    /// Weights as int8 in the file, widened to f32 when the model is loaded; activations as f32.
    Int8Weights,
    /// Weights as 4-bit integers with a scale for every 32; the embedding as int8.
    Int4,
    /// As [`Int8`](Self::Int8), except for the projections that suffer most, found by measurement:
    /// these as [`Int8Weights`](Self::Int8Weights).
    Mixed,
    /// The fastest of the above, on this machine, whose certificate passes; [`None`](Self::None) if
    /// none does.
    Auto,
    /// Weights and activations as f32.
    None,
}

/// A row of the table of schemes.
#[derive(Clone, Copy, Debug)]
pub struct Scheme {
    /// What it is.
    pub quantize: Quantize,
    /// Its name on the command line.
    pub option: &'static str,
    /// Its name in the manifest.
    pub name: &'static str,
    /// What it does, in a few words.
    pub help: &'static str,
    /// How its projections are computed; for [`Quantize::Mixed`] those that are not exempted.
    precision: Precision,
}

/// All schemes.
pub const SCHEMES: [Scheme; 8] = [
    Scheme {
        quantize: Quantize::Int8,
        option: "int8",
        name: "int8-dynamic",
        help: "8-bit integers; activations scaled per tensor",
        precision: Precision::Int8Tensor,
    },
    Scheme {
        quantize: Quantize::Int8Token,
        option: "int8-token",
        name: "int8-per-token",
        help: "8-bit integers; activations scaled per token",
        precision: Precision::Int8Token,
    },
    Scheme {
        quantize: Quantize::Int8Outliers,
        option: "int8-outliers",
        name: "int8-outliers",
        help: "int8-token, but outlier features in 16 bits",
        precision: Precision::Int8Outliers,
    },
    Scheme {
        quantize: Quantize::Int8Weights,
        option: "int8-weights",
        name: "int8-weights",
        help: "8-bit integers in the file, 32-bit floats in memory",
        precision: Precision::Int8Weights,
    },
    Scheme {
        quantize: Quantize::Int4,
        option: "int4",
        name: "int4-blocks",
        help: "4-bit integers in blocks of 32",
        precision: Precision::Int4Blocks,
    },
    Scheme {
        quantize: Quantize::Mixed,
        option: "mixed",
        name: "int8-mixed",
        help: "int8, but floats where measurement finds it hurts most",
        precision: Precision::Int8Tensor,
    },
    Scheme {
        quantize: Quantize::Auto,
        option: "auto",
        name: "auto",
        help: "the fastest that passes the certificate",
        precision: Precision::Int8Tensor,
    },
    Scheme {
        quantize: Quantize::None,
        option: "none",
        name: "none",
        help: "32-bit floats, as trained",
        precision: Precision::Float,
    },
];

impl Quantize {
    /// Its row in [`SCHEMES`].
    pub fn scheme(self) -> &'static Scheme {
        let row = SCHEMES.iter().find(|scheme| scheme.quantize == self);
        row.expect("every scheme has a row")
    }

    /// The name in the manifest.
    pub fn name(self) -> &'static str {
        self.scheme().name
    }
}

impl FromStr for Quantize {
    type Err = ExportError;

    /// Reads the name on the command line.
    fn from_str(text: &str) -> Result<Self, ExportError> {
        let row = SCHEMES.iter().find(|scheme| scheme.option == text);
        row.map(|scheme| scheme.quantize).ok_or_else(|| {
            let known = SCHEMES.map(|scheme| scheme.option).join(", ");
            ExportError::Option(format!("no scheme {text:?}; expected one of {known}"))
        })
    }
}

/// How one projection is stored and multiplied by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    Float,
    Int8Tensor,
    Int8Token,
    /// The plan's outlier features of activations in 16 bits, all others in 8.
    Int8Outliers,
    /// Activations in 16 bits.
    Int16Activations,
    Int8Weights,
    Int4Blocks,
}

/// What to do with every weight of a network.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) quantize: Quantize,
    /// Projections, by their names in the graph, that are computed otherwise.
    pub(crate) exceptions: BTreeMap<String, Precision>,
    /// The outlier features of projections, ascending.
    pub(crate) outliers: BTreeMap<String, Vec<usize>>,
}

/// The precision of the projections that a mixed plan exempts: exact activations, and no larger a
/// file.
pub(crate) const KEPT: Precision = Precision::Int8Weights;

impl Plan {
    pub(crate) fn new(quantize: Quantize) -> Self {
        Self {
            quantize,
            exceptions: BTreeMap::new(),
            outliers: BTreeMap::new(),
        }
    }

    /// The same, but with some projections, of a ranking, in another precision.
    pub(crate) fn except(&self, ranked: &[(String, f64)], precision: Precision) -> Self {
        let mut plan = self.clone();
        let names = ranked.iter().map(|(name, _)| (name.clone(), precision));
        plan.exceptions.extend(names);
        plan
    }

    pub(crate) fn precision(&self, projection: &str) -> Precision {
        let usual = self.quantize.scheme().precision;
        self.exceptions.get(projection).copied().unwrap_or(usual)
    }

    /// Whether the embedding is stored in less than f32.
    pub(crate) fn quantizes_embedding(&self) -> bool {
        self.quantize != Quantize::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_is_found_by_its_own_names() {
        for scheme in SCHEMES {
            assert_eq!(scheme.option.parse::<Quantize>().unwrap(), scheme.quantize);
            assert_eq!(scheme.quantize.name(), scheme.name);
        }
        let unknown = "int3".parse::<Quantize>().unwrap_err().to_string();
        assert!(unknown.contains("int3") && unknown.contains("int8-token"));
    }
}

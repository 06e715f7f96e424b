//! Tests whether an adapter can be trusted: on small known networks it must give what plain loops
//! give.
//!
//! The test runs the shaders that a network will run, with every way to divide the work of each. No
//! shader uses subgroups, so that it does not matter how many invocations a GPU runs in step.

use std::sync::Arc;

use super::gpu::{Gpu, engine_error};
use super::known::Known;
use super::made_up::{Family, MadeUp};
use super::plan::Plan;
use super::resident::{Resident, Shaders};
use super::schedule::{Step, shaders};
use super::shaders::{Format, Products, Shader, Tiling};
use crate::engine::batch::TokenBatch;
use crate::error::Result;
use crate::network::sample::Sample;

/// How far a logit may lie from what plain loops give. Logits are of the order of 1, and only the
/// order and the rounding of f32 sums and the last digits of `exp` differ: under 1e-5 where it was
/// measured. A wrong product would be off by far more than this.
const TOLERANCE: f32 = 1e-3;
/// The same where activations are rounded to int8: a value that lies between two integers may
/// become the other one on another device.
const ROUNDED_TOLERANCE: f32 = 3e-2;
/// More than a tile of 16 rows, and no multiple of anything.
const TOKENS: usize = 19;

/// How matrices may be stored and multiplied by.
const ALL_WAYS: [(Format, Products); 3] = [
    (Format::Int8, Products::F32),
    (Format::Int8, Products::Int8),
    (Format::F32, Products::F32),
];

/// What a network needs tested: its family, its width of a head, and how its matrices are stored
/// and multiplied by.
#[derive(Clone, Debug)]
pub(super) struct SelfTest {
    samples: Vec<(MadeUp, Products)>,
}

impl SelfTest {
    /// The test of what `network` will use.
    pub(super) fn of(network: &Known<'_>, products: Products) -> Self {
        let used = |(format, way): &(Format, Products)| {
            let mut matrices = network.matrices();
            matrices.pop(); // the head
            let mut matrices = matrices.iter();
            matrices.any(|matrix| matrix.format == *format && matrix.products(products) == *way)
        };
        let family = match network {
            Known::Decoder(_) => Family::Decoder,
            Known::Encoder(encoder) => Family::Encoder {
                pooling: encoder.form.pooling,
                activation: encoder.form.activation,
                has_pooler: encoder.pooler.is_some(),
            },
        };
        Self::new(
            (family, network.dimensions().head_size),
            network.embedding().format,
            ALL_WAYS.into_iter().filter(used),
        )
    }

    /// The test of an adapter for no network in particular: heads of 64, the most common width, in
    /// every format that would be used.
    pub(super) fn general(multiplies_int8: bool) -> Self {
        let used =
            |(_, products): &(Format, Products)| multiplies_int8 || *products == Products::F32;
        let ways = ALL_WAYS.into_iter().filter(used);
        Self::new((Family::Decoder, 64), Format::Int8, ways)
    }

    fn new(
        (family, head_size): (Family, usize),
        embedding: Format,
        ways: impl IntoIterator<Item = (Format, Products)>,
    ) -> Self {
        // Any four of them are as wide as whole blocks.
        let heads = if embedding == Format::Blocks { 4 } else { 2 };
        let sample = |matrices| Sample {
            layers: 2,
            heads,
            // An encoder's heads share nothing.
            kv_heads: if family == Family::Decoder { 1 } else { heads },
            head_size,
            intermediate: 37,
            vocabulary: 50,
            max_position: TOKENS,
            categories: 5,
            embedding,
            matrices,
            splits_query: false,
            outliers: None,
        };
        Self {
            samples: ways
                .into_iter()
                .map(|(format, products)| {
                    let sample = sample(format);
                    (MadeUp { sample, family }, products)
                })
                .collect(),
        }
    }

    /// The shaders that it runs.
    pub(super) fn shaders(&self, binding_bytes: usize) -> Result<Vec<Shader>> {
        let mut all = Vec::new();
        for (sample, products) in &self.samples {
            let file = sample.file();
            let network = sample.read(&file)?;
            let steps: Vec<Step> = network
                .schedule(binding_bytes, *products)
                .unwrap_or_default();
            all.extend(shaders(&steps, network.dimensions()));
        }
        Ok(all)
    }

    /// Runs it, and returns the largest error.
    pub(super) fn run(&self, gpu: &Gpu, shaders: &Arc<Shaders>) -> Result<f32> {
        let ids: Vec<u32> = (0..2 * TOKENS as u32).map(|i| i * 7 % 50).collect();
        let mut largest = 0.0_f32;
        for (sample, products) in &self.samples {
            let file = sample.file();
            let network = sample.read(&file)?;
            let rows = ids.chunks(TOKENS);
            let expected: Vec<f32> = rows
                .flat_map(|ids| network.expected(*products, ids))
                .collect();
            let tolerance = match products {
                Products::F32 => TOLERANCE,
                Products::Int8 => ROUNDED_TOLERANCE,
            };
            let resident = Resident::build(gpu.clone(), &network, *products, Arc::clone(shaders))?;
            let batch = TokenBatch {
                ids: &ids,
                rows: 2,
                tokens: TOKENS,
            };
            let mut plan = Plan::new(Arc::new(resident), &batch)?;
            for tiling in Tiling::ALL {
                plan.set_tiling(Some(tiling));
                let found = plan.run(&batch)?;
                let error = compare(gpu, tiling, &found, &expected, tolerance)?;
                largest = largest.max(error);
            }
        }
        Ok(largest)
    }
}

fn compare(
    gpu: &Gpu,
    tiling: Tiling,
    found: &[f32],
    expected: &[f32],
    tolerance: f32,
) -> Result<f32> {
    let mut largest = 0.0_f32;
    for (found, expected) in found.iter().zip(expected) {
        let error = (found - expected).abs();
        // What is not a number is not within the tolerance either.
        if error.is_nan() || error > tolerance {
            return Err(engine_error(&format!(
                "the self-test failed on {}: a small network ({tiling:?}) gives {found} where \
                 {expected} is right. Its driver computes \
                 wrongly: update it, name another adapter in {}, or use another engine",
                super::adapter::describe(&gpu.info),
                super::adapter::ADAPTER_VARIABLE,
            )));
        }
        largest = largest.max(error);
    }
    Ok(largest)
}

//! The engine on whatever adapter there is; a test that finds none says so, and fails where
//! `DUOGUARD_REQUIRE_WGPU` is set.

mod alone;
mod real_shape;
mod rows;
mod trouble;

use std::sync::Arc;

use super::adapter;
use super::gpu::Gpu;
use super::known::Known;
use super::made_up::{Family, MadeUp};
use super::plan::Plan;
use super::resident::{Resident, Shaders};
use super::schedule;
use super::self_test::SelfTest;
use super::shaders::{Format, Products, Tiling};
use crate::bundle::Pooling;
use crate::engine::batch::TokenBatch;
use crate::network::encoder::Activation;
use crate::network::sample::Sample;

/// As the self-test's.
const TOLERANCE: f32 = 1e-3;

/// The adapter for tests. Without one, a test prints that it was skipped; `cargo xtask test` brings
/// one, and sets the variable that makes its absence a failure.
fn gpu() -> Option<Gpu> {
    match adapter::best() {
        Ok(adapter) => Some(Gpu::open(&adapter).unwrap()),
        Err(reason) => {
            assert!(
                std::env::var_os("DUOGUARD_REQUIRE_WGPU").is_none(),
                "{reason}"
            );
            eprintln!("SKIPPED, no adapter for wgpu: {reason}");
            None
        }
    }
}

const SAMPLE: Sample = Sample {
    layers: 2,
    heads: 4,
    kv_heads: 2,
    head_size: 16,
    intermediate: 37,
    vocabulary: 61,
    max_position: 150,
    categories: 12,
    embedding: Format::Int8,
    matrices: Format::Int8,
    splits_query: true,
    outliers: None,
};

const DECODER: MadeUp = MadeUp {
    sample: SAMPLE,
    family: Family::Decoder,
};

/// Encoders of every kind: tokens pooled in both ways, both activations, with and without a pooler.
fn encoders() -> [MadeUp; 3] {
    let encoder = |pooling, activation, has_pooler| MadeUp {
        sample: Sample {
            kv_heads: SAMPLE.heads,
            ..SAMPLE
        },
        family: Family::Encoder {
            pooling,
            activation,
            has_pooler,
        },
    };
    [
        encoder(Pooling::Mean, Activation::Gelu, false),
        encoder(Pooling::FirstToken, Activation::GeluTanh, true),
        encoder(Pooling::FirstToken, Activation::Gelu, false),
    ]
}

/// One with weights that are floats, and of other odd sizes.
fn in_floats(made_up: MadeUp) -> MadeUp {
    let is_decoder = made_up.family == Family::Decoder;
    MadeUp {
        sample: Sample {
            embedding: Format::F32,
            matrices: Format::F32,
            splits_query: false,
            heads: 3,
            kv_heads: if is_decoder { 1 } else { 3 },
            head_size: 24,
            categories: 1,
            layers: 1,
            ..made_up.sample
        },
        ..made_up
    }
}

/// One whose embedding has 4-bit blocks.
fn with_blocks(made_up: MadeUp) -> MadeUp {
    MadeUp {
        sample: Sample {
            embedding: Format::Blocks,
            ..made_up.sample
        },
        ..made_up
    }
}

fn ids(rows: usize, tokens: usize, vocabulary: usize) -> Vec<u32> {
    let ids = 0..rows * tokens;
    ids.map(|i| (i * 31 % vocabulary) as u32).collect()
}

/// A network on the GPU, with the shaders that it needs.
fn resident(gpu: &Gpu, network: &Known<'_>, products: Products) -> Arc<Resident> {
    let steps = network.schedule(gpu.binding_bytes(), products).unwrap();
    let needed = schedule::shaders(&steps, network.dimensions());
    let shaders = Arc::new(Shaders::compile(gpu, &needed).unwrap());
    Arc::new(Resident::build(gpu.clone(), network, products, shaders).unwrap())
}

/// Runs a sample on shaders and on plain loops, in every tiling, with bindings of at most
/// `binding_bytes`.
fn agrees(gpu: &Gpu, made_up: &MadeUp, shapes: &[(usize, usize)]) {
    agrees_in(gpu, made_up, Products::F32, TOLERANCE, shapes);
}

fn agrees_in(
    gpu: &Gpu,
    made_up: &MadeUp,
    products: Products,
    tolerance: f32,
    shapes: &[(usize, usize)],
) {
    let (file, sample) = (made_up.file(), &made_up.sample);
    let network = made_up.read(&file).unwrap();
    let resident = resident(gpu, &network, products);
    for (rows, tokens) in shapes {
        let ids = ids(*rows, *tokens, sample.vocabulary);
        let batch = TokenBatch {
            ids: &ids,
            rows: *rows,
            tokens: *tokens,
        };
        let expected: Vec<f32> = ids
            .chunks(*tokens)
            .flat_map(|ids| network.expected(products, ids))
            .collect();
        let mut plan = Plan::new(Arc::clone(&resident), &batch).unwrap();
        let tilings = Tiling::ALL.map(Some).into_iter().chain([None]);
        for tiling in tilings {
            plan.set_tiling(tiling);
            let found = plan.run(&batch).unwrap();
            assert_eq!(found.len(), expected.len());
            for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert!(
                    (found - expected).abs() <= tolerance,
                    "{made_up:?} {rows} x {tokens} {tiling:?}: logit {place} is {found}, expected \
                     {expected}"
                );
            }
        }
    }
}

#[test]
fn networks_of_odd_sizes_agree_with_plain_loops() {
    let Some(gpu) = gpu() else { return };
    let shapes = [(1, 1), (1, 17), (3, 5), (2, 65), (1, 150)];
    for made_up in encoders().into_iter().chain([DECODER]) {
        agrees(&gpu, &made_up, &shapes);
        agrees(&gpu, &in_floats(made_up), &shapes);
        agrees(&gpu, &with_blocks(made_up), &shapes);
    }
}

/// In int8, a value between two integers may become either: rarely, and by no more than a 127th of
/// the largest.
#[test]
fn networks_of_odd_sizes_agree_in_int8() {
    let Some(gpu) = gpu() else { return };
    let shapes = [(1, 1), (1, 17), (3, 5), (2, 65), (1, 150)];
    for made_up in encoders().into_iter().chain([DECODER]) {
        agrees_in(&gpu, &made_up, Products::Int8, 3e-2, &shapes);
    }
}

/// To the last bit, however many rows there are: other shaders suit other numbers of rows, and
/// would add in another order.
#[test]
fn a_row_is_the_same_alone_and_in_company() {
    let Some(gpu) = gpu() else { return };
    for (made_up, products) in [
        (DECODER, Products::F32),
        (DECODER, Products::Int8),
        (encoders()[0], Products::Int8),
        (encoders()[1], Products::F32),
    ] {
        let file = made_up.file();
        let resident = resident(&gpu, &made_up.read(&file).unwrap(), products);
        for (rows, tokens) in [(2, 1), (7, 3), (5, 17), (30, 40), (9, 150)] {
            let ids = ids(rows, tokens, SAMPLE.vocabulary);
            let together = TokenBatch {
                ids: &ids,
                rows,
                tokens,
            };
            let mut plan = Plan::new(Arc::clone(&resident), &together).unwrap();
            let found = plan.run(&together).unwrap();
            for (row, found) in ids.chunks(tokens).zip(found.chunks(SAMPLE.categories)) {
                let alone = plan.run(&TokenBatch::one(row)).unwrap();
                assert_eq!(
                    found, alone,
                    "{:?} {products:?} {rows} x {tokens}",
                    made_up.family
                );
            }
        }
    }
}

#[test]
fn the_self_test_passes_and_its_error_is_small() {
    let Some(gpu) = gpu() else { return };
    for (multiplies_int8, most) in [(false, 1e-4), (true, 3e-2)] {
        let test = SelfTest::general(multiplies_int8);
        let needed = test.shaders(gpu.binding_bytes()).unwrap();
        let shaders = Arc::new(Shaders::compile(&gpu, &needed).unwrap());
        let error = test.run(&gpu, &shaders).unwrap();
        println!("largest error {error:e}");
        assert!(error > 0.0 && error < most, "{error}");
    }
}

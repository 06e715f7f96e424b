//! Whole forward passes.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::arena::{Arena, Shape};
use super::super::forward::{Forward, NoCache};
use super::super::kernels::{Chosen, KERNELS};
use super::super::resident::Resident;
use crate::bundle::Weights;
use crate::network::reference::forward;
use crate::network::sample::{EPSILON, Sample};
use crate::network::{Format, Formats, Matrix, Network, Products};

/// Odd in every size: heads of 24, panels and tiles that are not full, three layers.
pub(super) const SAMPLE: Sample = Sample {
    layers: 3,
    heads: 6,
    kv_heads: 2,
    head_size: 24,
    intermediate: 100,
    vocabulary: 61,
    max_position: 200,
    categories: 5,
    embedding: Format::Int8,
    matrices: Format::Int8,
    splits_query: true,
    outliers: None,
};

pub(super) fn network(sample: &Sample, rounds: bool) -> Resident {
    let weights = Arc::new(Weights::from_bytes(&sample.file()).unwrap());
    let network = Network::read("native", &weights, EPSILON, Formats::ALL).unwrap();
    Resident::of_decoder(&network, &weights, |matrix: &Matrix<'_>| {
        rounds && matrix.format == Format::Int8
    })
    .unwrap()
}

pub(super) fn kernels() -> impl Iterator<Item = Chosen> {
    KERNELS.iter().filter_map(|kernel| {
        let chosen = Chosen::of(kernel);
        if chosen.is_none() {
            println!("SKIPPED: this CPU cannot run {}", kernel.name);
        }
        chosen
    })
}

pub(super) fn scalar() -> Chosen {
    Chosen::of(KERNELS.last().unwrap()).unwrap()
}

/// The logits of `rows` sequences, as bits.
pub(super) fn run(
    network: &Resident,
    kernel: Chosen,
    threads: usize,
    rows: usize,
    ids: &[u32],
) -> Vec<u32> {
    let mut arena = Arena::new(network, threads);
    let categories = network.dimensions.categories;
    let mut logits = vec![0.0; rows * categories];
    let shape = Shape {
        rows,
        past: 0,
        tokens: ids.len() / rows,
    };
    let forward = Forward {
        network,
        kernel,
        shape,
        threads,
        inputs: None,
    };
    // Twice, so that the second finds what the first has left in the arena.
    forward.run(
        &ids.iter().map(|id| 60 - id).collect::<Vec<_>>(),
        &mut arena,
        &mut NoCache,
        &mut logits,
    );
    forward.run(ids, &mut arena, &mut NoCache, &mut logits);
    logits.iter().map(|x| x.to_bits()).collect()
}

fn ids(count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| (i * 37 + i * i) % 61).collect()
}

#[test]
fn every_kernel_gives_the_bits_of_plain_loops() {
    for (rounds, format) in [
        (true, Format::Int8),
        (false, Format::Int8),
        (false, Format::F32),
    ] {
        let sample = Sample {
            matrices: format,
            ..SAMPLE
        };
        let network = network(&sample, rounds);
        for tokens in [1, 2, 7, 16, 17, 63, 64, 65, 131] {
            let expected = run(&network, scalar(), 1, 1, &ids(tokens));
            for kernel in kernels() {
                let found = run(&network, kernel, 1, 1, &ids(tokens));
                assert_eq!(found, expected, "{} {tokens}", kernel.name());
            }
        }
    }
}

/// Rounding turns the last bits of a norm into a whole level now and then.
#[test]
fn logits_are_those_of_the_reference() {
    let formats = [
        (Format::F32, Products::F32, 1e-4),
        (Format::Int8, Products::F32, 1e-4),
        (Format::Int8, Products::Int8, 2e-2),
    ];
    for (matrices, products, tolerance) in formats {
        for splits_query in [true, false] {
            let sample = Sample {
                matrices,
                splits_query,
                ..SAMPLE
            };
            let file = sample.file();
            let decoder = Network::read("native", &file, EPSILON, Formats::ALL).unwrap();
            let packed = network(&sample, products == Products::Int8);
            for tokens in [1, 5, 40, 131] {
                let expected = forward(&decoder, products, &ids(tokens));
                for kernel in kernels() {
                    let found = run(&packed, kernel, 2, 1, &ids(tokens));
                    for (found, expected) in found.iter().zip(&expected) {
                        let found = f32::from_bits(*found);
                        assert!(
                            (found - expected).abs() <= tolerance,
                            "{} {products:?} {tokens}: {found} {expected}",
                            kernel.name()
                        );
                    }
                }
            }
        }
    }
}

/// Weights of 4 bits have activations of 8 always.
#[test]
fn blocks_give_what_plain_loops_give() {
    let sample = Sample {
        heads: 4,
        intermediate: 160,
        embedding: Format::Blocks,
        matrices: Format::Blocks,
        ..SAMPLE
    };
    let file = sample.file();
    let decoder = Network::read("native", &file, EPSILON, Formats::ALL).unwrap();
    let packed = network(&sample, true);
    for tokens in [1, 7, 70] {
        let expected = forward(&decoder, Products::Int8, &ids(tokens));
        let bits = run(&packed, scalar(), 1, 1, &ids(tokens));
        for (found, expected) in bits.iter().zip(&expected) {
            let found = f32::from_bits(*found);
            assert!(
                (found - expected).abs() <= 2e-2,
                "{tokens}: {found} {expected}"
            );
        }
        for kernel in kernels() {
            assert_eq!(
                run(&packed, kernel, 3, 1, &ids(tokens)),
                bits,
                "{}",
                kernel.name()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(48)
    })]

    #[test]
    fn a_row_does_not_depend_on_its_neighbours_or_on_threads(
        tokens in 1_usize..90,
        rows in 1_usize..9,
        threads in 1_usize..5,
        seed in 0_u32..1000,
        kernel in 0..KERNELS.len(),
        outliers in prop_oneof![Just(None), (1_usize..20).prop_map(Some), Just(Some(200))],
    ) {
        let network = network(&Sample { outliers, ..SAMPLE }, true);
        let Some(kernel) = Chosen::of(&KERNELS[kernel]) else { return Ok(()) };
        let ids: Vec<u32> = (0..(rows * tokens) as u32).map(|i| (i * 31 + seed * i / 7) % 61).collect();
        let together = run(&network, kernel, threads, rows, &ids);
        let alone = ids.chunks(tokens).flat_map(|ids| run(&network, scalar(), 1, 1, ids));
        prop_assert_eq!(together, alone.collect::<Vec<_>>());
    }
}

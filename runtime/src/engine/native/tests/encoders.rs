//! Encoders: every kernel gives the bits of the scalar one, and a row those that it has alone. That
//! they are right is for the exporter's tests to say, which know what `transformers` computes.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::kernels::{Chosen, KERNELS};
use super::super::resident::Resident;
use super::whole::{SAMPLE, run, scalar};
use crate::bundle::{Pooling, Weights};
use crate::network::encoder::{Activation, Encoder};
use crate::network::sample::Sample;
use crate::network::{Format, Formats, Matrix};

/// Whole blocks of 32 in a row, and else as odd as the decoder.
const ODD: Sample = Sample {
    heads: 4,
    kv_heads: 4,
    head_size: 24,
    intermediate: 160,
    ..SAMPLE
};

fn network(
    sample: &Sample,
    pooling: Pooling,
    has_pooler: bool,
    activation: Activation,
) -> Resident {
    let file = sample.encoder_file(pooling, has_pooler);
    let weights = Arc::new(Weights::from_bytes(&file).unwrap());
    let form = sample.encoder_form(pooling, activation);
    let encoder = Encoder::read("native", &weights, form, Formats::ALL).unwrap();
    Resident::of_encoder(&encoder, &weights, |matrix: &Matrix<'_>| {
        matrix.format == Format::Int8
    })
    .unwrap()
}

fn formats() -> impl Strategy<Value = (Format, Format)> {
    prop_oneof![
        Just((Format::Int8, Format::Int8)),
        Just((Format::Blocks, Format::Int8)),
        Just((Format::F32, Format::F32)),
        Just((Format::F32, Format::Blocks)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(48)
    })]

    #[test]
    fn a_row_does_not_depend_on_its_neighbours_on_threads_or_on_the_kernel(
        tokens in 1_usize..90,
        rows in 1_usize..7,
        threads in 1_usize..5,
        seed in 0_u32..1000,
        kernel in 0..KERNELS.len(),
        (embedding, matrices) in formats(),
        is_mean in any::<bool>(),
        has_pooler in any::<bool>(),
        outliers in prop_oneof![Just(None), (1_usize..40).prop_map(Some), Just(Some(160))],
    ) {
        // Matrices of floats, and in blocks, have none, or pay no heed to them.
        let outliers = outliers.filter(|_| matrices == Format::Int8);
        let sample = Sample { embedding, matrices, outliers, ..ODD };
        let (pooling, activation) = match is_mean {
            true => (Pooling::Mean, Activation::Gelu),
            false => (Pooling::FirstToken, Activation::GeluTanh),
        };
        let network = network(&sample, pooling, has_pooler, activation);
        let Some(kernel) = Chosen::of(&KERNELS[kernel]) else { return Ok(()) };
        let ids: Vec<u32> = (0..(rows * tokens) as u32).map(|i| (i * 31 + seed * i / 7) % 61).collect();
        let together = run(&network, kernel, threads, rows, &ids);
        prop_assert!(together.iter().all(|bits| f32::from_bits(*bits).is_finite()));
        let alone = ids.chunks(tokens).flat_map(|ids| run(&network, scalar(), 1, 1, ids));
        prop_assert_eq!(together, alone.collect::<Vec<_>>());
    }
}

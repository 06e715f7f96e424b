//! Streams give the bits of checks, however they are cut.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::Native;
use super::super::arena::Arena;
use super::whole::{SAMPLE, kernels, network};
use crate::engine::batch::TokenBatch;
use crate::engine::cache::{KeyValues, StreamEngine};
use crate::engine::entry::Engine;
use crate::stream_graph::CacheShape;

fn native(threads: usize) -> Native {
    let network = Arc::new(network(&SAMPLE, true));
    Native {
        arena: Arena::new(&network, threads),
        network,
        kernel: kernels().next().unwrap(),
        file: "stream.onnx",
    }
}

const SHAPE: CacheShape = CacheShape {
    layers: SAMPLE.layers,
    heads: SAMPLE.kv_heads,
    size: SAMPLE.head_size,
};

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        // More than 10,000 cuts.
        ..ProptestConfig::with_cases(3000)
    })]

    /// Every look goes on from a beginning of what the one before has computed, as a stream does
    /// whose last words were tokenised anew.
    #[test]
    fn any_cuts_give_the_bits_of_a_check(
        ids in prop::collection::vec(0_u32..61, 1..160),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..20), 1..6),
        threads in 1_usize..4,
    ) {
        let mut engine = native(threads);
        let mut known = KeyValues::empty("native", SHAPE);
        let mut cuts: Vec<_> = cuts
            .into_iter()
            .map(|(cut, again)| (cut.index(ids.len()) + 1, again))
            .collect();
        cuts.sort_unstable();
        for (cut, again) in cuts {
            let kept = known.tokens().min(cut - 1).saturating_sub(again);
            let mut found = [0.0; SAMPLE.categories];
            known.cut(kept);
            let present = StreamEngine::run(&mut engine, known, &ids[kept..cut], &mut found).unwrap();
            let mut expected = [0.0; SAMPLE.categories];
            Engine::run(&mut engine, &TokenBatch::one(&ids[..cut]), &mut expected).unwrap();
            prop_assert_eq!(found.map(f32::to_bits), expected.map(f32::to_bits));
            prop_assert_eq!(present.tokens(), cut);
            known = present;
        }
    }
}

#[test]
fn what_kernels_would_trust_is_checked() {
    let mut engine = native(1);
    let mut logits = [0.0; SAMPLE.categories];
    let mut run = |ids: &[u32], count: usize| {
        let batch = TokenBatch::one(ids);
        let result = Engine::run(&mut engine, &batch, &mut logits[..count]);
        result.map_err(|error| error.to_string())
    };
    assert_eq!(run(&[60], SAMPLE.categories), Ok(()));
    assert!(
        run(&[61], SAMPLE.categories)
            .unwrap_err()
            .contains("token id 61")
    );
    assert!(
        run(&[1; 201], SAMPLE.categories)
            .unwrap_err()
            .contains("201 tokens")
    );
    assert!(
        run(&[1], SAMPLE.categories - 1)
            .unwrap_err()
            .contains("stream.onnx")
    );
}

//! Texts that a small decoder generates, and how likely it finds texts.

use tch::Device;

use super::*;
use crate::model::likelihood::log_likelihood;
use crate::model::tensors::host;
use crate::recipe::ModelRecipe;

const SETTINGS: SamplingSettings = SamplingSettings {
    temperature: 0.8,
    top_p: 1.0,
    max_tokens: 12,
    end: 0,
    token_bonus: 0.0,
    order_bonus: 0.0,
};

fn decoder() -> Decoder {
    let shape = ModelRecipe {
        layers: 2,
        hidden: 32,
        heads: 2,
        kv_heads: 1,
        intermediate: 20,
        max_position: 32,
        rope_theta: 10000.0,
        norm_eps: 1e-6,
        rope_scaling: None,
        tied: true,
        qkv_bias: true,
    };
    let mut decoder = Decoder::new(&shape, 23, 3, &Device::Cpu);
    // Fresh weights make all tokens nearly equally likely; larger ones do not.
    let _ = decoder.weights.flat.g_mul_scalar_(4.0);
    decoder
}

#[test]
fn a_text_does_not_depend_on_its_neighbours() {
    let decoder = decoder();
    let prompts: Vec<Prompt> = (0..20)
        .map(|i| Prompt {
            ids: vec![1 + i % 3; 2 + (i % 2) as usize],
            seed: i as u64,
            bonus_tokens: Vec::new(),
        })
        .collect();
    let together = generate(&decoder, &prompts, &SETTINGS);
    assert!(together.iter().flatten().any(|text| text.len() > 2));
    for (prompt, text) in prompts.iter().zip(&together) {
        assert_eq!(
            &generate(&decoder, std::slice::from_ref(prompt), &SETTINGS)[0],
            text
        );
    }
}

#[test]
fn tokens_with_a_bonus_are_generated_in_their_order() {
    let decoder = decoder();
    let settings = SamplingSettings {
        token_bonus: 1e4,
        order_bonus: 1e4,
        temperature: 1.0,
        ..SETTINGS
    };
    let wanted = vec![9, 7, 12, 3, 7];
    let prompts: Vec<Prompt> = (0..20)
        .map(|seed| Prompt {
            ids: vec![4, 5, 6],
            seed,
            bonus_tokens: wanted.clone(),
        })
        .collect();
    for text in generate(&decoder, &prompts, &settings) {
        // All of them, the repeated one too, and then the end.
        assert_eq!(text, Some(wanted.clone()));
    }
}

#[test]
fn tokens_with_a_bonus_are_generated_once_each() {
    let decoder = decoder();
    let texts = |token_bonus: f64| {
        let prompts: Vec<Prompt> = (0..300)
            .map(|seed| Prompt {
                ids: vec![4, 5, 6],
                seed,
                bonus_tokens: vec![9, 7, 9],
            })
            .collect();
        let settings = SamplingSettings {
            token_bonus,
            temperature: 1.0,
            max_tokens: 28,
            ..SETTINGS
        };
        generate(&decoder, &prompts, &settings)
    };
    let long: Vec<Vec<i32>> = texts(1e4).into_iter().flatten().collect();
    assert!(!long.is_empty());
    for text in &long {
        let mut first = text[..3].to_vec();
        first.sort_unstable();
        assert_eq!(first, [7, 9, 9], "{text:?}");
    }
    // A token that was generated has lost its bonus.
    assert!(
        long.iter()
            .any(|text| text[3..].iter().any(|id| *id != 7 && *id != 9))
    );
    let has_all = |text: &Vec<i32>| text.contains(&7) && text.contains(&9);
    assert!(!texts(0.0).iter().flatten().all(has_all));
}

#[test]
fn likelihoods_add_up_over_all_texts_of_one_token() {
    let decoder = decoder();
    let (a, b) = ([4, 5, 6], [7]);
    // p(first token) x p(end | it), over all first tokens, is the probability of ending after
    // one.
    let targets: Vec<Vec<i32>> = (1..23).map(|token| vec![token]).collect();
    let rows: Vec<(&[i32], &[i32])> = targets.iter().map(|t| (&a[..], t.as_slice())).collect();
    let batch = host(&log_likelihood(&decoder, &rows, 0));
    for (row, found) in rows.iter().zip(&batch) {
        let alone = host(&log_likelihood(&decoder, &[*row, (&b, &[1, 2, 3])], 0))[0];
        assert!((alone - found).abs() < 1e-4, "{alone} {found}");
    }
    let nothing = host(&log_likelihood(&decoder, &[(&a, &[])], 0))[0].exp();
    let one: f32 = batch.iter().map(|l| l.exp()).sum();
    let frequency = |length: usize| {
        let prompts: Vec<Prompt> = (0..4000)
            .map(|seed| Prompt {
                ids: a.to_vec(),
                seed,
                bonus_tokens: Vec::new(),
            })
            .collect();
        let settings = SamplingSettings {
            temperature: 1.0,
            ..SETTINGS
        };
        let texts = generate(&decoder, &prompts, &settings);
        texts
            .iter()
            .flatten()
            .filter(|text| text.len() == length)
            .count() as f32
            / 4000.0
    };
    assert!(
        (frequency(0) - nothing).abs() < 0.03,
        "{} {nothing}",
        frequency(0)
    );
    assert!((frequency(1) - one).abs() < 0.03, "{} {one}", frequency(1));
}

//! Losses and gradients of one step of each kind against PyTorch: `tests/golden/steps.py`.

use std::rc::Rc;

use duoguard_export::Llama3Scaling;
use safetensors::SafeTensors;
use serde_json::Value;
use tch::{Device, Tensor};

use crate::model::backward::backward;
use crate::model::decoder::Decoder;
use crate::model::gradients::Gradients;
use crate::model::head::SampledVocabulary;
use crate::model::layout::{Layout, Weights};
use crate::model::likelihood::log_likelihood;
use crate::model::network::Classifier;
use crate::model::tensors::host;
use crate::recipe::{ClassifierLoss, ComputeRecipe, ModelRecipe, Precision};
use crate::train::loss::{Targets, classifier_loss, language_model_loss};
use crate::train::preference::preference_loss;

const TOLERANCE: f32 = 1e-5;
const VOCABULARY: usize = 40;

fn shape(name: &str) -> ModelRecipe {
    let is_llama = name == "llama";
    ModelRecipe {
        layers: 2,
        hidden: 16,
        heads: 4,
        kv_heads: 2,
        intermediate: 24,
        max_position: 64,
        rope_theta: if is_llama { 500.0 } else { 10000.0 },
        norm_eps: 1e-6,
        rope_scaling: is_llama.then_some(Llama3Scaling {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position: 16.0,
        }),
        tied: !is_llama,
        qkv_bias: !is_llama,
    }
}

pub(super) fn values(file: &SafeTensors<'_>, name: &str) -> Option<Vec<f32>> {
    let view = file.tensor(name).ok()?;
    let values = view.data().chunks_exact(4);
    let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    Some(values.collect())
}

pub(super) fn floats(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(values) => values.iter().flat_map(floats).collect(),
        value => vec![value.as_f64().unwrap() as f32],
    }
}

fn integers(value: &Value) -> Vec<i32> {
    floats(value).into_iter().map(|x| x as i32).collect()
}

pub(super) fn rows(value: &Value) -> Vec<Vec<i32>> {
    value.as_array().unwrap().iter().map(integers).collect()
}

/// The logits of texts that are padded with `padding` to the longest.
pub(super) fn padded_logits(network: &impl Classifier, texts: &[Vec<i32>], padding: i32) -> Tensor {
    let tokens = texts.iter().map(Vec::len).max().unwrap();
    let lengths: Vec<i32> = texts.iter().map(|text| text.len() as i32).collect();
    let mut ids = Vec::new();
    for (row, text) in texts.iter().enumerate() {
        ids.extend_from_slice(text);
        ids.resize((row + 1) * tokens, padding);
    }
    network.logits(&ids, &lengths, tokens)
}

pub(super) fn targets(data: &Value) -> Targets {
    let readings = floats(&data["readings"]);
    let column = |i: usize| readings.iter().skip(i).step_by(3).copied().collect();
    Targets {
        labels: floats(&data["labels"]),
        safe: column(0),
        known: column(1),
        unknown: column(2),
    }
}

fn classifier(decoder: &Decoder, data: &Value) -> Tensor {
    let texts = rows(&data["rows"]);
    let logits = padded_logits(decoder, &texts, 0);
    classifier_loss(ClassifierLoss::LogSumExp, &logits, &targets(data))
}

fn pretrain(decoder: &Decoder, data: &Value, sampled: SampledVocabulary) -> Tensor {
    let ids = rows(&data["ids"]);
    let hidden = decoder.hidden(&ids.concat(), [ids.len(), ids[0].len()], None);
    language_model_loss(decoder, &hidden, &sampled)
}

fn preference(decoder: &Decoder, data: &Value) -> Tensor {
    let [prompts, chosen, rejected] =
        ["prompts", "chosen", "rejected"].map(|name| rows(&data[name]));
    let texts = chosen.iter().chain(&rejected);
    let pairs: Vec<(&[i32], &[i32])> = texts
        .zip(prompts.iter().cycle())
        .map(|(text, prompt)| (&prompt[..], &text[..]))
        .collect();
    let both = log_likelihood(decoder, &pairs, 0);
    let half = chosen.len() as i64;
    let column = |name: &str| Tensor::from_slice(&floats(&data[name]));
    let lengths: Vec<f32> = chosen.iter().map(|text| text.len() as f32 + 1.0).collect();
    preference_loss(
        [&both.narrow(0, 0, half), &both.narrow(0, half, half)],
        [&column("reference_chosen"), &column("reference_rejected")],
        &Tensor::from_slice(&lengths),
        data["beta"].as_f64().unwrap(),
        data["alpha"].as_f64().unwrap(),
    )
}

fn loss(decoder: &Decoder, step: &str, data: &Value) -> Tensor {
    match step {
        "classifier" => classifier(decoder, data),
        "pretrain" => {
            let all = SampledVocabulary::all(integers(&data["targets"]));
            pretrain(decoder, data, all)
        }
        "sampled" => {
            let sampled = SampledVocabulary {
                tokens: Some(integers(&data["tokens"])),
                offsets: Some(floats(&data["offsets"])),
                targets: integers(&data["places"]),
            };
            pretrain(decoder, data, sampled)
        }
        _ => preference(decoder, data),
    }
}

/// The network whose weights are in `file`.
fn network(name: &str, file: &SafeTensors<'_>) -> Decoder {
    let shape = shape(name);
    let layout = Rc::new(Layout::new(&shape, VOCABULARY));
    let weights = Weights::zeros(layout.clone(), Device::Cpu);
    for entry in &layout.entries {
        let value = values(file, &format!("value.{}", entry.name)).expect(&entry.name);
        let value = Tensor::from_slice(&value).view(entry.dims.as_slice());
        weights.view(entry.offset, &entry.dims).copy_(&value);
    }
    Decoder::over(&shape, VOCABULARY, weights)
}

/// Compares a step's gradients with those in `file`.
fn check(file: &SafeTensors<'_>, (name, step): (&str, &str), decoder: &Decoder, sum: &Gradients) {
    for entry in &decoder.weights.layout.entries {
        let expected = values(file, &format!("{step}.{}", entry.name));
        let found = sum.of(entry.offset, entry.elements());
        assert_eq!(
            found.is_some(),
            expected.is_some(),
            "{name} {step} {}",
            entry.name
        );
        let (Some(found), Some(expected)) = (found, expected) else {
            continue;
        };
        for (found, expected) in host(&found).into_iter().zip(expected) {
            let off = (found - expected).abs() / expected.abs().max(1.0);
            let tensor = &entry.name;
            assert!(
                off < TOLERANCE,
                "{name} {step} {tensor}: {found} {expected}"
            );
        }
    }
}

#[test]
fn losses_and_gradients_are_those_of_pytorch() {
    let golden: Value =
        serde_json::from_str(include_str!("../../tests/golden/steps.json")).unwrap();
    for (name, file) in [
        (
            "qwen2",
            &include_bytes!("../../tests/golden/qwen2.safetensors")[..],
        ),
        (
            "llama",
            &include_bytes!("../../tests/golden/llama.safetensors")[..],
        ),
    ] {
        let file = SafeTensors::deserialize(file).unwrap();
        let decoder = network(name, &file);
        for step in ["classifier", "pretrain", "sampled", "preference"] {
            let sums = [false, true].map(|recompute_layers| {
                let working = decoder.working(ComputeRecipe {
                    precision: Precision::F32,
                    recompute_layers,
                    sampling_precision: Precision::F32,
                    read_every: None,
                });
                let mut sum = Gradients::new(&decoder.weights);
                let loss = loss(&working, step, &golden["data"][step]);
                backward(&working, &loss, &mut sum);
                let found = loss.double_value(&[]) as f32;
                let expected = golden["losses"][name][step].as_f64().unwrap() as f32;
                let limit = TOLERANCE * expected.abs().max(1.0);
                assert!(
                    (found - expected).abs() < limit,
                    "{name} {step}: {found} {expected}"
                );
                check(&file, (name, step), &decoder, &sum);
                host(&sum.flat)
            });
            assert_eq!(sums[0], sums[1], "{name} {step}: computing layers again");
        }
    }
}

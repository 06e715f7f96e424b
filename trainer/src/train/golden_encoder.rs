//! The loss and gradients of one step of an encoder against PyTorch: `tests/golden/encoder.py`.

use std::rc::Rc;

use safetensors::SafeTensors;
use serde_json::Value;
use tch::{Device, Tensor, no_grad};

use crate::model::encoder::{Encoder, EncoderShape, layouts};
use crate::model::gradients::Gradients;
use crate::model::layout::{CATEGORIES, Weights};
use crate::model::network::Network;
use crate::model::tensors::host;
use crate::recipe::{ClassifierLoss, ComputeRecipe};
use crate::train::golden::{padded_logits, rows, targets, values};
use crate::train::loss::{classifier_loss, language_loss};
use crate::train::optimizer::{AdamW, StepSettings};

const TOLERANCE: f32 = 1e-5;
const LANGUAGES: usize = 3;
const LANGUAGE_WEIGHT: f64 = 0.3;

fn shape() -> EncoderShape {
    EncoderShape {
        vocabulary: 40,
        layers: 3,
        hidden: 16,
        heads: 4,
        intermediate: 24,
        positions: 20,
        types: 2,
        norm_eps: 1e-12,
        outputs: CATEGORIES + LANGUAGES,
        frozen_layers: 1,
        layer_decay: 0.5,
        classifier_rate: 4.0,
        dropout: 0.0,
    }
}

fn network(shape: &EncoderShape, file: &SafeTensors<'_>) -> Encoder {
    let [trained, frozen] = layouts(shape).map(|layout| {
        let weights = Weights::zeros(layout.clone(), Device::Cpu);
        for entry in &layout.entries {
            let value = values(file, &format!("value.{}", entry.name)).expect(&entry.name);
            let value = Tensor::from_slice(&value).view(entry.dims.as_slice());
            weights.view(entry.offset, &entry.dims).copy_(&value);
        }
        weights
    });
    Encoder::over(shape, trained, Rc::new(frozen))
}

fn loss(encoder: &Encoder, data: &Value) -> Tensor {
    let logits = padded_logits(encoder, &rows(&data["rows"]), 7);
    let languages = data["languages"].as_array().unwrap();
    let languages: Vec<Option<usize>> = languages
        .iter()
        .map(|l| l.as_u64().map(|l| l as usize))
        .collect();
    let categories = logits.narrow(1, 0, CATEGORIES as i64);
    let of_languages = logits.narrow(1, CATEGORIES as i64, LANGUAGES as i64);
    classifier_loss(ClassifierLoss::LogSumExp, &categories, &targets(data))
        + language_loss(&of_languages, &languages) * LANGUAGE_WEIGHT
}

fn opened(of: impl FnOnce(&SafeTensors<'_>, &Value)) {
    let golden = serde_json::from_str(include_str!("../../tests/golden/encoder.json")).unwrap();
    let bytes = include_bytes!("../../tests/golden/encoder.safetensors");
    of(&SafeTensors::deserialize(bytes).unwrap(), &golden);
}

#[test]
fn loss_and_gradients_are_those_of_pytorch() {
    opened(|file, golden| {
        let encoder = network(&shape(), file);
        let working = encoder.working(ComputeRecipe::default());
        let mut sum = Gradients::new(encoder.weights());
        let loss = loss(&working, &golden["data"]);
        working.backward(&loss, &mut sum);
        let (found, expected) = (loss.double_value(&[]), golden["loss"].as_f64().unwrap());
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        for entry in &encoder.weights.layout.entries {
            let expected = values(file, &format!("gradient.{}", entry.name)).expect(&entry.name);
            let found = sum.of(entry.offset, entry.elements()).expect(&entry.name);
            for (found, expected) in host(&found).into_iter().zip(expected) {
                let off = (found - expected).abs() / expected.abs().max(1.0);
                assert!(off < TOLERANCE, "{}: {found} {expected}", entry.name);
            }
        }
        // What PyTorch has no gradient of is not among the weights that are trained.
        let trained = file.names();
        let trained = trained.iter().filter(|name| name.starts_with("gradient."));
        assert_eq!(trained.count(), encoder.weights.layout.entries.len());
    });
}

#[test]
fn layers_learn_at_rates_of_their_own() {
    opened(|file, golden| {
        let mut encoder = network(&shape(), file);
        let before = host(&encoder.weights.flat);
        let working = encoder.working(ComputeRecipe::default());
        let mut sum = Gradients::new(encoder.weights());
        let loss = loss(&working, &golden["data"]);
        working.backward(&loss, &mut sum);
        let settings = StepSettings {
            learning_rate: 1e-2,
            weight_decay: 0.0,
            max_gradient_norm: 1e9,
        };
        let _ = AdamW::new(encoder.weights()).apply(encoder.weights_mut(), &sum, 1, &settings);
        let after = host(&encoder.weights.flat);
        let moved = |name: &str| {
            let entry = encoder.weights.layout.entry(name).unwrap();
            let places = entry.offset as usize..(entry.offset + entry.elements()) as usize;
            let pairs = after[places.clone()].iter().zip(&before[places]);
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        // Adam's first step is the rate itself, wherever there is a gradient.
        for (name, rate) in [
            ("bert.encoder.layer.1.intermediate.dense.weight", 0.5e-2),
            ("bert.encoder.layer.2.output.LayerNorm.bias", 1e-2),
            ("bert.encoder.layer.2.attention.self.query.weight", 1e-2),
            ("classifier.weight", 4e-2),
        ] {
            assert!((moved(name) - rate).abs() < 1e-4, "{name}: {}", moved(name));
        }
    });
}

#[test]
fn what_is_dropped_follows_the_seed_and_nothing_is_when_judging() {
    opened(|file, golden| {
        let encoder = network(
            &EncoderShape {
                dropout: 0.3,
                ..shape()
            },
            file,
        );
        let working = encoder.working(ComputeRecipe::default());
        let drawn = |seed| {
            tch::manual_seed(seed);
            no_grad(|| loss(&working, &golden["data"]).double_value(&[]))
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        let judged = no_grad(|| loss(&encoder, &golden["data"]).double_value(&[]));
        assert!((judged - golden["loss"].as_f64().unwrap()).abs() < 1e-5);
    });
}

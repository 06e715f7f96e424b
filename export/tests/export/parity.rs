//! Whether the exported network computes what the checkpoint does.

use std::num::NonZeroUsize;
use std::path::Path;

use duoguard::{EngineChoice, Model, SessionOptions};
use duoguard_export::checkpoint::Checkpoint;
use duoguard_export::{ExportError, ExportOptions, Quantize, export, reference};
use safetensors::Dtype;
use serde_json::json;

use crate::support::{Family, Numbers, Recipe};

const FP32_TOLERANCE: f32 = 1e-4;

fn options(quantize: Quantize) -> ExportOptions {
    ExportOptions {
        quantize,
        ..ExportOptions::default()
    }
}

/// The logits of a bundle on an engine.
fn logits(bundle: &Path, engine: &str, inputs: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let options = SessionOptions {
        engine: EngineChoice::Named(engine.to_owned()),
        threads: NonZeroUsize::MIN,
    };
    let mut session = Model::open(bundle).unwrap().session(&options).unwrap();
    inputs
        .iter()
        .map(|ids| session.logits(ids).unwrap())
        .collect()
}

/// ONNX Runtime and a GPU are tested where they are installed; the shaders have no 4-bit weights
/// yet.
fn engines(quantize: Quantize) -> impl Iterator<Item = String> {
    duoguard::engines()
        .into_iter()
        .filter(move |engine| {
            let has_4_bits = engine.name != "wgpu";
            engine.available && (has_4_bits || quantize != Quantize::Int4)
        })
        .map(|engine| engine.name)
}

fn largest_difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

pub fn shapes() -> Vec<Recipe> {
    let base = Recipe::default();
    vec![
        base.clone(),
        Recipe {
            layers: 1,
            intermediate: 96,
            ..base.clone()
        },
        Recipe {
            layers: 3,
            hidden: 96,
            heads: 6,
            intermediate: 51,
            vocabulary: 67,
            labels: 5,
            ..base.clone()
        },
        Recipe {
            hidden: 48,
            heads: 3,
            kv_heads: 1,
            intermediate: 7,
            labels: 1,
            ..base.clone()
        },
        Recipe {
            hidden: 144,
            heads: 3,
            kv_heads: 3,
            intermediate: 130,
            max_position: 40,
            ..base.clone()
        },
        Recipe {
            dtype: Dtype::BF16,
            ..base.clone()
        },
        Recipe {
            family: Family::Llama,
            kv_heads: 4,
            ..base.clone()
        },
        Recipe {
            dtype: Dtype::F16,
            ..base
        },
    ]
}

#[test]
fn every_engine_agrees_with_the_reference() {
    for recipe in shapes() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("checkpoint");
        recipe.files().write(&checkpoint);
        let opened = Checkpoint::open(&checkpoint).unwrap();
        let mut numbers = Numbers(1);
        let inputs = [1, 2, 7, 33].map(|length| numbers.ids(length, recipe.vocabulary));
        let expected: Vec<_> = inputs
            .iter()
            .map(|ids| reference::forward(&opened, ids))
            .collect();
        let spread = expected
            .iter()
            .flatten()
            .fold(0.0_f32, |m, x| m.max(x.abs()));
        for (quantize, tolerance) in [
            (Quantize::None, FP32_TOLERANCE),
            (Quantize::Int8, 0.1 * spread),
            (Quantize::Int8Token, 0.1 * spread),
            (Quantize::Int8Outliers, 0.07 * spread),
            (Quantize::Int8Weights, 0.05 * spread),
            (Quantize::Int4, spread),
        ] {
            if quantize == Quantize::Int4 && !recipe.intermediate.is_multiple_of(32) {
                continue;
            }
            let bundle = folder.path().join(quantize.name());
            let report = export(&checkpoint, &bundle, &options(quantize)).unwrap();
            assert!(report.fp32_parity_max_error <= f64::from(FP32_TOLERANCE));
            for engine in engines(quantize) {
                let error = largest_difference(&logits(&bundle, &engine, &inputs), &expected);
                let at = format!(
                    "{engine} {} {}x{} {:?}",
                    quantize.name(),
                    recipe.layers,
                    recipe.hidden,
                    recipe.dtype
                );
                println!("{at}: {error:e} of {spread}");
                assert!(error <= tolerance, "{at}: {error}");
            }
        }
    }
}

#[test]
fn transformers_agrees() {
    for family in ["qwen2", "llama"] {
        let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(family);
        let opened = Checkpoint::open(&checkpoint).unwrap();
        let golden = opened.golden().unwrap();
        let inputs: Vec<_> = golden.cases.iter().map(|c| c.input_ids.clone()).collect();
        let expected: Vec<_> = golden.cases.iter().map(|c| c.logits.clone()).collect();
        let found: Vec<_> = inputs
            .iter()
            .map(|ids| reference::forward(&opened, ids))
            .collect();
        let error = largest_difference(&found, &expected);
        println!("{family} reference: {error:e}");
        assert!(error <= FP32_TOLERANCE, "{family}: {error}");
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("bundle");
        let report = export(&checkpoint, &bundle, &options(Quantize::None)).unwrap();
        println!("{family} export: {:e}", report.fp32_parity_max_error);
        for engine in engines(Quantize::None) {
            let error = largest_difference(&logits(&bundle, &engine, &inputs), &expected);
            println!("{family} {engine}: {error:e}");
            assert!(error <= FP32_TOLERANCE, "{family} {engine}: {error}");
        }
    }
}

#[test]
fn every_window_of_a_llama_begins_with_its_first_token() {
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/llama");
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    let report = export(&checkpoint, &bundle, &options(Quantize::None)).unwrap();
    assert_eq!(report.manifest.prefix_tokens, [60]);
    // The whole length of the network, less the one token.
    assert_eq!(report.manifest.limits.window_tokens, 511);
    let model = Model::open(&bundle).unwrap();
    let mut session = model.session(&SessionOptions::default()).unwrap();
    let text = "w3 w4 w5";
    let found = session.window_logits(text).unwrap();
    assert_eq!(found, [session.logits(&[60, 3, 4, 5]).unwrap()]);
    let verdict = session.check(&duoguard::Input::prompt(text)).unwrap();
    assert_eq!((verdict.tokens, verdict.windows), (3, 1));
    let long = vec!["w7"; 600].join(" ");
    let windows = model.windows(&model.tokenize(&long).unwrap());
    assert!(windows.len() == 2 && windows.iter().all(|w| w.len() == 512 && w[0] == 60));
}

#[test]
fn wrong_golden_logits_are_refused_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    let mut files = Recipe::default().files();
    let case = json!({ "input_ids": [1, 2, 3], "logits": vec![9.0; 12] });
    let golden = json!({ "tolerance": 1e-4, "cases": [case] });
    files.extra.insert("golden.json", golden);
    files.write(&checkpoint);
    let bundle = folder.path().join("bundle");
    let refused = export(&checkpoint, &bundle, &ExportOptions::default()).unwrap_err();
    assert!(matches!(refused, ExportError::Parity { tokens: 3, .. }));
    assert!(refused.to_string().contains("golden.json"), "{refused}");
    assert!(!bundle.exists());
    let options = ExportOptions {
        force: true,
        ..ExportOptions::default()
    };
    let report = export(&checkpoint, &bundle, &options).unwrap();
    assert!(report.fp32_parity_max_error > 1.0);
}

#[test]
fn weights_are_aligned_and_listed_by_any_safetensors_reader() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    let recipe = Recipe {
        vocabulary: 51,
        intermediate: 41,
        ..Recipe::default()
    };
    recipe.files().write(&checkpoint);
    let bundle = folder.path().join("bundle");
    export(&checkpoint, &bundle, &ExportOptions::default()).unwrap();
    let bytes = std::fs::read(bundle.join("weights.data")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(
        tensors.tensor("embedding.weight").unwrap().shape(),
        [51, 64]
    );
    for (name, tensor) in tensors
        .iter()
        .filter(|(name, _)| !name.starts_with("padding."))
    {
        let offset = tensor.data().as_ptr() as usize - bytes.as_ptr() as usize;
        assert_eq!(offset % 64, 0, "{name}");
    }
}

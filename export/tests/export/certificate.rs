//! Certificates of whole exports, and the choice of a scheme by them.

use std::path::{Path, PathBuf};

use duoguard::Model;
use duoguard_export::{ExportError, ExportOptions, Quantize, Tolerance, certify, export};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::{Files, Numbers, Recipe};

const TEXTS: usize = 400;

/// A guard with one label whose words are either harmless or not, and a file of labelled texts.
///
/// The layers are small beside the embedding, so that verdicts are clear, as those of a trained
/// guard.
fn clear_guard(folder: &Path) -> (PathBuf, PathBuf) {
    let recipe = Recipe {
        labels: 1,
        ..Recipe::default()
    };
    let mut files = recipe.files();
    for (name, (_, values)) in &mut files.tensors {
        if name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight") {
            values.iter_mut().for_each(|x| *x *= 0.2);
        }
    }
    let score = files.tensors["score.weight"].1.clone();
    let embedding = &mut files
        .tensors
        .get_mut("model.embed_tokens.weight")
        .unwrap()
        .1;
    for (word, row) in embedding.chunks_exact_mut(recipe.hidden).enumerate() {
        let side = if word % 2 == 1 { 6.0 } else { -6.0 };
        row.iter_mut()
            .zip(&score)
            .for_each(|(x, s)| *x = 0.3 * *x + side * s);
    }
    write(&files, folder, recipe.vocabulary)
}

fn write(files: &Files, folder: &Path, vocabulary: usize) -> (PathBuf, PathBuf) {
    let checkpoint = folder.join("checkpoint");
    files.write(&checkpoint);
    let mut numbers = Numbers(5);
    let line = |index: usize| {
        let label = index % 2;
        let mut ids = numbers.ids(5, vocabulary);
        ids.push((2 * (index % 20) + label) as u32);
        let words: Vec<_> = ids.iter().map(|id| format!("w{id}")).collect();
        let lang = ["en", "fr"][index / 2 % 2];
        json!({ "text": words.join(" "), "lang": lang, "unsafe": label }).to_string()
    };
    let lines: Vec<_> = (0..TEXTS).map(line).collect();
    let texts = folder.join("texts.jsonl");
    std::fs::write(&texts, lines.join("\n")).unwrap();
    (checkpoint, texts)
}

fn options(quantize: Quantize, texts: &Path) -> ExportOptions {
    ExportOptions {
        quantize,
        certify: Some(texts.to_owned()),
        ..ExportOptions::default()
    }
}

#[test]
fn a_quantiser_that_scales_one_channel_wrongly_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (checkpoint, texts) = clear_guard(folder.path());
    let options = options(Quantize::Int8, &texts);
    let bundle = folder.path().join("bundle");
    let report = export(&checkpoint, &bundle, &options).unwrap();
    let whole = report.certificate.unwrap();
    assert!(
        whole.passed && whole.all.recall.unwrap().fp32 > 0.8,
        "{:?}",
        whole.all
    );
    assert_eq!(certify(&checkpoint, &bundle, &options).unwrap(), whole);

    // Some hidden channel of the feed-forward output comes out far too large.
    scale_channel(&bundle, "layers.0.down.scale", 3, 5000.0);
    let sabotaged = certify(&checkpoint, &bundle, &options).unwrap();
    assert!(!sabotaged.passed);
    assert!(
        sabotaged.violations.iter().any(|v| v.starts_with("en: ")),
        "{:?}",
        sabotaged.violations
    );
    assert!(sabotaged.all.logit_error.p95 > 10.0 * whole.all.logit_error.p95);
}

/// Multiplies one value of a tensor of a bundle, and makes the manifest agree.
fn scale_channel(bundle: &Path, tensor: &str, channel: usize, factor: f32) {
    let path = bundle.join("weights.data");
    let mut bytes = std::fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let data = tensors.tensor(tensor).unwrap().data();
    let at = data.as_ptr() as usize - bytes.as_ptr() as usize + 4 * channel;
    let value = f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    bytes[at..at + 4].copy_from_slice(&(value * factor).to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let hash: String = Sha256::digest(&bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let manifest = bundle.join("manifest.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    json["files"]["weights.data"] = json!(hash);
    std::fs::write(&manifest, json.to_string()).unwrap();
}

#[test]
fn beyond_the_tolerance_nothing_is_written_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    // A random network: scores are nowhere clear, and verdicts flip.
    let recipe = Recipe {
        labels: 1,
        intermediate: 64,
        ..Recipe::default()
    };
    let (checkpoint, texts) = write(&recipe.files(), folder.path(), recipe.vocabulary);
    let mut options = options(Quantize::Int4, &texts);
    let bundle = folder.path().join("bundle");
    let refused = export(&checkpoint, &bundle, &options).unwrap_err();
    assert!(
        matches!(refused, ExportError::Certificate { .. }),
        "{refused}"
    );
    let message = refused.to_string();
    for part in [
        "int4-blocks",
        "verdicts change",
        "--quantize auto",
        "--force",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!bundle.exists());
    options.force = true;
    export(&checkpoint, &bundle, &options).unwrap();
    let manifest = Model::open(&bundle).unwrap().manifest().clone();
    assert_eq!(manifest.certificate["passed"], json!(false));
}

#[test]
fn auto_writes_what_passes_and_says_what_it_tried() {
    let folder = tempfile::tempdir().unwrap();
    let (checkpoint, texts) = clear_guard(folder.path());
    let bundle = folder.path().join("bundle");
    let report = export(&checkpoint, &bundle, &options(Quantize::Auto, &texts)).unwrap();
    assert!(
        report
            .certificate
            .is_none_or(|certificate| certificate.passed)
    );
    let tried = report.manifest.quantization["tried"]
        .as_array()
        .unwrap()
        .clone();
    // The feed-forward block is 40 wide, which does not divide into blocks.
    assert!(tried.len() >= 3 && tried.iter().all(|row| row["scheme"] != "int4-blocks"));
    assert!(
        tried
            .iter()
            .all(|row| row["latency_ms"].as_f64().unwrap() > 0.0)
    );
}

#[test]
fn mixed_spares_what_measurement_finds_sensitive() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = Recipe {
        labels: 1,
        ..Recipe::default()
    };
    let mut files = recipe.files();
    // Gate and up of layer 1 see one huge channel, for which a scale per tensor leaves the others
    // nothing.
    let norm = &mut files
        .tensors
        .get_mut("model.layers.1.post_attention_layernorm.weight")
        .unwrap()
        .1;
    norm[7] = 300.0;
    for part in ["gate", "up"] {
        let weight = files
            .tensors
            .get_mut(&format!("model.layers.1.mlp.{part}_proj.weight"));
        weight
            .unwrap()
            .1
            .chunks_exact_mut(64)
            .for_each(|row| row[7] = 0.0);
    }
    let (checkpoint, texts) = write(&files, folder.path(), 50);
    let mut options = options(Quantize::Mixed, &texts);
    options.tolerance = Tolerance {
        fpr: 1.0,
        recall: 1.0,
        flips: 0.05,
    };
    let bundle = folder.path().join("bundle");
    let report = export(&checkpoint, &bundle, &options).unwrap();
    assert!(report.certificate.unwrap().passed);
    let kept = report.manifest.quantization["kept"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(kept, [json!("layers.1.gate_up")]);
    options.quantize = Quantize::Int8;
    let plain = export(&checkpoint, &folder.path().join("int8"), &options);
    assert!(matches!(plain, Err(ExportError::Certificate { .. })));
}

#[test]
fn wrong_options_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (checkpoint, texts) = clear_guard(folder.path());
    let bundle = folder.path().join("bundle");
    let refusal = |options: ExportOptions| {
        export(&checkpoint, &bundle, &options)
            .unwrap_err()
            .to_string()
    };
    let message = refusal(options(Quantize::Int4, &texts));
    assert!(message.contains("layers.0.down has 40 inputs"), "{message}");
    let labels = Some(vec!["a".to_owned(), "b".to_owned()]);
    let message = refusal(ExportOptions {
        labels,
        ..ExportOptions::default()
    });
    assert!(
        message.contains("2 labels are given, but the checkpoint has 1"),
        "{message}"
    );
    let message = refusal(ExportOptions {
        certify_rows: 0,
        ..ExportOptions::default()
    });
    assert!(message.contains("0 texts"), "{message}");
    std::fs::write(&texts, "{\"text\": \"a\", \"lang\": \"en\"}\n{\"text\": 5}").unwrap();
    let message = refusal(options(Quantize::Int8, &texts));
    assert!(message.contains("texts.jsonl:2: "), "{message}");
}

#[test]
fn given_labels_become_the_categories() {
    let folder = tempfile::tempdir().unwrap();
    let (checkpoint, texts) = clear_guard(folder.path());
    let mut options = options(Quantize::Int8, &texts);
    options.labels = Some(vec!["harm".to_owned()]);
    let report = export(&checkpoint, &folder.path().join("bundle"), &options).unwrap();
    assert_eq!(report.manifest.categories, ["harm"]);
}

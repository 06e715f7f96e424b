//! Checkpoints in GGUF files: what they hold, and what is said about those that cannot be read.

mod file;
mod layout;
mod metadata;

use std::path::{Path, PathBuf};

use duoguard_export::checkpoint::{Chat, Checkpoint};
use duoguard_export::{ExportOptions, Quantize, export, reference};
use serde_json::Value;

use crate::support::Family;
use file::{GgufFile, Item, Tensor, language_model};

const FAMILIES: [Family; 2] = [Family::Llama, Family::Qwen2];

fn golden_file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gguf");
    folder.join(name)
}

/// Input ids and logits that `transformers` gives for a file.
fn golden_cases(name: &str) -> Vec<(Vec<u32>, Vec<f32>)> {
    let golden = std::fs::read(golden_file("golden.json")).unwrap();
    let golden: Value = serde_json::from_slice(&golden).unwrap();
    let cases = golden[name].as_array().unwrap().iter();
    let case = |case: &Value| {
        let ids = case["input_ids"].as_array().unwrap().iter();
        let logits = case["logits"].as_array().unwrap().iter();
        (
            ids.map(|id| id.as_u64().unwrap() as u32).collect(),
            logits.map(|x| x.as_f64().unwrap() as f32).collect(),
        )
    };
    cases.map(case).collect()
}

#[test]
fn the_same_tensors_come_as_from_a_folder() {
    for family in FAMILIES {
        let (files, file) = language_model(family);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, file.bytes()).unwrap();
        // The file, or the folder that has nothing else of a checkpoint.
        for path in [path.as_path(), folder.path()] {
            let opened = Checkpoint::open_language_model(path).unwrap();
            for (name, (shape, values)) in &files.tensors {
                assert!(&opened.tensor(name) == values, "{name} of {path:?}");
                if let [rows, width] = shape[..] {
                    for row in [0, 5, rows / 2 + 1, rows - 1] {
                        let expected = &values[row * width..][..width];
                        assert_eq!(opened.row(name, row), expected, "{name}, row {row}");
                    }
                }
            }
            assert!(opened.config().tied);
            assert_eq!(opened.config().norm_eps, 1e-6);
        }
    }
}

#[test]
fn logits_are_those_of_transformers() {
    for name in ["llama-labels", "qwen2-labels"] {
        let opened = Checkpoint::open(&golden_file(&format!("{name}.gguf"))).unwrap();
        assert_eq!(opened.config().labels, ["violence", "privacy", "weapons"]);
        for (ids, expected) in golden_cases(name) {
            let found = reference::forward(&opened, &ids);
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 2e-5,
                    "{name}: {found}, {expected}"
                );
            }
        }
    }
}

#[test]
fn a_classifier_becomes_a_bundle_with_its_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    let options = ExportOptions {
        quantize: Quantize::None,
        ..ExportOptions::default()
    };
    let report = export(&golden_file("qwen2-labels.gguf"), &bundle, &options).unwrap();
    assert_eq!(
        report.manifest.categories,
        ["violence", "privacy", "weapons"]
    );
    assert_eq!(report.manifest.name, "qwen2-labels");
    let tokenizer = std::fs::read(bundle.join("tokenizer.json")).unwrap();
    let opened = Checkpoint::open(&golden_file("qwen2-labels.gguf")).unwrap();
    assert!(tokenizer == opened.tokenizer());
}

#[test]
fn chats_are_found_in_files_and_folders() {
    let chat = Chat::open(&golden_file("qwen2.gguf")).unwrap();
    assert!(chat.template.unwrap().contains("add_generation_prompt"));
    assert_eq!(chat.bos.as_deref(), Some("<|endoftext|>"));
    assert_eq!(chat.eos.as_deref(), Some("<|im_end|>"));
    assert_eq!(
        Chat::open(&golden_file("llama.gguf")).unwrap().template,
        None
    );

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("config.json", "{}");
    write("tokenizer.json", "{}");
    write(
        "tokenizer_config.json",
        r#"{"eos_token": {"content": "<e>"}, "bos_token": null}"#,
    );
    let chat = Chat::open(folder.path()).unwrap();
    assert_eq!((chat.template, chat.bos), (None, None));
    assert_eq!(chat.eos.as_deref(), Some("<e>"));
    write("chat_template.jinja", "{{ messages }}");
    let chat = Chat::open(folder.path()).unwrap();
    assert_eq!(chat.template.as_deref(), Some("{{ messages }}"));
    assert!(chat.path.ends_with("chat_template.jinja"));
}

#[test]
fn a_language_model_cannot_be_exported_and_a_classifier_is_no_start() {
    let message = Checkpoint::open(&golden_file("qwen2.gguf"))
        .unwrap_err()
        .to_string();
    for part in [
        "qwen2.gguf: a language model",
        "cls.output.weight",
        "[base]",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let labelled = golden_file("llama-labels.gguf");
    let message = Checkpoint::open_language_model(&labelled)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("a classifier: it has the tensor cls.output.weight"),
        "{message}"
    );
}

#[test]
fn a_folder_of_several_files_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.gguf", "b.GGUF"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let message = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(
        message.contains("holds 2 GGUF files and no config.json"),
        "{message}"
    );
    std::fs::remove_file(folder.path().join("b.GGUF")).unwrap();
    std::fs::write(folder.path().join("config.json"), "{}").unwrap();
    let message = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("name the file itself"), "{message}");
}

fn refusal(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    let message = Checkpoint::open_language_model(&path)
        .unwrap_err()
        .to_string();
    assert!(message.contains("model.gguf: "), "{message}");
    message
}

/// A change, and what the error says of it.
type Case = (&'static str, fn(&mut GgufFile), &'static [&'static str]);

/// That the file of a language model of the Llama family is refused after every change.
fn check_refusals(cases: &[Case]) {
    for (what, change, expected) in cases {
        let mut file = language_model(Family::Llama).1;
        change(&mut file);
        let message = refusal(&file.bytes());
        for part in *expected {
            assert!(message.contains(part), "{what}: {message}");
        }
    }
}

fn add(file: &mut GgufFile, name: &str, values: &[f32]) {
    let dimensions = vec![values.len() as u64];
    file.tensors.push(Tensor::floats(name, dimensions, values));
}

#[test]
fn the_scaling_of_llama_3_is_found_in_its_factors() {
    let (_, mut file) = language_model(Family::Llama);
    file.set("llama.rope.freq_base", Item::F32(500_000.0));
    // By llama.cpp's converter, for a head of 16 dimensions and a factor of 32.
    let factor = |pair: i32| {
        let wavelength = std::f64::consts::TAU * 500_000_f64.powf(f64::from(2 * pair) / 16.0);
        let smooth = (8192.0 / wavelength - 1.0) / (4.0 - 1.0);
        match wavelength {
            short if short < 8192.0 / 4.0 => 1.0,
            long if long > 8192.0 => 32.0,
            _ => (1.0 / ((1.0 - smooth) / 32.0 + smooth)) as f32,
        }
    };
    let factors: Vec<f32> = (0..8).map(factor).collect();
    assert!(factors.contains(&1.0) && factors.contains(&32.0));
    add(&mut file, "rope_freqs.weight", &factors);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, file.bytes()).unwrap();
    let opened = Checkpoint::open_language_model(&path).unwrap();
    let scaling = opened.config().rope.scaling.unwrap();
    assert_eq!(
        (scaling.factor, scaling.original_max_position),
        (32.0, 8192.0)
    );
}

use std::fs;

use serde_json::{Value, json};

use super::*;

/// The SHA-256 of "abc", from FIPS 180-2.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn manifest() -> Value {
    json!({
        "format_version": 1,
        "name": "toy",
        "architecture": {
            "model_type": "qwen2", "layers": 2, "hidden": 8, "heads": 2, "kv_heads": 1,
            "intermediate": 16, "vocabulary": 300, "max_position": 128
        },
        "categories": ["hate", "weapons"],
        "policy": {
            "default_thresholds": {"hate": 0.5, "weapons": 0.25},
            "language_thresholds": {"fr": {"hate": 0.75}}
        },
        "limits": {"window_tokens": 128, "overlap_tokens": 32},
        "files": {"tokenizer.json": ABC, "model.onnx": ABC, "weights.data": ABC},
        "quantization": {"scheme": "int8-dynamic"},
        "provenance": null
    })
}

fn bundle(manifest: &Value, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(MANIFEST), manifest.to_string()).unwrap();
    for (name, contents) in files {
        fs::write(folder.path().join(name), contents).unwrap();
    }
    folder
}

fn described(manifest: &Value, verbose: bool) -> String {
    let folder = bundle(manifest, &[]);
    let mut out = Vec::new();
    let _ = inspect(folder.path(), (verbose, &ModelOptions::default()), &mut out);
    String::from_utf8(out).unwrap()
}

fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn the_screen_has_what_matters() {
    let text = described(&manifest(), false);
    assert_contains(
        &text,
        &[
            "name         toy, bundle format 1\n",
            "qwen2: 2 layers of 8, 2 heads (1 for keys and values), feed-forward 16, vocabulary 300",
            "128 tokens, 32 shared",
            "weights      int8-dynamic\n",
            "made from    not stated\n",
            "    1: hate\n    2: weapons\n        1      2\n",
            "    0.500  0.250  default\n    0.750  0.250  fr\n",
        ],
    );
}

#[test]
fn what_shares_thresholds_shares_a_line_and_a_column() {
    let mut manifest = manifest();
    let tags: Vec<String> = (0..60)
        .map(|n| {
            format!(
                "q{}{}",
                (97 + n / 26) as u8 as char,
                (97 + n % 26) as u8 as char
            )
        })
        .collect();
    let own = json!({"hate": 0.75, "weapons": 0.75});
    manifest["policy"]["default_thresholds"] = json!({"hate": 0.5, "weapons": 0.5});
    manifest["policy"]["language_thresholds"] =
        tags.iter().map(|tag| (tag.clone(), own.clone())).collect();
    let text = described(&manifest, false);
    assert_contains(
        &text,
        &["    all 2 categories\n    0.500  default\n    0.750  qaa qab"],
    );
    assert!(text.lines().count() < 20, "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
}

#[test]
fn many_differences_are_cut_and_said() {
    let mut manifest = manifest();
    manifest["policy"]["language_thresholds"] = (0..26)
        .map(|n| {
            (
                format!("q{}", (97 + n) as u8 as char),
                json!({"hate": 0.5 + 0.01 * f64::from(n)}),
            )
        })
        .collect();
    let text = described(&manifest, false);
    // The first is as the default one is.
    assert_contains(
        &text,
        &["default qa\n", "and 6 more lines of languages: --verbose\n"],
    );
    assert!(text.lines().count() <= 36, "{text}");
    assert_contains(
        &described(&manifest, true),
        &["  qz         hate 0.750, weapons 0.250\n"],
    );
}

#[test]
fn everything_is_there_when_asked_for() {
    let text = described(&manifest(), true);
    assert_contains(
        &text,
        &[
            "name         toy\n",
            "  default    hate 0.500, weapons 0.250\n",
            "  fr         hate 0.750, weapons 0.250\n",
            "\"scheme\": \"int8-dynamic\"",
            "provenance: not stated",
        ],
    );
}

#[test]
fn compares_every_file_with_its_hash() {
    let files = [("tokenizer.json", "abc"), ("model.onnx", "abd")];
    let folder = bundle(&manifest(), &files);
    let state = |name| FileState::of(folder.path(), name, ABC);
    assert!(state("tokenizer.json").is_whole());
    assert!(state("model.onnx").problem().contains(ABC));
    assert!(state("weights.data").problem().contains("cannot read"));
    assert!(
        state("../tokenizer.json")
            .problem()
            .contains("plain file name")
    );

    let mut text = String::new();
    files::describe(&mut text, &[state("tokenizer.json"), state("model.onnx")]);
    assert!(
        text.contains("3 bytes  sha256 ok") && text.contains("sha256 WRONG"),
        "{text}"
    );
}

#[test]
fn a_damaged_bundle_is_described_and_refused() {
    let folder = bundle(&manifest(), &[("model.onnx", "abd")]);
    let mut out = Vec::new();
    let Err(Failure::Message(text)) =
        inspect(folder.path(), (true, &ModelOptions::default()), &mut out)
    else {
        panic!()
    };
    assert!(text.contains("model.onnx: SHA-256 is "), "{text}");
    assert!(String::from_utf8(out).unwrap().contains("sha256 WRONG"));
}

#[test]
fn a_missing_bundle_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let Err(Failure::Message(text)) = inspect(
        folder.path(),
        (false, &ModelOptions::default()),
        &mut Vec::new(),
    ) else {
        panic!()
    };
    assert!(text.contains("manifest.json: cannot read"), "{text}");
}

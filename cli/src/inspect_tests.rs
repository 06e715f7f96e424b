use std::fs;

use serde_json::json;

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
        "quantization": {"kind": "int8"},
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

#[test]
fn describes_the_manifest() {
    let folder = bundle(&manifest(), &[]);
    let text = describe(&read_manifest(folder.path()).ok().unwrap());
    for expected in [
        "name       toy (bundle format 1)\n",
        "qwen2: 2 layers of 8, 2 heads (1 for keys and values), feed-forward 16, vocabulary 300",
        "128 tokens, 32 shared",
        "own thresholds for fr;",
        "           default       fr\n",
        "  hate       0.500    0.750\n",
        "  weapons    0.250    0.250\n",
        "\"kind\": \"int8\"",
        "provenance: not stated",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
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
    describe_files(&mut text, &[state("tokenizer.json"), state("model.onnx")]);
    assert!(
        text.contains("3 bytes  sha256 ok") && text.contains("sha256 WRONG"),
        "{text}"
    );
}

#[test]
fn a_damaged_bundle_is_described_and_refused() {
    let folder = bundle(&manifest(), &[("model.onnx", "abd")]);
    let mut out = Vec::new();
    let Err(Failure::Message(text)) = inspect(folder.path(), &mut out) else {
        panic!()
    };
    assert!(text.contains("model.onnx: SHA-256 is "), "{text}");
    assert!(String::from_utf8(out).unwrap().contains("sha256 WRONG"));
}

#[test]
fn a_missing_bundle_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let Err(Failure::Message(text)) = inspect(folder.path(), &mut Vec::new()) else {
        panic!()
    };
    assert!(text.contains("manifest.json: cannot read"), "{text}");
}

//! Folders that are not what they should be, and tensors that nothing would read.

use std::path::Path;

use duoguard::{Input, Model, SessionOptions};
use duoguard_export::{ExportOptions, export};
use serde_json::json;

use crate::support::{Family, Files, Recipe, names};

fn exported(files: &Files, options: &ExportOptions) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    files.write(&folder.path().join("checkpoint"));
    let report = export(
        &folder.path().join("checkpoint"),
        &folder.path().join("bundle"),
        options,
    );
    report
        .map(|report| report.manifest.categories)
        .map_err(|error| error.to_string())
}

#[test]
fn a_bias_that_nothing_reads_is_refused_by_name() {
    let llama = Recipe {
        family: Family::Llama,
        ..Recipe::default()
    };
    for (recipe, name, width) in [
        (Recipe::default(), "score.bias", 12),
        (
            Recipe::default(),
            "model.layers.1.self_attn.o_proj.bias",
            64,
        ),
        (
            Recipe::default(),
            "model.layers.0.self_attn.q_norm.weight",
            16,
        ),
        (
            Recipe::default(),
            "model.layers.2.input_layernorm.weight",
            64,
        ),
        (llama, "model.layers.0.self_attn.q_proj.bias", 64),
    ] {
        let mut files = recipe.files();
        let mut add = |value: f32| {
            let tensor = (vec![width], vec![value; width]);
            files.tensors.insert(name.to_owned(), tensor);
            exported(&files, &ExportOptions::default())
        };
        let message = add(0.5).unwrap_err();
        assert!(
            message.contains(name) && message.contains("left out"),
            "{message}"
        );
        // A bias of zeros changes nothing.
        assert_eq!(add(0.0).is_ok(), name.ends_with("bias"), "{name}");
    }
    let mut files = Recipe::default().files();
    let unused = [
        ("lm_head.bias", 50),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", 8),
    ];
    for (name, width) in unused {
        files
            .tensors
            .insert(name.to_owned(), (vec![width], vec![0.5; width]));
    }
    exported(&files, &ExportOptions::default()).unwrap();
}

#[test]
fn another_kind_of_folder_is_told_with_what_to_do() {
    for (file, says) in [
        ("adapter_model.safetensors", "merge"),
        ("adapter_config.json", "merge"),
        ("pytorch_model.bin", "safe_serialization"),
        ("model.gguf", "not a whole GGUF file"),
        ("weights.safetensors", "rename"),
        ("manifest.json", "bundle"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file), "").unwrap();
        let target = folder.path().join("bundle");
        let refused = export(folder.path(), &target, &ExportOptions::default());
        let message = refused.unwrap_err().to_string();
        assert!(
            message.contains(file) || file == "manifest.json",
            "{message}"
        );
        assert!(message.contains(says), "{message}");
        assert_eq!(names(folder.path()), [file]);
    }
}

#[test]
fn names_with_a_prefix_are_told_with_what_to_do() {
    for (prefix, says) in [
        ("_orig_mod.", "torch.compile"),
        ("base_model.model.", "merge_and_unload"),
        ("module.", "data parallelism"),
    ] {
        let mut files = Recipe::default().files();
        let tensors = std::mem::take(&mut files.tensors).into_iter();
        files.tensors = tensors
            .map(|(name, tensor)| (format!("{prefix}{name}"), tensor))
            .collect();
        let message = exported(&files, &ExportOptions::default()).unwrap_err();
        assert!(message.contains("score.weight is missing"), "{message}");
        assert!(
            message.contains(prefix) && message.contains(says),
            "{message}"
        );
    }
}

#[test]
fn the_safe_label_may_be_said() {
    let mut files = Recipe {
        labels: 2,
        ..Recipe::default()
    }
    .files();
    files.config["id2label"] = json!({ "0": "LABEL_0", "1": "LABEL_1" });
    files.config["problem_type"] = json!("single_label_classification");
    let with = |name: &str| ExportOptions {
        safe_label: Some(name.to_owned()),
        ..ExportOptions::default()
    };
    let message = exported(&files, &ExportOptions::default()).unwrap_err();
    assert!(message.contains("--safe-label"), "{message}");
    assert_eq!(exported(&files, &with("LABEL_0")).unwrap(), ["LABEL_1"]);
    assert!(
        exported(&files, &with("benign"))
            .unwrap_err()
            .contains("LABEL_0")
    );
    // Labels of which one is for harmless text exclude each other, said or not.
    files.config["id2label"] = json!({ "0": "BENIGN", "1": "INJECTION" });
    files.config["problem_type"] = json!(null);
    assert_eq!(
        exported(&files, &ExportOptions::default()).unwrap(),
        ["INJECTION"]
    );
    files.config["problem_type"] = json!("multi_label_classification");
    let message = exported(&files, &ExportOptions::default()).unwrap_err();
    assert!(message.contains("BENIGN"), "{message}");
}

/// Dropout in a tokenizer's merges is for training: a text has one verdict.
#[test]
fn a_tokenizer_s_dropout_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Recipe::default().files();
    let vocabulary: serde_json::Map<_, _> = ["a", "b", "ab", "abab", "[UNK]"]
        .iter()
        .enumerate()
        .map(|(id, token)| ((*token).to_owned(), json!(id)))
        .collect();
    files.tokenizer["model"] = json!({
        "type": "BPE", "dropout": 0.5, "unk_token": "[UNK]", "vocab": vocabulary,
        "merges": [["a", "b"], ["ab", "ab"]],
    });
    files.write(&folder.path().join("checkpoint"));
    let bundle = folder.path().join("bundle");
    export(
        &folder.path().join("checkpoint"),
        &bundle,
        &ExportOptions::default(),
    )
    .unwrap();
    let model = Model::open(&bundle).unwrap();
    let tokens = model.tokenize("abababab").unwrap();
    assert_eq!(tokens, [3, 3]);
    let mut session = model.session(&SessionOptions::default()).unwrap();
    let scores =
        |session: &mut duoguard::Session| session.check(&Input::prompt("abababab")).unwrap().scores;
    let first = scores(&mut session);
    assert!((0..20).all(|_| scores(&mut session) == first));
}

/// A byte order mark before any of a checkpoint's and a bundle's JSON files is no part of it.
#[test]
fn byte_order_marks_are_no_part_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    Recipe::default().files().write(&checkpoint);
    let mark = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, [b"\xef\xbb\xbf", &bytes[..]].concat()).unwrap();
    };
    mark(&checkpoint.join("config.json"));
    mark(&checkpoint.join("tokenizer.json"));
    let bundle = folder.path().join("bundle");
    export(&checkpoint, &bundle, &ExportOptions::default()).unwrap();
    mark(&bundle.join("manifest.json"));
    Model::open(&bundle).unwrap();
}

//! Checkpoints that cannot be exported, and what is said about them.

use std::path::Path;

use duoguard_export::{ExportOptions, export};
use safetensors::Dtype;
use serde_json::{Value, json};

use crate::support::{Family, Files, Recipe, names};

const JSON_FILES: [&str; 4] = [
    "config.json",
    "tokenizer.json",
    "golden.json",
    "duoguard.json",
];
const WEIGHTS: &str = "model.safetensors";

/// Writes the checkpoint after `damage`, exports it, and returns the error; nothing else may
/// remain.
fn refusal(change: impl FnOnce(&mut Files), damage: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    let mut files = Recipe::default().files();
    change(&mut files);
    files.write(&checkpoint);
    damage(&checkpoint);
    let refused = export(
        &checkpoint,
        &folder.path().join("bundle"),
        &ExportOptions::default(),
    );
    assert_eq!(names(folder.path()), ["checkpoint"]);
    refused.expect_err("a damaged checkpoint").to_string()
}

/// A change to a checkpoint, and what the error must contain.
type Case = (&'static str, fn(&mut Files), &'static [&'static str]);

const CASES: &[Case] = &[
    (
        "missing tensor",
        |f| drop(f.tensors.remove("model.layers.1.mlp.up_proj.weight")),
        &[
            "model.safetensors",
            "model.layers.1.mlp.up_proj.weight is missing",
            "[40, 64]",
        ],
    ),
    (
        "missing bias",
        |f| drop(f.tensors.remove("model.layers.0.self_attn.k_proj.bias")),
        &["model.layers.0.self_attn.k_proj.bias is missing"],
    ),
    (
        "missing head",
        |f| drop(f.tensors.remove("score.weight")),
        &["score.weight is missing"],
    ),
    (
        "transposed tensor",
        |f| {
            f.tensors
                .get_mut("model.layers.0.mlp.down_proj.weight")
                .unwrap()
                .0
                .reverse()
        },
        &[
            "model.layers.0.mlp.down_proj.weight is [40, 64]",
            "config.json asks for [64, 40]",
        ],
    ),
    (
        "wrong rank",
        |f| f.tensors.get_mut("model.norm.weight").unwrap().0 = vec![1, 64],
        &["model.norm.weight is [1, 64]"],
    ),
    (
        "wrong width of the head",
        |f| f.tensors.get_mut("score.weight").unwrap().0 = vec![24, 32],
        &["score.weight is [24, 32]", "[labels, 64]"],
    ),
    (
        "not a number",
        |f| {
            f.tensors
                .get_mut("model.layers.1.self_attn.o_proj.weight")
                .unwrap()
                .1[5] = f32::NAN
        },
        &[
            "model.layers.1.self_attn.o_proj.weight",
            "not a finite number",
            "index 5",
        ],
    ),
    (
        "integers",
        |f| f.dtype = Dtype::I32,
        &["is of type I32", "F32, F16 and BF16"],
    ),
    (
        "other architecture",
        |f| f.config["architectures"] = json!(["DistilBertForSequenceClassification"]),
        &[
            "config.json",
            "DistilBertForSequenceClassification",
            "only [\"Qwen2ForSequenceClassification\"] and [\"LlamaForSequenceClassification\"]",
        ],
    ),
    (
        "no architecture",
        |f| drop(f.config.as_object_mut().unwrap().remove("architectures")),
        &["architectures is null"],
    ),
    (
        "other family",
        |f| f.config["model_type"] = json!("llama"),
        &["model_type is \"llama\""],
    ),
    (
        "field missing",
        |f| {
            drop(
                f.config
                    .as_object_mut()
                    .unwrap()
                    .remove("intermediate_size"),
            )
        },
        &["intermediate_size is missing"],
    ),
    (
        "field of another type",
        |f| f.config["hidden_size"] = json!("64"),
        &["hidden_size is \"64\""],
    ),
    (
        "absurd size",
        |f| f.config["vocab_size"] = json!(u64::MAX),
        &["vocab_size is 18446744073709551615"],
    ),
    (
        "no layers",
        |f| f.config["num_hidden_layers"] = json!(0),
        &["num_hidden_layers is 0"],
    ),
    (
        "heads that do not divide",
        |f| f.config["num_attention_heads"] = json!(5),
        &["hidden_size 64 is not a multiple of num_attention_heads 5"],
    ),
    (
        "heads that ONNX Runtime refuses",
        |f| f.config["num_attention_heads"] = json!(8),
        &["head size", "is 8", "multiple of 16"],
    ),
    (
        "groups that do not divide",
        |f| f.config["num_key_value_heads"] = json!(3),
        &["num_attention_heads 4 is not a multiple of num_key_value_heads 3"],
    ),
    (
        "config and tensors disagree",
        |f| f.config["intermediate_size"] = json!(41),
        &["mlp.gate_proj.weight is [40, 64]", "[41, 64]"],
    ),
    (
        "more layers than tensors",
        |f| f.config["num_hidden_layers"] = json!(1_000_000),
        &["model.layers.2.", "is missing"],
    ),
    (
        "rope scaling of another kind",
        |f| f.config["rope_scaling"] = json!({ "rope_type": "yarn", "factor": 8.0 }),
        &["rope_scaling has the type \"yarn\"", "\"llama3\""],
    ),
    (
        "half a rope scaling",
        |f| f.config["rope_scaling"] = json!({ "rope_type": "llama3", "factor": 8.0 }),
        &["rope_scaling: low_freq_factor is missing"],
    ),
    (
        "rope scaling that shrinks",
        |f| f.config["rope_scaling"] = scaling(0.5, 1.0, 4.0),
        &["rope_scaling: factor is 0.5"],
    ),
    (
        "rope scaling of no width",
        |f| f.config["rope_parameters"] = scaling(8.0, 4.0, 4.0),
        &[
            "rope_parameters: high_freq_factor is 4",
            "low_freq_factor, 4",
        ],
    ),
    (
        "biases that Llama classifiers lack",
        |f| f.config = llama(json!({ "attention_bias": true })),
        &["attention_bias is true"],
    ),
    (
        "biases in the feed-forward block",
        |f| f.config = llama(json!({ "mlp_bias": true })),
        &["mlp_bias is true"],
    ),
    (
        "heads of another width",
        |f| f.config["head_dim"] = json!(32),
        &["head_dim is 32", "only 16"],
    ),
    (
        "tokens behind the text",
        |f| {
            f.tokenizer["post_processor"] = json!({
                "type": "BertProcessing", "sep": ["w1", 1], "cls": ["w2", 2]
            })
        },
        &["tokenizer.json", "only special tokens before a text"],
    ),
    (
        "two frequencies",
        |f| f.config["rope_parameters"] = json!({ "rope_type": "default", "rope_theta": 5.0 }),
        &["rope_theta is 10000, but rope_parameters.rope_theta is 5"],
    ),
    (
        "sliding window",
        |f| {
            f.config["use_sliding_window"] = json!(true);
            f.config["max_window_layers"] = json!(1);
        },
        &[
            "use_sliding_window is true and layers 1 to 1",
            "not supported",
        ],
    ),
    (
        "sliding layers",
        |f| f.config["layer_types"] = json!(["full_attention", "sliding_attention"]),
        &["layer_types has \"sliding_attention\""],
    ),
    (
        "other activation",
        |f| f.config["hidden_act"] = json!("gelu"),
        &["hidden_act is \"gelu\""],
    ),
    (
        "already quantised",
        |f| f.config["quantization_config"] = json!({ "bits": 4 }),
        &["quantization_config"],
    ),
    (
        "negative epsilon",
        |f| f.config["rms_norm_eps"] = json!(-1.0),
        &["rms_norm_eps is -1"],
    ),
    (
        "names for other labels",
        |f| f.config["id2label"] = json!({ "0": "safe", "1": "unsafe" }),
        &["score.weight has 12 rows", "2 names"],
    ),
    (
        "a gap in the names",
        |f| f.config["id2label"] = json!({ "0": "safe", "2": "unsafe" }),
        &["id2label has the ids [0, 2]"],
    ),
    (
        "tokenizer larger than the embedding",
        |f| f.tokenizer["model"]["vocab"]["extra"] = json!(50),
        &["tokenizer.json", "\"extra\" has id 50", "50 rows"],
    ),
    (
        "not a tokenizer",
        |f| f.tokenizer = json!({ "model": 5 }),
        &["tokenizer.json: not a tokenizer"],
    ),
    (
        "golden case without tokens",
        |f| {
            drop(f.extra.insert(
                "golden.json",
                json!({ "tolerance": 1e-4, "cases": [{ "input_ids": [], "logits": [] }] }),
            ))
        },
        &["golden.json: case 0 has 0 tokens"],
    ),
    (
        "golden token outside the embedding",
        |f| {
            drop(f.extra.insert(
                "golden.json",
                json!({ "tolerance": 1e-4, "cases": [{ "input_ids": [50], "logits": vec![0.0; 12] }] }),
            ))
        },
        &["golden.json: case 0 has token 50"],
    ),
    (
        "golden logits of another model",
        |f| {
            drop(f.extra.insert(
                "golden.json",
                json!({ "tolerance": 1e-4, "cases": [{ "input_ids": [5], "logits": [0.0] }] }),
            ))
        },
        &["golden.json: case 0 has 1 logits; expected 12"],
    ),
    (
        "unknown field in duoguard.json",
        |f| drop(f.extra.insert("duoguard.json", json!({ "window": 5 }))),
        &["duoguard.json", "window"],
    ),
    (
        "categories of another model",
        |f| {
            drop(
                f.extra
                    .insert("duoguard.json", json!({ "categories": ["a", "b"] })),
            )
        },
        &["duoguard.json: 2 categories, but the checkpoint has 12"],
    ),
    (
        "window beyond the network",
        |f| {
            drop(
                f.extra
                    .insert("duoguard.json", json!({ "window_tokens": 1000 })),
            )
        },
        &["window_tokens is 1000", "max_position"],
    ),
];

fn scaling(factor: f64, low: f64, high: f64) -> Value {
    json!({
        "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
        "original_max_position_embeddings": 64,
    })
}

fn llama(change: Value) -> Value {
    let recipe = Recipe {
        family: Family::Llama,
        ..Recipe::default()
    };
    let mut config = recipe.files().config;
    let fields = config.as_object_mut().unwrap();
    fields.extend(change.as_object().unwrap().clone());
    config
}

#[test]
fn errors_name_what_is_wrong() {
    for (what, change, expected) in CASES {
        let message = refusal(change, |_| {});
        for part in *expected {
            assert!(message.contains(part), "{what}: {message}");
        }
    }
}

#[test]
fn files_that_are_missing() {
    for name in ["config.json", WEIGHTS, "tokenizer.json"] {
        let message = refusal(
            |_| {},
            |folder| std::fs::remove_file(folder.join(name)).unwrap(),
        );
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn weights_cut_anywhere_are_refused() {
    let size = Recipe::default().files().safetensors().len();
    for length in [0, 1, 7, 8, 9, 100, size / 2, size - 1] {
        let message = refusal(
            |_| {},
            |folder| {
                let file = std::fs::File::options()
                    .write(true)
                    .open(folder.join(WEIGHTS));
                file.unwrap().set_len(length as u64).unwrap();
            },
        );
        assert!(message.contains(WEIGHTS), "{length} bytes: {message}");
    }
}

#[test]
fn absurd_headers_are_refused() {
    let entry = |offsets: [u64; 2]| json!({ "a": { "dtype": "F32", "shape": [u64::MAX, 2], "data_offsets": offsets } });
    let headers = [
        (u64::MAX, Value::Null),
        (1 << 40, Value::Null),
        (0, entry([0, u64::MAX])),
        (0, entry([5, 1])),
    ];
    for (length, header) in headers {
        let header = header.to_string();
        let length = if length == 0 {
            header.len() as u64
        } else {
            length
        };
        let bytes = [&length.to_le_bytes()[..], header.as_bytes()].concat();
        let message = refusal(
            |_| {},
            |folder| std::fs::write(folder.join(WEIGHTS), bytes).unwrap(),
        );
        assert!(
            message.contains("not a whole safetensors file"),
            "{message}"
        );
    }
}

#[test]
fn files_of_absurd_size_are_not_read() {
    for name in JSON_FILES {
        let message = refusal(
            |_| {},
            |folder| {
                let file = std::fs::File::options()
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(folder.join(name));
                // A hole: it takes no room on the disk.
                file.unwrap().set_len(1 << 40).unwrap();
            },
        );
        assert!(
            message.contains(name) && message.contains("1099511627776 bytes"),
            "{message}"
        );
    }
}

#[test]
fn json_that_is_not() {
    for name in JSON_FILES {
        let message = refusal(
            |_| {},
            |folder| std::fs::write(folder.join(name), "{\"a\": ").unwrap(),
        );
        assert!(message.contains(name), "{message}");
    }
}

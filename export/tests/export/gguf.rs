//! Checkpoints in GGUF files: what they hold, and what is said about those that cannot be read.

use std::path::{Path, PathBuf};

use duoguard_export::checkpoint::{Chat, Checkpoint};
use duoguard_export::{ExportOptions, Quantize, export, reference};
use serde_json::Value;

use crate::gguf_file::{GgufFile, Item, Tensor, language_model, text};
use crate::support::Family;

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

#[test]
fn files_cut_anywhere_are_refused() {
    let bytes = language_model(Family::Llama).1.bytes();
    let header = 3000.min(bytes.len());
    for length in (0..header)
        .step_by(7)
        .chain([bytes.len() / 2, bytes.len() - 64])
    {
        let message = refusal(&bytes[..length]);
        assert!(
            message.contains("get it again") || message.contains("get the whole"),
            "{length}: {message}"
        );
    }
}

#[test]
fn files_with_any_byte_of_the_header_changed_are_refused_or_read() {
    let bytes = language_model(Family::Qwen2).1.bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for at in 0..2000 {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, bytes).unwrap();
        if let Err(error) = Checkpoint::open_language_model(&path) {
            assert!(error.to_string().contains("model.gguf: "), "{error}");
        }
    }
}

type Case = (&'static str, fn(&mut GgufFile), &'static [&'static str]);

fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..depth {
        bytes.extend(9_u32.to_le_bytes());
        bytes.extend(1_u64.to_le_bytes());
    }
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(1_u64.to_le_bytes());
    bytes.push(0);
    bytes
}

const CASES: &[Case] = &[
    ("magic", |f| f.magic = *b"GGML", &["not a GGUF file"]),
    (
        "version",
        |f| f.version = 1,
        &["GGUF version 1", "version 2 or 3"],
    ),
    (
        "big-endian",
        |f| f.version = 3_u32.swap_bytes(),
        &["big-endian"],
    ),
    (
        "tensors",
        |f| f.claimed[0] = 1 << 60,
        &["number of tensors", "at most 65536"],
    ),
    (
        "keys",
        |f| f.claimed[1] = 1 << 60,
        &["number of keys", "at most 65536"],
    ),
    (
        "negative",
        |f| f.claimed[1] = u64::MAX - 5,
        &["not a whole GGUF file", "tensor"],
    ),
    (
        "value type",
        |f| f.set("a", Item::Raw(13, vec![])),
        &["a is of the value type 13"],
    ),
    (
        "boolean",
        |f| f.set("a", Item::Flag(2)),
        &["a is the boolean 2"],
    ),
    (
        "long string",
        |f| f.set("a", Item::Raw(8, vec![255; 8])),
        &["a is a string of 18446744073709551615"],
    ),
    (
        "no UTF-8",
        |f| f.set("a", Item::Raw(8, vec![1, 0, 0, 0, 0, 0, 0, 0, 255])),
        &["a is no UTF-8"],
    ),
    (
        "long array",
        |f| f.set("a", Item::Raw(9, [&[8, 0, 0, 0], &[255; 8][..]].concat())),
        &["a is an array of 18446744073709551615"],
    ),
    (
        "nesting",
        |f| f.set("a", Item::Raw(9, nested(9))),
        &["a has arrays within arrays"],
    ),
    (
        "twice",
        |f| {
            f.keys
                .push(("general.architecture".to_owned(), text("qwen2")))
        },
        &["general.architecture stands twice"],
    ),
    (
        "alignment",
        |f| f.set("general.alignment", Item::U32(48)),
        &["general.alignment is 48"],
    ),
    (
        "parts",
        |f| f.set("split.count", Item::U32(3)),
        &["split.count is 3", "merge"],
    ),
    (
        "no architecture",
        |f| f.remove("general.architecture"),
        &["general.architecture is missing"],
    ),
    (
        "architecture",
        |f| f.set("general.architecture", text("gemma3")),
        &["\"gemma3\"", "\"llama\" and \"qwen2\""],
    ),
    (
        "architecture type",
        |f| f.set("general.architecture", Item::U32(3)),
        &["general.architecture is 3; expected a string"],
    ),
    (
        "no layers",
        |f| f.remove("llama.block_count"),
        &["llama.block_count is missing"],
    ),
    (
        "heads by layer",
        |f| f.set("llama.attention.head_count", Item::I32s(vec![4, 4])),
        &["llama.attention.head_count is an array of 2 integers"],
    ),
    (
        "no heads",
        |f| f.set("llama.attention.head_count", Item::U32(0)),
        &["llama.attention.head_count is 0"],
    ),
    (
        "many layers",
        |f| f.set("llama.block_count", Item::U32(1 << 20)),
        &["blk.2.attn_norm.weight is missing"],
    ),
    (
        "uneven heads",
        |f| f.set("llama.attention.head_count", Item::U32(3)),
        &["not a multiple of num_attention_heads"],
    ),
    (
        "epsilon",
        |f| f.set("llama.attention.layer_norm_rms_epsilon", Item::F32(-1.0)),
        &["epsilon is -1; expected a positive number"],
    ),
    (
        "scaling",
        |f| f.set("llama.rope.scaling.type", text("yarn")),
        &["llama.rope.scaling.type is \"yarn\""],
    ),
    (
        "linear scaling",
        |f| f.set("llama.rope.scale_linear", Item::F32(4.0)),
        &["llama.rope.scale_linear is 4"],
    ),
    (
        "experts",
        |f| f.set("llama.expert_count", Item::U32(8)),
        &["llama.expert_count is 8"],
    ),
    (
        "unknown key",
        |f| f.set("llama.logit_scale", Item::F32(2.0)),
        &["llama.logit_scale is 2", "not known here"],
    ),
    (
        "key length",
        |f| f.set("llama.attention.key_length", Item::U32(32)),
        &["key_length is 32", "16"],
    ),
    (
        "vocabulary",
        |f| f.set("llama.vocab_size", Item::U32(60)),
        &[
            "token_embd.weight is [50, 64]",
            "the metadata ask for [60, 64]",
        ],
    ),
    (
        "types",
        |f| f.tensor("blk.0.ffn_up.weight").kind = 19,
        &["tensor blk.0.ffn_up.weight is of type IQ1_S", "Q4_K"],
    ),
    (
        "unknown type",
        |f| f.tensor("blk.0.ffn_up.weight").kind = 99,
        &["number 99"],
    ),
    (
        "rows",
        |f| f.tensor("blk.0.ffn_down.weight").kind = 8,
        &[
            "blk.0.ffn_down.weight is [64, 40] of type Q8_0",
            "multiple of 32",
        ],
    ),
    (
        "dimensions",
        |f| f.tensor("output_norm.weight").dimensions = vec![64, 1, 1, 1, 1],
        &["output_norm.weight has 5 dimensions"],
    ),
    (
        "no dimensions",
        |f| f.tensor("output_norm.weight").dimensions = vec![],
        &["output_norm.weight has 0 dimensions"],
    ),
    (
        "zero",
        |f| f.tensor("output_norm.weight").dimensions = vec![0],
        &["output_norm.weight has a dimension that is 0"],
    ),
    (
        "overflow",
        |f| f.tensor("output_norm.weight").dimensions = vec![1 << 62, 64],
        &["output_norm.weight is", "damaged"],
    ),
    (
        "outside",
        |f| f.tensor("output_norm.weight").offset = Some(1 << 40),
        &["output_norm.weight has 256 bytes at offset 1099511627776"],
    ),
    (
        "far outside",
        |f| f.tensor("output_norm.weight").offset = Some(u64::MAX - 31),
        &["output_norm.weight", "get the whole file again"],
    ),
    (
        "between",
        |f| f.tensor("output_norm.weight").offset = Some(4),
        &["output_norm.weight begins at offset 4"],
    ),
    (
        "over another",
        |f| f.tensor("output_norm.weight").offset = Some(32),
        &["lie over each other"],
    ),
    (
        "on another",
        |f| f.tensor("output_norm.weight").offset = Some(0),
        &["the same offset"],
    ),
    (
        "tensor twice",
        |f| f.tensors.push(f.tensors[0].clone()),
        &["is listed twice"],
    ),
    (
        "tensor missing",
        |f| f.tensors.retain(|t| t.name != "blk.1.ffn_up.weight"),
        &["tensor blk.1.ffn_up.weight is missing"],
    ),
    (
        "shape",
        |f| f.tensor("output_norm.weight").dimensions = vec![8, 8],
        &["output_norm.weight is [8, 8]"],
    ),
    (
        "unknown tensor",
        |f| f.tensor("output_norm.weight").name = "blk.0.attn_q_norm.weight".to_owned(),
        &["blk.0.attn_q_norm.weight is none"],
    ),
    (
        "bias",
        |f| add(f, "blk.0.attn_q.bias", &[0.0; 64]),
        &["blk.0.attn_q.bias is none that this network has"],
    ),
    (
        "layer too many",
        |f| add(f, "blk.2.attn_norm.weight", &[0.0; 64]),
        &["blk.2.attn_norm.weight is none that this network has"],
    ),
    (
        "frequencies",
        |f| {
            add(
                f,
                "rope_freqs.weight",
                &[1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 7.0, 8.0],
            )
        },
        &["rope_freqs.weight has", "Llama 3's scaling by 8"],
    ),
    (
        "number of frequencies",
        |f| add(f, "rope_freqs.weight", &[1.0; 4]),
        &["rope_freqs.weight is [4]; expected [8]"],
    ),
    (
        "not finite",
        |f| f.tensor("output_norm.weight").bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes()),
        &["output_norm.weight has a value that is not a finite number, at index 0"],
    ),
    (
        "no tokens",
        |f| f.remove("tokenizer.ggml.tokens"),
        &["tokenizer.ggml.tokens is missing"],
    ),
    (
        "no token types",
        |f| f.remove("tokenizer.ggml.token_type"),
        &["token_type is missing"],
    ),
    (
        "token types",
        |f| f.set("tokenizer.ggml.token_type", Item::I32s(vec![1])),
        &["token_type has 1 entries"],
    ),
    (
        "token type",
        |f| f.set("tokenizer.ggml.token_type", Item::I32s(vec![9; 50])),
        &["token_type is 9 for token 0"],
    ),
    (
        "same token",
        |f| {
            f.set(
                "tokenizer.ggml.tokens",
                Item::Texts(vec!["a".to_owned(); 50]),
            )
        },
        &["has \"a\" at 0 and at 1"],
    ),
    (
        "empty token",
        |f| {
            f.set(
                "tokenizer.ggml.tokens",
                Item::Texts(vec![String::new(); 50]),
            )
        },
        &["a token of 0 bytes at 0"],
    ),
    ("more tokens", |f| more_tokens(f), &["has id 50", "50 rows"]),
    (
        "tokenizer",
        |f| f.set("tokenizer.ggml.model", text("t5")),
        &["tokenizer.ggml.model is \"t5\"", "\"gpt2\""],
    ),
    (
        "splitting",
        |f| f.set("tokenizer.ggml.pre", text("tekken")),
        &["tokenizer.ggml.pre is \"tekken\"", "\"llama-bpe\""],
    ),
    (
        "no splitting",
        |f| f.remove("tokenizer.ggml.pre"),
        &["tokenizer.ggml.pre is missing"],
    ),
    (
        "no merges",
        |f| f.remove("tokenizer.ggml.merges"),
        &["tokenizer.ggml.merges is missing"],
    ),
    (
        "merge",
        |f| f.set("tokenizer.ggml.merges", Item::Texts(vec!["t".to_owned()])),
        &["has \"t\" at 0"],
    ),
    (
        "merge of no tokens",
        |f| f.set("tokenizer.ggml.merges", Item::Texts(vec!["t t".to_owned()])),
        &["\"tt\" is no token"],
    ),
    (
        "end of text",
        |f| f.set("tokenizer.ggml.add_eos_token", Item::Flag(1)),
        &["behind a text"],
    ),
    (
        "no first token",
        |f| f.set("tokenizer.ggml.add_bos_token", Item::Flag(1)),
        &["bos_token_id is missing"],
    ),
    (
        "first token",
        |f| {
            f.set("tokenizer.ggml.add_bos_token", Item::Flag(1));
            f.set("tokenizer.ggml.bos_token_id", Item::U32(70))
        },
        &["bos_token_id is 70, and there are 50"],
    ),
    (
        "no scores",
        |f| f.set("tokenizer.ggml.model", text("llama")),
        &["tokenizer.ggml.scores is missing"],
    ),
    (
        "scores",
        |f| {
            f.set("tokenizer.ggml.model", text("llama"));
            f.set("tokenizer.ggml.scores", Item::F32s(vec![f32::NAN; 50]))
        },
        &["scores has no finite number at 0"],
    ),
    (
        "no unknown token",
        |f| {
            f.set("tokenizer.ggml.model", text("llama"));
            f.set("tokenizer.ggml.scores", Item::F32s(vec![0.0; 50]))
        },
        &["does not mark one token as unknown"],
    ),
];

fn add(file: &mut GgufFile, name: &str, values: &[f32]) {
    file.tensors.push(Tensor {
        name: name.to_owned(),
        dimensions: vec![values.len() as u64],
        kind: 0,
        offset: None,
        bytes: values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
    });
}

fn more_tokens(file: &mut GgufFile) {
    let tokens = (0..51).map(|i| format!("t{i}")).collect();
    file.set("tokenizer.ggml.tokens", Item::Texts(tokens));
    file.set("tokenizer.ggml.token_type", Item::I32s(vec![1; 51]));
    file.set("tokenizer.ggml.merges", Item::Texts(vec![]));
    file.set("llama.vocab_size", Item::U32(50));
}

#[test]
fn errors_name_what_is_wrong_in_a_file() {
    for (what, change, expected) in CASES {
        let mut file = language_model(Family::Llama).1;
        change(&mut file);
        let message = refusal(&file.bytes());
        for part in *expected {
            assert!(message.contains(part), "{what}: {message}");
        }
    }
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

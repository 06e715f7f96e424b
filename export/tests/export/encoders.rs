//! Encoders: BERT, RoBERTa, XLM-RoBERTa, and our own with a linear layer on pooled tokens.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use duoguard::{EngineChoice, Input, Model, Pooling, Session, SessionOptions};
use duoguard_export::checkpoint::Checkpoint;
use duoguard_export::{ExportOptions, Quantize, export, reference};
use serde_json::{Value, json};

const FAMILIES: [&str; 4] = ["bert", "roberta", "xlm-roberta", "pooled"];
const FP32_TOLERANCE: f32 = 1e-4;

fn golden(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(family)
}

fn options(quantize: Quantize) -> ExportOptions {
    ExportOptions {
        quantize,
        ..ExportOptions::default()
    }
}

fn session(bundle: &Path, engine: &str) -> duoguard::Result<Session> {
    Model::open(bundle)?.session(&SessionOptions {
        engine: EngineChoice::Named(engine.to_owned()),
        threads: NonZeroUsize::MIN,
    })
}

/// The engines that are installed here.
fn engines() -> Vec<String> {
    let all = duoguard::engines().into_iter();
    let available = all.filter(|engine| engine.available);
    available.map(|engine| engine.name).collect()
}

fn logits(bundle: &Path, engine: &str, inputs: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let mut session = session(bundle, engine).unwrap();
    let run = |ids: &Vec<u32>| session.logits(ids).unwrap();
    inputs.iter().map(run).collect()
}

fn largest_difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn transformers_and_every_engine_agree() {
    for family in FAMILIES {
        let opened = Checkpoint::open(&golden(family)).unwrap();
        let cases = &opened.golden().unwrap().cases;
        let inputs: Vec<_> = cases.iter().map(|c| c.input_ids.clone()).collect();
        let expected: Vec<_> = cases.iter().map(|c| c.logits.clone()).collect();
        let found = inputs.iter().map(|ids| reference::forward(&opened, ids));
        let error = largest_difference(&found.collect::<Vec<_>>(), &expected);
        println!("{family} reference: {error:e}");
        assert!(error <= FP32_TOLERANCE, "{family}: {error}");
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
        ] {
            let folder = tempfile::tempdir().unwrap();
            let bundle = folder.path().join("bundle");
            let options = ExportOptions {
                // Random weights are not made to survive quantisation; the bound above is the test.
                force: true,
                ..options(quantize)
            };
            let report = export(&golden(family), &bundle, &options).unwrap();
            assert!(report.fp32_parity_max_error <= f64::from(FP32_TOLERANCE));
            for engine in engines() {
                let error = largest_difference(&logits(&bundle, &engine, &inputs), &expected);
                println!(
                    "{family} {engine} {}: {error:e} of {spread}",
                    quantize.name()
                );
                assert!(
                    error <= tolerance,
                    "{family} {engine} {quantize:?}: {error}"
                );
            }
        }
    }
}

#[test]
fn a_window_stands_between_the_tokenizers_own_tokens() {
    for (family, prefix, suffix) in [
        ("bert", &[0][..], &[2][..]),
        ("xlm-roberta", &[0], &[2]),
        ("pooled", &[0, 5, 6], &[2]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("bundle");
        let report = export(&golden(family), &bundle, &options(Quantize::None)).unwrap();
        let manifest = &report.manifest;
        assert_eq!(manifest.prefix_tokens, prefix, "{family}");
        assert_eq!(manifest.suffix_tokens, suffix, "{family}");
        // The whole length of the network, less the tokens around.
        let room = 64 - prefix.len() - suffix.len();
        assert_eq!(manifest.limits.window_tokens, room, "{family}");
        assert!(!bundle.join("stream.onnx").exists());
        let model = Model::open(&bundle).unwrap();
        let tokens = model.tokenize("how do i bake bread?").unwrap();
        let whole = [prefix, &tokens, suffix].concat();
        assert_eq!(model.windows(&tokens), [&whole[..]], "{family}");
        let mut session = model.session(&SessionOptions::default()).unwrap();
        let found = session.window_logits("how do i bake bread?").unwrap();
        assert_eq!(found, [session.logits(&whole).unwrap()], "{family}");
        let long = "how do i bake bread? ".repeat(20);
        let verdict = session.check(&Input::prompt(&long)).unwrap();
        assert!(verdict.windows > 1 && verdict.tokens_scored == verdict.tokens);
    }
}

#[test]
fn an_encoders_stream_ends_in_the_verdict_of_a_check() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    export(&golden("pooled"), &bundle, &options(Quantize::None)).unwrap();
    let model = Model::open(&bundle).unwrap();
    let text = "how do I bake the bread? ".repeat(9);
    let mut session = model.session(&SessionOptions::default()).unwrap();
    let expected = session.check(&Input::response(&text)).unwrap();
    let mut stream = duoguard::Stream::new(&session, Default::default());
    for piece in text.as_bytes().chunks(17) {
        stream.push(&mut session, piece).unwrap();
    }
    let found = stream.finish(&mut session).unwrap();
    assert_eq!(found.scores, expected.scores);
}

#[test]
fn the_safe_label_of_a_softmax_is_no_category() {
    for (family, names) in [
        ("xlm-roberta", &["hate", "insult"][..]),
        ("roberta", &["unsafe"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("bundle");
        let report = export(&golden(family), &bundle, &options(Quantize::None)).unwrap();
        assert_eq!(report.manifest.categories, names);
        assert_eq!(report.manifest.architecture.pooling, Pooling::FirstToken);
    }
}

/// A golden checkpoint whose configuration is changed.
fn changed(family: &str, change: &Value) -> Result<Checkpoint, String> {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden(family)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let fields = config.as_object_mut().unwrap();
    fields.extend(change.as_object().unwrap().clone());
    std::fs::write(&path, config.to_string()).unwrap();
    Checkpoint::open(folder.path()).map_err(|error| error.to_string())
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for (family, change, words) in [
        (
            "bert",
            json!({ "architectures": ["DebertaV2ForSequenceClassification"] }),
            "DebertaV2",
        ),
        (
            "bert",
            json!({ "architectures": ["ModernBertForSequenceClassification"] }),
            "ModernBert",
        ),
        (
            "bert",
            json!({ "architectures": ["BertForTokenClassification"] }),
            "BertForToken",
        ),
        (
            "bert",
            json!({ "model_type": "roberta" }),
            "model_type is \"roberta\"",
        ),
        (
            "bert",
            json!({ "hidden_act": "relu" }),
            "hidden_act is \"relu\"",
        ),
        (
            "bert",
            json!({ "position_embedding_type": "relative_key" }),
            "relative_key",
        ),
        ("bert", json!({ "is_decoder": true }), "is_decoder is true"),
        ("bert", json!({ "pooling": "mean" }), "pooling is \"mean\""),
        (
            "bert",
            json!({ "problem_type": "regression" }),
            "regression",
        ),
        (
            "bert",
            json!({ "problem_type": "single_label_classification" }),
            "--safe-label",
        ),
        (
            "bert",
            json!({ "type_vocab_size": 0 }),
            "type_vocab_size is 0",
        ),
        (
            "bert",
            json!({ "max_position_embeddings": 65 }),
            "position_embeddings.weight is [64, 32]",
        ),
        (
            "roberta",
            json!({ "pad_token_id": 65 }),
            "max_position_embeddings is 66",
        ),
        (
            "roberta",
            json!({ "pad_token_id": -1 }),
            "pad_token_id is -1",
        ),
        ("pooled", json!({ "pooling": null }), "pooling is null"),
        ("pooled", json!({ "pooling": "max" }), "pooling is \"max\""),
        (
            "pooled",
            json!({ "architectures": ["BertForSequenceClassification"], "pooling": null }),
            "bert.pooler.dense.weight",
        ),
    ] {
        let error = changed(family, &change).err();
        let error = error.unwrap_or_else(|| panic!("{family} {change} was accepted"));
        assert!(error.contains(words), "{family} {change}: {error}");
    }
    changed("bert", &json!({ "hidden_act": "gelu_pytorch_tanh" })).unwrap();
    changed("pooled", &json!({ "pooling": "first_token" })).unwrap();
}

#[test]
fn an_embedding_of_4_bit_blocks_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    std::fs::create_dir(&checkpoint).unwrap();
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(golden("pooled").join(name), checkpoint.join(name)).unwrap();
    }
    let mut bytes = std::fs::read(golden("pooled").join("model.safetensors")).unwrap();
    let name = "bert.embeddings.word_embeddings.weight";
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let rows = tensors.tensor(name).unwrap().data();
    let start = rows.as_ptr() as usize - bytes.as_ptr() as usize;
    let end = start + rows.len();
    for (index, value) in bytes[start..end].chunks_exact_mut(4).enumerate() {
        let level = (index * 7 % 16) as f32 - 8.0;
        value.copy_from_slice(&(level / 32.0).to_le_bytes());
    }
    std::fs::write(checkpoint.join("model.safetensors"), bytes).unwrap();
    let opened = Checkpoint::open(&checkpoint).unwrap();
    let inputs = [vec![0, 7, 60, 2], (3..40).collect()];
    let expected = inputs.iter().map(|ids| reference::forward(&opened, ids));
    let expected: Vec<_> = expected.collect();
    let bundle = folder.path().join("bundle");
    let options = ExportOptions {
        force: true,
        ..options(Quantize::Int8Weights)
    };
    export(&checkpoint, &bundle, &options).unwrap();
    let weights = std::fs::read(bundle.join("weights.data")).unwrap();
    let weights = safetensors::SafeTensors::deserialize(&weights).unwrap();
    let embedding = weights.tensor("embedding.weight").unwrap();
    assert_eq!(
        (embedding.dtype(), embedding.shape()),
        (safetensors::Dtype::U8, &[61, 16][..])
    );
    for engine in engines() {
        let error = largest_difference(&logits(&bundle, &engine, &inputs), &expected);
        println!("{engine}: {error:e}");
        assert!(error < 0.1, "{engine}: {error}");
    }
}

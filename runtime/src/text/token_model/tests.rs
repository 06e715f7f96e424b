//! Our models beside the crate's, read from the same file.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizers::{Model as _, ModelWrapper, Tokenizer};

use super::TokenModel;
use crate::text::tokenize;
use crate::text::tokenizer_file::{Pipeline, read};

fn ours(model: &str) -> TokenModel {
    serde_json::from_str(model).unwrap()
}

/// Compares our model with the crate's.
fn agree(model: &str, text: &str) {
    let (ours, theirs) = (
        ours(model),
        serde_json::from_str::<ModelWrapper>(model).unwrap(),
    );
    let found = ours.tokenize(text).map_err(|error| error.to_string());
    let expected = theirs.tokenize(text).map_err(|error| error.to_string());
    assert_eq!(found, expected, "{text:?} by {model}");
    for token in found.unwrap_or_default() {
        assert_eq!(ours.id_to_token(token.id), theirs.id_to_token(token.id));
        let value = &token.value;
        assert_eq!(ours.token_to_id(value), theirs.token_to_id(value));
    }
    assert_eq!(ours.get_vocab(), theirs.get_vocab());
}

/// Tokens of single bytes: all, or without the last few, so that some characters have none.
fn byte_tokens(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|byte| format!("<0x{byte:02X}>"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn unigram_makes_the_crates_tokens(
        tokens in prop::collection::vec(("[ab▁é中<>u]{0,5}", -12..4_i32), 1..40),
        bytes in prop::sample::select(vec![0, 200, 256]),
        unknown in prop::option::of(any::<prop::sample::Index>()),
        byte_fallback: bool,
        text in "[ab▁é中<>uxü😀]{0,30}",
    ) {
        // Scores in quarters, so that sums are often equal.
        let tokens = tokens.into_iter().map(|(token, score)| (token, f64::from(score) / 4.0));
        let vocabulary: Vec<(String, f64)> =
            tokens.chain(byte_tokens(bytes).map(|token| (token, -9.5))).collect();
        let unknown = unknown.map(|id| id.index(vocabulary.len()));
        // Written by hand here and below: a map would sort its keys.
        let model = format!(
            r#"{{"type":"Unigram","unk_id":{},"vocab":{},"byte_fallback":{byte_fallback}}}"#,
            json!(unknown), json!(vocabulary),
        );
        agree(&model, &text);
    }

    #[test]
    fn bpe_makes_the_crates_tokens(
        pairs in prop::collection::vec(any::<[prop::sample::Index; 2]>(), 0..40),
        bytes in prop::sample::select(vec![0, 200, 256]),
        unknown: bool,
        rules: [bool; 3],
        text in "[abcé中xü😀]{0,40}",
    ) {
        let mut tokens: Vec<String> =
            ["<u>", "a", "b", "c", "é", "中"].map(str::to_owned).into();
        tokens.extend(byte_tokens(bytes));
        let mut merges = Vec::new();
        for [left, right] in pairs {
            // Among the last ones, too, so that long tokens grow.
            let (left, right) = (left.get(&tokens[1..]), right.get(&tokens[1..]));
            let (merge, token) = ([left.clone(), right.clone()], format!("{left}{right}"));
            merges.push(merge);
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        let ids = tokens.iter().enumerate();
        let vocabulary: Vec<String> =
            ids.map(|(id, token)| format!("{}:{id}", json!(token))).collect();
        let model = format!(
            r#"{{"type":"BPE","dropout":null,"unk_token":{},"fuse_unk":{},"byte_fallback":{},
            "ignore_merges":{},"vocab":{{{}}},"merges":{}}}"#,
            json!(unknown.then_some("<u>")), rules[0], rules[1], rules[2],
            vocabulary.join(","), json!(merges),
        );
        agree(&model, &text);
    }
}

/// A text of a million characters without a space, for the time that it takes.
#[test]
fn a_long_word_is_tokenised() {
    let unigram = r#"{"type":"Unigram","unk_id":0,
        "vocab":[["<u>",0.0],["a",-1.0],["ab",-1.5],["bab",-1.25]]}"#;
    let text = "ab".repeat(500_000);
    let tokens = ours(unigram).tokenize(&text).unwrap();
    assert_eq!(tokens.last().unwrap().offsets.1, text.len());
    let bpe = r#"{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"abab":3},
        "merges":[["a","b"],["ab","ab"]]}"#;
    assert_eq!(ours(bpe).tokenize(&text).unwrap().len(), 250_000);
}

/// The tokenizers that ship, on sentences in twelve languages, whole and cut anywhere.
#[test]
fn the_bundled_tokenizers_make_the_crates_tokens() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sentences = fs::read_to_string(root.join("benches/data/parallel.tsv")).unwrap();
    for bundle in ["mini", "base"] {
        let file = fs::read(root.join("models").join(bundle).join("tokenizer.json")).unwrap();
        let theirs = Tokenizer::from_bytes(&file).unwrap();
        let ours: Pipeline = read(&file).unwrap();
        assert!(
            !matches!(ours.get_model(), TokenModel::Crate(_)),
            "{bundle}"
        );
        assert_eq!(ours.get_vocab(true), theirs.get_vocab(true));
        for line in sentences.lines() {
            let cuts = line.char_indices().map(|(at, _)| &line[at..]).step_by(7);
            for text in cuts {
                let found = ours.encode(text, true).unwrap();
                let expected = theirs.encode(text, true).unwrap();
                assert_eq!(found, expected, "{text:?} by {bundle}");
            }
        }
    }
}

/// The same on a corpus: every token and place of each text, and the ids and spans that a check
/// asks for. `DUOGUARD_CORPUS` names files, with colons between; a line of one is a text, or an
/// object of JSON whose strings are.
#[test]
#[ignore = "needs a corpus, in DUOGUARD_CORPUS"]
fn a_corpus_makes_the_crates_tokens() {
    let files = std::env::var("DUOGUARD_CORPUS").expect("DUOGUARD_CORPUS names files");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let of_bundle = |bundle| {
        let file = fs::read(root.join(bundle).join("tokenizer.json")).unwrap();
        let theirs = Tokenizer::from_bytes(&file).unwrap();
        let mut literal = theirs.clone();
        literal.set_encode_special_tokens(true);
        let checked = tokenize::open(&file, usize::MAX).unwrap();
        (read(&file).unwrap(), theirs, literal, checked)
    };
    let bundles = ["mini", "base"].map(of_bundle);
    let compare = |text: &str| {
        for (ours, theirs, literal, checked) in &bundles {
            let expected = theirs.encode(text, true).unwrap();
            assert_eq!(ours.encode(text, true).unwrap(), expected, "{text:?}");
            let expected = literal.encode(text, false).unwrap();
            if expected.is_empty() {
                continue;
            }
            let ids = checked.encode(text, usize::MAX).unwrap();
            assert_eq!(ids, expected.get_ids(), "{text:?}");
            for at in [0, ids.len() / 2, ids.len() - 1] {
                let (start, end) = expected.get_offsets()[at];
                let span = checked.span(text, at..at + 1).unwrap();
                assert_eq!(
                    span,
                    start..end.clamp(start, text.len()),
                    "{at} of {text:?}"
                );
            }
        }
    };
    for path in files.split(':') {
        let mut texts = 0;
        for line in BufReader::new(File::open(path).expect("a file")).lines() {
            let line = line.unwrap();
            match serde_json::from_str::<serde_json::Map<String, Value>>(&line) {
                Ok(object) => object.values().filter_map(Value::as_str).for_each(|text| {
                    compare(text);
                    texts += 1;
                }),
                Err(_) => {
                    compare(&line);
                    texts += 1;
                }
            }
        }
        println!("{path}: {texts} texts");
    }
}

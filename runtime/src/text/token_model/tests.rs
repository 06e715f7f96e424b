//! Our models beside the crate's, read from the same file.

use proptest::prelude::*;
use serde_json::json;
use tokenizers::{Model as _, ModelWrapper};

use super::TokenModel;
use super::token::Token;

fn ours(model: &str) -> TokenModel {
    serde_json::from_str(model).unwrap()
}

/// Compares our model with the crate's.
fn agree(model: &str, text: &str) {
    let (ours, theirs) = (
        ours(model),
        serde_json::from_str::<ModelWrapper>(model).unwrap(),
    );
    let found = ours.tokenize(text).ok();
    let expected = theirs.tokenize(text).ok();
    let expected = expected.map(|tokens| {
        let tokens = tokens.into_iter().map(|token| Token {
            id: token.id,
            place: token.offsets.0..token.offsets.1,
        });
        tokens.collect::<Vec<_>>()
    });
    assert_eq!(found, expected, "{text:?} by {model}");
    let vocabulary = ours.vocabulary();
    assert_eq!(vocabulary.len(), theirs.get_vocab_size());
    for (id, token) in (0..).zip(vocabulary.tokens()) {
        assert_eq!(theirs.id_to_token(id).as_deref(), Some(token));
        assert_eq!(vocabulary.id(token), theirs.token_to_id(token));
    }
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
    assert_eq!(tokens.last().unwrap().place.end, text.len());
    let bpe = r#"{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"abab":3},
        "merges":[["a","b"],["ab","ab"]]}"#;
    assert_eq!(ours(bpe).tokenize(&text).unwrap().len(), 250_000);
}

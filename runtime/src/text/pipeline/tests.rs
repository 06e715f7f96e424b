//! Our tokenizers beside the crate's, read from the same file.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizers::Tokenizer;

use super::part::Refusal;
use super::{Pipeline, file};
use crate::text::bundled;
use crate::text::token_model::token::Token;
use crate::text::tokenize;

const BPE: &str = r#"{"type":"BPE","dropout":null,"unk_token":"<u>","fuse_unk":true,
    "continuing_subword_prefix":null,"end_of_word_suffix":"","byte_fallback":true,
    "ignore_merges":true,"vocab":{"<u>":0,"a":1,"b":2,"ab":3,"Ġ":4,"Ãģ":5,"▁":6,"é":7,"Ġa":8},
    "merges":[["a","b"],["Ġ","a"]]}"#;
const UNIGRAM: &str = r#"{"type":"Unigram","unk_id":0,"byte_fallback":false,
    "vocab":[["<u>",0.0],["a",-1.5],["b",-2.25],["ab",-1.125],["▁",-2.5],["Ġ",-2.0],["▁a",-1.0]]}"#;

/// A file whose parts are these.
fn file(normalizer: &Value, splits: &Value, processor: &Value, model: &str) -> String {
    format!(
        r#"{{"version":"1.0","truncation":null,"padding":{{"strategy":{{"Fixed":9}},
        "direction":"Right","pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,
        "pad_token":"<u>"}},"added_tokens":[{{"id":0,"content":"<u>","single_word":false,
        "lstrip":false,"rstrip":false,"normalized":false,"special":true}},{{"id":9,"content":"Ab",
        "single_word":false,"lstrip":true,"rstrip":false,"normalized":true,"special":true}}],
        "normalizer":{normalizer},"pre_tokenizer":{splits},"post_processor":{processor},
        "decoder":null,"model":{model}}}"#
    )
}

fn byte_level(add_prefix_space: bool, trim_offsets: bool, use_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": add_prefix_space,
        "trim_offsets": trim_offsets, "use_regex": use_regex})
}

fn metaspace(prepend_scheme: &str, split: bool) -> Value {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": prepend_scheme,
        "split": split})
}

/// A tokenizer of the crate, used as ours are.
fn theirs(file: &str) -> Tokenizer {
    let mut tokenizer = Tokenizer::from_bytes(file).unwrap();
    tokenizer.with_truncation(None).unwrap();
    tokenizer.with_padding(None);
    tokenizer.set_encode_special_tokens(true);
    tokenizer
}

fn agree(ours: &Pipeline, theirs: &Tokenizer, text: &str) {
    let expected = theirs.encode(text, false).map(|encoding| {
        let ids = encoding.get_ids().iter().zip(encoding.get_offsets());
        let tokens = ids.map(|(id, (start, end))| Token {
            id: *id,
            place: *start..*end,
        });
        tokens.collect::<Vec<_>>()
    });
    assert_eq!(ours.tokens(text).ok(), expected.ok(), "{text:?}");
}

fn normalizers() -> Vec<Value> {
    let base: Value = serde_json::from_slice(&bundled("base")).unwrap();
    let map = base["normalizer"]["normalizers"][0].clone();
    let spaces = json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "});
    let text = json!({"type": "Replace", "pattern": {"String": "ab"}, "content": "▁é"});
    let nothing = json!({"type": "Replace", "pattern": {"String": "b"}, "content": ""});
    let steps = [
        json!([]),
        json!([{"type": "NFC"}, nothing, spaces]),
        json!([map, spaces]),
        json!([spaces, text]),
    ];
    let steps = steps.map(|steps| json!({"type": "Sequence", "normalizers": steps}));
    let alone = [Value::Null, json!({"type": "NFC"}), map, spaces];
    alone.into_iter().chain(steps).collect()
}

fn splitters() -> Vec<Value> {
    let mini: Value = serde_json::from_slice(&bundled("mini")).unwrap();
    vec![
        byte_level(false, true, true),
        mini["pre_tokenizer"].clone(),
        metaspace("always", true),
        metaspace("first", true),
        metaspace("never", true),
        metaspace("first", false),
        json!({"type": "Metaspace", "replacement": "▁", "add_prefix_space": true}),
    ]
}

fn processors() -> Vec<Value> {
    let base: Value = serde_json::from_slice(&bundled("base")).unwrap();
    vec![
        Value::Null,
        base["post_processor"].clone(),
        byte_level(false, true, true),
        byte_level(true, true, true),
        byte_level(true, false, true),
    ]
}

/// Every normalizer with every way to split, what comes after, and both models.
#[test]
fn every_pipeline_gives_the_crates_tokens() {
    let texts = [
        "",
        " ",
        "ab",
        "  ab  a\u{301} b",
        "xAb a▁b <u>\t\n ",
        "b  ba\u{e9}'s ab'll",
        "Ａｂ①  ﬁ\r\n",
        "\u{1}\u{1}ab \u{958}\u{93c}",
        "a\u{327}\u{301}b 中文 가각 \u{1f600}",
        "\u{3000}\u{a0}ab ",
    ];
    let (splitters, processors) = (splitters(), processors());
    for normalizer in normalizers() {
        for splits in &splitters {
            for processor in &processors {
                let trims = processor["type"] == "ByteLevel";
                for model in [BPE, UNIGRAM] {
                    let is_known = !trims || model == BPE && splits["type"] != "Metaspace";
                    let file = file(&normalizer, splits, processor, model);
                    let found = file::read(file.as_bytes());
                    assert_eq!(found.is_ok(), is_known, "{splits} {processor}");
                    let Ok(found) = found else { continue };
                    let expected = theirs(&file);
                    let ids = expected.get_vocab(true).into_values();
                    assert_eq!(found.largest_id(), ids.max().map(|id| id as usize));
                    texts.iter().for_each(|text| agree(&found, &expected, text));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_has_the_crates_tokens(
        text in "([ab é▁'s.1\n\t\u{1}\u{a0}\u{301}\u{958}\u{4e2d}ﬁ①]|  |'ll|\\PC){0,40}",
        model in prop::sample::select(vec![BPE, UNIGRAM]),
        choice in any::<[prop::sample::Index; 3]>(),
    ) {
        let normalizer = choice[0].get(&normalizers()).clone();
        let splits = choice[1].get(&splitters()).clone();
        let processor = choice[2].get(&processors()).clone();
        let file = file(&normalizer, &splits, &processor, model);
        if let Ok(found) = file::read(file.as_bytes()) {
            agree(&found, &theirs(&file), &text);
        }
    }
}

#[test]
fn older_merges_are_read() {
    let (none, splits) = (Value::Null, byte_level(false, true, true));
    let older = BPE.replace(r#"["a","b"],["Ġ","a"]"#, r#""a b","Ġ a""#);
    let file = file(&none, &splits, &none, &older);
    agree(
        &file::read(file.as_bytes()).unwrap(),
        &theirs(&file),
        "ab ab",
    );
}

/// What of a file is refused, and how that is told.
#[test]
fn what_is_not_known_is_told_by_name() {
    let null = Value::Null;
    let words = byte_level(false, true, true);
    let plain = file(&null, &words, &null, BPE);
    let lower = json!({"type": "Lowercase"});
    let behind = json!({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "NFC"}]});
    let digits = json!({"type": "Digits", "individual_digits": true});
    let digits = json!({"type": "Sequence", "pretokenizers": [digits, words]});
    let bert = json!({"type": "BertProcessing", "sep": ["<u>", 0], "cls": ["<u>", 0]});
    let gap = BPE.replace(r#""Ġa":8"#, r#""Ġa":12"#);
    for (file, part) in [
        (
            file(&lower, &words, &null, BPE),
            "normalizer of type Lowercase",
        ),
        (file(&behind, &words, &null, BPE), "behind another"),
        (
            file(&null, &digits, &null, BPE),
            "pre_tokenizer of type Sequence of Digits, ByteLevel",
        ),
        (file(&null, &null, &null, BPE), "pre_tokenizer of type none"),
        (
            file(&null, &byte_level(true, true, true), &null, BPE),
            "pre_tokenizer of type ByteLevel",
        ),
        (
            file(&null, &words, &bert, BPE),
            "post_processor of type BertProcessing",
        ),
        (
            file(&null, &words, &null, &BPE.replace("BPE", "WordPiece")),
            "model of type WordPiece",
        ),
        (file(&null, &words, &null, &gap), "ids are not in order"),
        (
            plain.replacen(r#""special":true"#, r#""special":false"#, 1),
            "added token \"<u>\"",
        ),
        (plain.replace("1.0", "2.0"), "version \"2.0\""),
    ] {
        match file::read(file.as_bytes()) {
            Err(Refusal::Unknown(found)) => assert!(found.contains(part), "{found}: {part}"),
            other => panic!("{part}: {:?}", other.map(drop)),
        }
    }
    let damaged = [
        plain[..200].to_owned(),
        plain.replace(r#""decoder":null"#, r#""decoder":7"#),
    ];
    for file in damaged {
        let found = file::read(file.as_bytes());
        assert!(matches!(found, Err(Refusal::Damaged(_))));
    }
}

/// With the crate, such a file is read by it; without, the error says what to do.
#[test]
fn what_is_not_known_is_left_to_the_crate() {
    let null = Value::Null;
    let lower = json!({"type": "Lowercase"});
    let file = file(&lower, &byte_level(false, true, true), &null, BPE);
    let opened = tokenize::open(file.as_bytes(), 100);
    if cfg!(feature = "tokenizers") {
        let expected = theirs(&file).encode("AB ab", false).unwrap();
        let found = opened.unwrap().encode("AB ab", 100).unwrap();
        assert_eq!(found, expected.get_ids());
        let none = file.replace("Lowercase", "Lower");
        let found = tokenize::open(none.as_bytes(), 100).map(drop).unwrap_err();
        let expected = Tokenizer::from_bytes(&none).map(drop).unwrap_err();
        assert!(found.to_string().contains(&expected.to_string()));
    } else {
        let message = opened.map(drop).unwrap_err().to_string();
        let parts = [
            "tokenizer.json: normalizer of type Lowercase",
            "feature `tokenizers`",
        ];
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}

/// The tokenizers that ship, on sentences in twelve languages, whole and cut anywhere.
#[test]
fn the_bundled_tokenizers_give_the_crates_tokens() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sentences = fs::read_to_string(root.join("benches/data/parallel.tsv")).unwrap();
    for bundle in ["mini", "base"] {
        let file = bundled(bundle);
        let (ours, theirs) = (
            file::read(&file).unwrap(),
            theirs(std::str::from_utf8(&file).unwrap()),
        );
        for line in sentences.lines() {
            let cuts = line.char_indices().map(|(at, _)| &line[at..]).step_by(7);
            cuts.for_each(|text| agree(&ours, &theirs, text));
        }
    }
}

/// The same on a corpus: every token and place of each text, and the ids and spans that a check
/// asks for. `DUOGUARD_CORPUS` names files, with colons between; a line of one is a text, or an
/// object of JSON whose strings are.
#[test]
#[ignore = "needs a corpus, in DUOGUARD_CORPUS"]
fn a_corpus_has_the_crates_tokens() {
    let files = std::env::var("DUOGUARD_CORPUS").expect("DUOGUARD_CORPUS names files");
    let of_bundle = |bundle| {
        let file = bundled(bundle);
        let checked = tokenize::open(&file, usize::MAX).unwrap();
        let theirs = theirs(std::str::from_utf8(&file).unwrap());
        (file::read(&file).unwrap(), theirs, checked)
    };
    let bundles = ["mini", "base"].map(of_bundle);
    let compare = |text: &str| {
        for (ours, theirs, checked) in &bundles {
            agree(ours, theirs, text);
            let expected = ours.tokens(text).unwrap();
            if expected.is_empty() {
                continue;
            }
            let ids = checked.encode(text, usize::MAX).unwrap();
            assert!(
                expected
                    .iter()
                    .map(|token| token.id)
                    .eq(ids.iter().copied()),
                "{text:?}"
            );
            for at in [0, ids.len() / 2, ids.len() - 1] {
                let place = &expected[at].place;
                let span = checked.span(text, at..at + 1).unwrap();
                let end = place.end.clamp(place.start, text.len());
                assert_eq!(span, place.start..end, "{at} of {text:?}");
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

//! The tokens that stand before and behind every window.

use duoguard::{ErrorKind, Manifest};
use serde_json::json;

use crate::bundle::refused;
use crate::support::Files;

#[test]
fn impossible_prefixes() {
    let prefix =
        |ids: serde_json::Value| move |files: &mut Files| files.manifest["prefix_tokens"] = ids;
    let kind = ErrorKind::InvalidModel;
    refused(prefix(json!([99])), kind, &["prefix_tokens has 99"]);
    refused(prefix(json!([-1])), kind, &["manifest.json", "-1"]);
    // As long as the network allows, a prefix leaves no room for text.
    refused(
        prefix(json!(vec![0; 16])),
        kind,
        &["window_tokens", "with 16 prefix_tokens", "max_position, 16"],
    );
    refused(prefix(json!(vec![0; 100])), kind, &["100 prefix_tokens"]);
}

#[test]
fn impossible_suffixes() {
    let kind = ErrorKind::InvalidModel;
    let suffix = |files: &mut Files, ids| files.manifest["suffix_tokens"] = ids;
    refused(
        |files| suffix(files, json!([5])),
        kind,
        &["suffix_tokens has 5"],
    );
    // Before and behind the window together: 4 tokens, and 13 around them.
    refused(
        |files| {
            files.manifest["prefix_tokens"] = json!([0, 0]);
            suffix(files, json!(vec![0; 11]));
        },
        kind,
        &[
            "with 2 prefix_tokens and 11 suffix_tokens",
            "max_position, 16",
        ],
    );
    let pooling =
        |name| move |files: &mut Files| files.manifest["architecture"]["pooling"] = json!(name);
    refused(pooling("max"), kind, &["manifest.json", "max"]);
    // What goes on from the tokens before cannot see those behind.
    let sealed = Files::new().seal();
    let mut manifest: serde_json::Value = serde_json::from_slice(&sealed["manifest.json"]).unwrap();
    manifest["architecture"]["pooling"] = json!("mean");
    let open = |manifest: &serde_json::Value| Manifest::from_json(manifest.to_string().as_bytes());
    open(&manifest).unwrap();
    manifest["files"]["stream.onnx"] = json!("0".repeat(64));
    let error = open(&manifest).unwrap_err().to_string();
    assert!(
        error.contains("stream.onnx") && error.contains("pooling"),
        "{error}"
    );
}

#[test]
fn a_window_stands_between_prefix_and_suffix() {
    let mut files = Files::new();
    files.manifest["prefix_tokens"] = json!([0]);
    files.manifest["suffix_tokens"] = json!([4, 1]);
    files.manifest["architecture"]["pooling"] = json!("first_token");
    let model = crate::support::open(files).unwrap();
    assert_eq!(model.windows(&[2, 3]), [[0, 2, 3, 4, 1]]);
    assert_eq!(
        model.windows(&[2, 3, 2, 3, 2]),
        [[0, 2, 3, 2, 3, 4, 1], [0, 3, 2, 3, 2, 4, 1]]
    );
}

#[test]
fn a_prefix_stands_before_every_window() {
    let plain = crate::support::model();
    let mut files = Files::new();
    files.manifest["prefix_tokens"] = json!([0]);
    let model = crate::support::open(files).unwrap();
    let tokens: Vec<u32> = (0..11).map(|i| i % 4).collect();
    let (without, with) = (plain.windows(&tokens), model.windows(&tokens));
    assert!(without.len() > 1 && without.len() == with.len());
    for (without, with) in without.iter().zip(&with) {
        assert_eq!((with[0], &with[1..]), (0, &without[..]));
    }
    assert_eq!(model.windows(&[]), Vec::<Vec<u32>>::new());
}

//! A bundle that is incomplete, damaged or contradicts itself is refused with an error that says
//! what is wrong.

use duoguard::{BUNDLE_FILES, Bundle, ErrorKind, Manifest, Model};
use serde_json::json;

use crate::support::{Files, Graph, open, tokenizer, write};

/// Opens a changed bundle, which must fail with this kind and a message that has all of these in
/// it.
#[track_caller]
pub fn refused(change: impl FnOnce(&mut Files), kind: ErrorKind, expected: &[&str]) {
    let mut files = Files::new();
    change(&mut files);
    check(open(files), kind, expected);
}

#[track_caller]
fn check<T: std::fmt::Debug>(result: duoguard::Result<T>, kind: ErrorKind, expected: &[&str]) {
    let error = result.unwrap_err();
    let message = error.to_string();
    assert_eq!(error.kind(), kind, "{message}");
    for part in expected {
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
}

#[test]
fn a_whole_bundle_opens_from_memory_and_from_a_folder() {
    let mut files = Files::new().seal();
    files.insert("README.md".to_owned(), b"not part of it".to_vec());
    let from_memory = Bundle::from_memory(files.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &files);
    let from_folder = Bundle::open(folder.path()).unwrap();
    for name in BUNDLE_FILES {
        assert_eq!(from_memory.file(name), files[name], "{name}");
        assert_eq!(from_folder.file(name), files[name], "{name}");
    }
    assert_eq!(from_folder.file("README.md"), b"");
    assert_eq!(from_memory.manifest(), from_folder.manifest());
}

#[test]
fn models_are_shared_between_threads_and_sessions_move_between_them() {
    fn shared<T: Clone + Send + Sync>() {}
    fn moved<T: Send>() {}
    shared::<Model>();
    moved::<duoguard::Session>();
}

#[test]
fn missing_folder() {
    let folder = tempfile::tempdir().unwrap();
    check(
        Bundle::open(folder.path().join("gone")),
        ErrorKind::Io,
        &["gone", "expected a folder"],
    );
}

#[test]
fn a_file_in_place_of_the_folder() {
    let file = tempfile::NamedTempFile::new().unwrap();
    check(
        Bundle::open(file.path()),
        ErrorKind::Io,
        &["expected a folder"],
    );
}

#[test]
fn missing_files() {
    for name in BUNDLE_FILES {
        let mut files = Files::new().seal();
        files.remove(name);
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &files);
        check(Bundle::open(folder.path()), ErrorKind::Io, &[name]);
        check(
            Bundle::from_memory(files),
            ErrorKind::InvalidArgument,
            &[name],
        );
    }
}

#[test]
fn wrong_hash() {
    for name in ["tokenizer.json", "model.onnx", "weights.data"] {
        let mut files = Files::new().seal();
        *files.get_mut(name).unwrap().last_mut().unwrap() ^= 1;
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &files);
        check(
            Bundle::open(folder.path()),
            ErrorKind::InvalidModel,
            &[name, "SHA-256"],
        );
        check(
            Bundle::from_memory(files),
            ErrorKind::InvalidModel,
            &[name, "SHA-256"],
        );
    }
}

#[test]
fn damaged_manifest() {
    let whole = Files::new().seal().remove("manifest.json").unwrap();
    Manifest::from_json(&whole).unwrap();
    for end in 0..whole.len() {
        check(
            Manifest::from_json(&whole[..end]),
            ErrorKind::InvalidModel,
            &["manifest.json", "line"],
        );
    }
    let too_large = vec![b' '; duoguard::MAX_MANIFEST_BYTES as usize + 1];
    check(
        Manifest::from_json(&too_large),
        ErrorKind::InvalidModel,
        &["manifest.json", "allowed"],
    );
}

#[test]
fn unknown_manifest_fields() {
    refused(
        |files| files.manifest["extra"] = json!(1),
        ErrorKind::InvalidModel,
        &["unknown field `extra`"],
    );
    refused(
        |files| files.manifest["limits"]["extra"] = json!(1),
        ErrorKind::InvalidModel,
        &["unknown field `extra`"],
    );
}

#[test]
fn newer_format_version() {
    let newer = |files: &mut Files| {
        files.manifest["format_version"] = json!(2);
        files.manifest["a_field_of_the_future"] = json!(true);
    };
    refused(
        newer,
        ErrorKind::Unsupported,
        &["format_version is 2", "reads 1", "update"],
    );
    refused(
        |files| files.manifest["format_version"] = json!(0),
        ErrorKind::Unsupported,
        &["format_version is 0"],
    );
}

#[test]
fn thresholds_that_do_not_fit_the_categories() {
    let policy = |path: &'static str, value| {
        move |files: &mut Files| *files.manifest.pointer_mut(path).unwrap() = value
    };
    let kind = ErrorKind::InvalidModel;
    let defaults = "/policy/default_thresholds";
    refused(
        policy(defaults, json!({ "fraud": 0.5, "hate": 0.5 })),
        kind,
        &["violence", "every category"],
    );
    let unknown = json!({ "violence": 0.5, "fraud": 0.5, "hate": 0.5, "noise": 0.5 });
    refused(
        policy(defaults, unknown),
        kind,
        &["default_thresholds", "noise"],
    );
    let languages = "/policy/language_thresholds";
    refused(
        policy(languages, json!({ "fr": { "noise": 0.5 } })),
        kind,
        &["language_thresholds.fr", "noise"],
    );
    for tag in ["not a tag", "fr_CA", "fr-u-co-phonebk"] {
        refused(
            policy(languages, json!({ tag: {} })),
            kind,
            &[tag, "BCP-47"],
        );
    }
    for bad in [json!(0.0), json!(-0.5), json!(1.01)] {
        refused(
            policy("/policy/default_thresholds/fraud", bad),
            kind,
            &["fraud", "more than 0"],
        );
    }
}

#[test]
fn impossible_limits() {
    let limits = |window: usize, overlap: usize| {
        move |files: &mut Files| {
            files.manifest["limits"] = json!({ "window_tokens": window, "overlap_tokens": overlap })
        }
    };
    let kind = ErrorKind::InvalidModel;
    refused(limits(0, 0), kind, &["window_tokens is 0"]);
    refused(limits(4, 4), kind, &["overlap_tokens is 4"]);
    refused(
        limits(17, 4),
        kind,
        &["window_tokens is 17", "max_position"],
    );
    refused(limits(usize::MAX, 4), kind, &["window_tokens"]);
}

#[test]
fn impossible_categories_and_shapes() {
    let kind = ErrorKind::InvalidModel;
    refused(
        |files| files.manifest["categories"] = json!([]),
        kind,
        &["0 categories"],
    );
    refused(
        |files| files.manifest["categories"] = json!(["hate", "hate"]),
        kind,
        &["hate", "twice"],
    );
    refused(
        |files| files.manifest["architecture"]["heads"] = json!(0),
        kind,
        &["architecture.heads is 0"],
    );
    refused(
        |files| files.manifest["architecture"]["heads"] = json!(-1),
        kind,
        &["manifest.json", "-1"],
    );
}

#[test]
fn files_without_a_usable_hash() {
    for (files, expected) in [
        (json!({}), "no entry for tokenizer.json"),
        (json!({ "tokenizer.json": "abc" }), "64 hexadecimal digits"),
    ] {
        let mut bundle = Files::new().seal();
        let mut manifest: serde_json::Value =
            serde_json::from_slice(&bundle["manifest.json"]).unwrap();
        manifest["files"] = files;
        bundle.insert(
            "manifest.json".to_owned(),
            manifest.to_string().into_bytes(),
        );
        check(
            Bundle::from_memory(bundle),
            ErrorKind::InvalidModel,
            &[expected],
        );
    }
}

#[test]
fn tokenizer_of_another_model() {
    let smaller = |files: &mut Files| files.manifest["architecture"]["vocabulary"] = json!(4);
    refused(
        smaller,
        ErrorKind::InvalidModel,
        &["tokenizer.json", "largest token id is 4", "vocabulary is 4"],
    );
}

#[test]
fn damaged_tokenizer() {
    let whole = tokenizer();
    for end in [0, 1, whole.len() / 2, whole.len() - 1] {
        let cut = whole[..end].to_vec();
        refused(
            |files| files.tokenizer = cut,
            ErrorKind::InvalidModel,
            &["tokenizer.json", "not a valid tokenizer"],
        );
    }
    // What the crate that reads it would panic at.
    let text = String::from_utf8(whole).unwrap();
    for (part, damaged) in [
        ("decoder", "julh"),
        ("decoder", "1e999"),
        (
            "normalizer",
            r#"{"type":"Precompiled","precompiled_charsmap":"AAAA"}"#,
        ),
    ] {
        let (from, to) = (format!("\"{part}\":null"), format!("\"{part}\":{damaged}"));
        assert!(text.contains(&from), "{text}");
        refused(
            |files| files.tokenizer = text.replace(&from, &to).into_bytes(),
            ErrorKind::InvalidModel,
            &["tokenizer.json", "not a valid tokenizer"],
        );
    }
}

#[test]
fn damaged_weights() {
    let kind = ErrorKind::InvalidModel;
    refused(
        |files| files.weights.clear(),
        kind,
        &["weights.data", "too short"],
    );
    refused(
        |files| files.weights.truncate(7),
        kind,
        &["weights.data", "too short"],
    );
    refused(
        |files| files.weights.truncate(20),
        kind,
        &["weights.data", "the header claims"],
    );
    refused(
        |files| files.weights[..8].fill(0xff),
        kind,
        &["weights.data", "the header claims"],
    );
    refused(
        |files| files.weights[8..12].fill(b'!'),
        kind,
        &["weights.data", "damaged header"],
    );
    refused(
        |files| files.weights.truncate(files.weights.len() - 4),
        kind,
        &["weights.data", "damaged header"],
    );
}

#[test]
fn weights_cut_short_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Files::new().seal();
    files.get_mut("weights.data").unwrap().clear();
    write(folder.path(), &files);
    check(
        Bundle::open(folder.path()),
        ErrorKind::InvalidModel,
        &["weights.data", "SHA-256"],
    );
}

#[test]
fn graphs_that_break_the_contract() {
    let kind = ErrorKind::InvalidModel;
    let graph = |graph: Graph<'static>| move |files: &mut Files| files.graph = graph.encode();
    refused(
        graph(Graph {
            input: "ids",
            ..Graph::default()
        }),
        kind,
        &["model.onnx", "ids", "input_ids"],
    );
    refused(
        graph(Graph {
            output: "scores",
            ..Graph::default()
        }),
        kind,
        &["model.onnx", "scores", "logits"],
    );
    refused(
        graph(Graph {
            columns: 12,
            ..Graph::default()
        }),
        kind,
        &["12 columns", "3 categories"],
    );
    refused(
        graph(Graph {
            location: "/etc/passwd",
            ..Graph::default()
        }),
        kind,
        &["/etc/passwd", "weights.data"],
    );
    refused(
        graph(Graph {
            offset: 1 << 40,
            ..Graph::default()
        }),
        kind,
        &["embedding", "beyond the end"],
    );
    refused(
        graph(Graph {
            length: usize::MAX,
            ..Graph::default()
        }),
        kind,
        &["embedding", "need 1280 bytes"],
    );
}

//! The command line's contract: statuses, JSON keys, standard input, and errors that say what to
//! do.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Output, Stdio};

use duoguard_tests::{duoguard, mini};
use serde_json::Value;

const BENIGN: &str = "How do I bake bread at home?";
const KEYS: [&str; 10] = [
    "category",
    "elapsed_ms",
    "engine",
    "flagged",
    "language",
    "score",
    "scores",
    "tokens",
    "tokens_scored",
    "windows",
];

fn check(arguments: &[&str]) -> Output {
    duoguard()
        .arg("check")
        .arg("--model")
        .arg(mini())
        .args(arguments)
        .output()
        .unwrap()
}

/// Status 2, and every mention on standard error.
fn assert_error(output: &Output, mentions: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    for mention in mentions {
        assert!(text.contains(mention), "{mention:?} is not in {text}");
    }
}

#[test]
fn json_has_exactly_the_contract_s_keys() {
    let output = check(&["--json", BENIGN]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut keys: Vec<&str> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, KEYS);
    assert_eq!(value["scores"].as_object().unwrap().len(), 12);
    assert_eq!(value["engine"], "native");
    assert!(value["language"].is_string());
    assert_eq!(
        output.status.code(),
        Some(i32::from(value["flagged"].as_bool().unwrap()))
    );
}

#[test]
fn language_tags_are_read_as_systems_write_them() {
    for tag in [
        "pt-BR",
        "pt_BR",
        "PT_br_u_co_phonebk",
        "pt-BR-x-kitchen",
        "pt_BR.UTF-8",
        "pt_BR@euro",
        "pt-BR-u-mu-celsius",
    ] {
        let output = check(&["--json", "--language", tag, BENIGN]);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["language"], "pt-BR", "{tag}");
    }
    assert_error(
        &check(&["--language", "mostly German", BENIGN]),
        &["\"mostly German\"", "BCP-47"],
    );
}

#[test]
fn the_status_tells_safe_from_unsafe() {
    // The same text under thresholds nobody reaches, and under ones that everything exceeds.
    let folder = tempfile::tempdir().unwrap();
    for (threshold, status) in [(1.0, 0), (1e-9, 1)] {
        let bundle = folder.path().join(status.to_string());
        copy(&mini(), &bundle);
        edit(&bundle, |manifest| {
            manifest["policy"]["language_thresholds"] = serde_json::json!({});
            for value in manifest["policy"]["default_thresholds"]
                .as_object_mut()
                .unwrap()
                .values_mut()
            {
                *value = threshold.into();
            }
        });
        let output = duoguard()
            .arg("check")
            .arg("--model")
            .arg(&bundle)
            .arg(BENIGN)
            .output()
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(status),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn lines_are_answered_as_they_arrive() {
    let mut child = duoguard()
        .args(["check", "--json", "--model"])
        .arg(mini())
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    for text in [BENIGN, "Wie backe ich zu Hause Brot?", ""] {
        writeln!(input, "{text}").unwrap();
        // The next line is written only when this one was answered.
        let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["tokens"] == 0, text.is_empty());
    }
    drop(input);
    assert!(matches!(child.wait().unwrap().code(), Some(0 | 1)));
}

#[test]
fn errors_say_what_to_do() {
    assert_error(
        &check(&["--engine", "abacus", BENIGN]),
        &["abacus", "native"],
    );
    let output = duoguard()
        .args(["check", "--model", "no/such/bundle", BENIGN])
        .output()
        .unwrap();
    assert_error(&output, &["no/such/bundle"]);
    let output = duoguard()
        .args(["check", "--engine", "onnxruntime", BENIGN, "--model"])
        .arg(mini())
        .env("ORT_DYLIB_PATH", "no/such/library.so")
        .output()
        .unwrap();
    assert_error(&output, &["no/such/library.so"]);
    let output = duoguard()
        .args(["export", "no/such/checkpoint", "bundle"])
        .output()
        .unwrap();
    assert_error(&output, &["no/such/checkpoint"]);
    let output = duoguard()
        .args(["eval", "--benchmarks", "no/such/benchmarks", "--model"])
        .arg(mini())
        .output()
        .unwrap();
    assert_error(&output, &["no/such/benchmarks"]);
}

#[test]
fn a_damaged_bundle_is_refused() {
    type Damage = fn(&Path);
    let cases: [(Damage, &[&str]); 9] = [
        (
            |b| fs::remove_file(b.join("model.onnx")).unwrap(),
            &["model.onnx"],
        ),
        (
            |b| fs::remove_file(b.join("tokenizer.json")).unwrap(),
            &["tokenizer.json"],
        ),
        (
            |b| fs::remove_file(b.join("weights.data")).unwrap(),
            &["weights.data"],
        ),
        (
            |b| fs::remove_file(b.join("manifest.json")).unwrap(),
            &["manifest.json"],
        ),
        (
            |b| flip(&b.join("weights.data")),
            &["weights.data", "SHA-256"],
        ),
        (|b| flip(&b.join("model.onnx")), &["model.onnx", "SHA-256"]),
        (|b| truncate(&b.join("manifest.json")), &["manifest.json"]),
        (
            |b| edit(b, |m| m["format_version"] = 2.into()),
            &["format_version", "2"],
        ),
        (
            |b| {
                edit(b, |m| {
                    m["policy"]["default_thresholds"]["rudeness"] = 0.5.into()
                })
            },
            &["rudeness"],
        ),
    ];
    for (damage, mentions) in cases {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("bundle");
        copy(&mini(), &bundle);
        damage(&bundle);
        let output = duoguard()
            .arg("check")
            .arg("--model")
            .arg(&bundle)
            .arg(BENIGN)
            .output()
            .unwrap();
        assert_error(&output, mentions);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let optional = duoguard::OPTIONAL_BUNDLE_FILES;
    for name in duoguard::BUNDLE_FILES.into_iter().chain(optional) {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

fn edit(bundle: &Path, change: impl Fn(&mut Value)) {
    let path = bundle.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(path, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn a_text_is_never_an_option_behind_two_hyphens() {
    for text in ["--help", "-V", "-", "--json", "--", "--model=none"] {
        let output = check(&["--json", "--threshold", "hate=1", "--", text]);
        let shown = String::from_utf8_lossy(&output.stdout);
        let value: Value =
            serde_json::from_str(&shown).unwrap_or_else(|_| panic!("{text}: {shown}"));
        let status = i32::from(value["flagged"].as_bool().unwrap());
        assert_eq!(output.status.code(), Some(status), "{text}");
    }
    assert_error(&check(&["a", "--", "b"]), &["cannot be used with"]);
}

/// Whoever checks "$TEXT" without two hyphens must not take help for a safe text.
#[test]
fn help_is_no_safe_text() {
    for text in ["--help", "-h", "--version", "-V"] {
        let output = check(&[text]);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(!output.stdout.is_empty());
    }
    for arguments in [&["--help"][..], &["help", "check"], &["eval", "--help"]] {
        let output = duoguard().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn nothing_read_is_no_safe_text() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    fs::write(&empty, "").unwrap();
    let file = empty.to_str().unwrap();
    for arguments in [&["-"][..], &["--file", file], &["--file", "-"]] {
        let output = duoguard()
            .args(["check", "--model"])
            .arg(mini())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_error(&output, &["no text was checked"]);
    }
}

#[test]
fn a_file_of_many_lines_is_one_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter");
    fs::write(&path, format!("\u{feff}{BENIGN}\n").repeat(5000)).unwrap();
    let output = check(&["--json", "--file", path.to_str().unwrap()]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(shown.lines().count(), 1, "{shown}");
    let value: Value = serde_json::from_str(&shown).unwrap();
    assert!(value["windows"].as_u64().unwrap() > 50, "{shown}");
    assert_error(&check(&["--file", "no/such/file"]), &["no/such/file"]);
}

#[test]
fn drivers_say_nothing_in_our_name() {
    let output = duoguard()
        .args(["engines", "--model"])
        .arg(mini())
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("XDG_RUNTIME_DIR"), "{said}");
}

#[test]
fn an_unsigned_model_is_refused_where_a_signature_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("minisign.pub");
    let key = key.to_str().unwrap();
    assert_error(
        &check(&["--public-key", key, BENIGN]),
        &[key, "cannot read"],
    );
    fs::write(key, "no key\n").unwrap();
    assert_error(&check(&["--public-key", key, BENIGN]), &[key, "public key"]);
    // The key of minisign's own documentation.
    let text = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    fs::write(key, format!("untrusted comment: a key\n{text}\n")).unwrap();
    assert_error(
        &check(&["--public-key", key, BENIGN]),
        &["minisig", "not signed"],
    );
    let output = duoguard()
        .args(["inspect", "--public-key", key])
        .arg(mini())
        .output()
        .unwrap();
    assert_error(&output, &["not signed"]);
}

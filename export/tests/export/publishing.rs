//! The bundle appears whole or not at all.

use std::path::Path;

use duoguard::Model;
use duoguard_export::{ExportError, ExportOptions, export};
use serde_json::json;

use crate::support::{Recipe, names};

const FORCE: fn() -> ExportOptions = || ExportOptions {
    force: true,
    ..ExportOptions::default()
};

fn checkpoint(folder: &Path) -> std::path::PathBuf {
    let checkpoint = folder.join("checkpoint");
    Recipe::default().files().write(&checkpoint);
    checkpoint
}

#[test]
fn a_bundle_is_replaced_only_when_forced() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint(folder.path());
    let bundle = folder.path().join("bundle");
    std::fs::create_dir(&bundle).unwrap();
    export(&checkpoint, &bundle, &ExportOptions::default()).unwrap();
    std::fs::write(bundle.join("README.md"), "mine").unwrap();
    std::fs::write(bundle.join("model.onnx"), "damaged").unwrap();
    let refused = export(&checkpoint, &bundle, &ExportOptions::default()).unwrap_err();
    assert!(matches!(refused, ExportError::Destination { .. }));
    assert!(refused.to_string().contains("--force"), "{refused}");
    export(&checkpoint, &bundle, &FORCE()).unwrap();
    Model::open(&bundle).unwrap();
    assert_eq!(std::fs::read(bundle.join("README.md")).unwrap(), b"mine");
    assert_eq!(names(folder.path()), ["bundle", "checkpoint"]);
    let expected = [
        "README.md",
        "manifest.json",
        "model.onnx",
        "stream.onnx",
        "tokenizer.json",
        "weights.data",
    ];
    assert_eq!(names(&bundle), expected);
}

#[test]
fn what_is_no_bundle_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint(folder.path());
    let bundle = folder.path().join("bundle");
    std::fs::create_dir(&bundle).unwrap();
    std::fs::write(bundle.join("thesis.tex"), "").unwrap();
    let refused = export(&checkpoint, &bundle, &FORCE()).unwrap_err();
    assert!(
        refused.to_string().contains("no manifest.json"),
        "{refused}"
    );
    std::fs::write(bundle.join("manifest.json"), "").unwrap();
    std::fs::create_dir(bundle.join("photos")).unwrap();
    let refused = export(&checkpoint, &bundle, &FORCE()).unwrap_err();
    assert!(refused.to_string().contains("photos"), "{refused}");
    assert_eq!(names(&bundle), ["manifest.json", "photos", "thesis.tex"]);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    export(&checkpoint, &file, &FORCE()).unwrap_err();
    export(&checkpoint, &folder.path().join("no/such/parent"), &FORCE()).unwrap_err();
    assert_eq!(names(folder.path()), ["bundle", "checkpoint", "file"]);
}

#[test]
fn a_failed_export_leaves_the_old_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    export(
        &checkpoint(folder.path()),
        &bundle,
        &ExportOptions::default(),
    )
    .unwrap();
    let mut files = Recipe::default().files();
    files
        .extra
        .insert("duoguard.json", json!({ "overlap_tokens": 5000 }));
    files.write(&folder.path().join("checkpoint"));
    export(&folder.path().join("checkpoint"), &bundle, &FORCE()).unwrap_err();
    Model::open(&bundle).unwrap();
    assert_eq!(names(folder.path()), ["bundle", "checkpoint"]);
}

#[test]
fn the_manifest_takes_over_what_the_trainer_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Recipe {
        labels: 2,
        ..Recipe::default()
    }
    .files();
    files.extra.insert(
        "duoguard.json",
        json!({
            "name": "tiny", "window_tokens": 20, "overlap_tokens": 3, "categories": ["a", "b"], "provenance": { "recipe": "none" },
        }),
    );
    files.write(&folder.path().join("checkpoint"));
    let report = export(
        &folder.path().join("checkpoint"),
        &folder.path().join("bundle"),
        &ExportOptions::default(),
    );
    let report = report.unwrap();
    let manifest = &report.manifest;
    assert_eq!(
        (manifest.name.as_str(), &manifest.categories[..]),
        ("tiny", &["a".to_owned(), "b".to_owned()][..])
    );
    assert_eq!(
        (
            manifest.limits.window_tokens,
            manifest.limits.overlap_tokens
        ),
        (20, 3)
    );
    assert_eq!(manifest.provenance["recipe"], "none");
    assert_eq!(manifest.policy.default_thresholds["a"], 0.5);
    let sizes = names(&folder.path().join("bundle"))
        .into_iter()
        .map(|name| {
            let path = folder.path().join("bundle").join(name);
            std::fs::metadata(path).unwrap().len()
        });
    assert_eq!(report.bundle_bytes, sizes.sum::<u64>());
}

/// Stands in for a full disk: no file may grow beyond some size. The limit holds for a whole
/// process, so the test starts itself again under one, with the signal that would end it ignored.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing() {
    const FOLDER: &str = "DUOGUARD_EXPORT_FULL_DISK";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let folder = Path::new(&folder);
        let refused = export(
            &folder.join("checkpoint"),
            &folder.join("bundle"),
            &ExportOptions::default(),
        );
        let refused = refused.expect_err("no file can be written").to_string();
        assert!(refused.contains("cannot write"), "{refused}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    checkpoint(folder.path());
    // In blocks of 512 bytes: the tokenizer fits and the graph does not; the graph fits and the
    // weights do not.
    for limit in ["1", "8", "60"] {
        let child = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f $0; exec \"$@\"", limit])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "publishing::a_full_disk_leaves_nothing"])
            .env(FOLDER, folder.path())
            // Through pipes: what the test itself prints would count where it goes to a file.
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "limit {limit}: {shown}");
        assert_eq!(names(folder.path()), ["checkpoint"], "limit {limit}");
    }
}

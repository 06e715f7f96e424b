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

#[cfg(unix)]
#[test]
fn a_symbolic_link_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint(folder.path());
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let refused = export(&checkpoint, &link, &ExportOptions::default()).unwrap_err();
    assert!(refused.to_string().contains("leads nowhere"), "{refused}");
    std::fs::create_dir(&real).unwrap();
    for options in [ExportOptions::default(), FORCE()] {
        export(&checkpoint, &link, &options).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        Model::open(&real).unwrap();
    }
    assert_eq!(names(folder.path()), ["checkpoint", "link", "real"]);
}

/// The current folder belongs to a whole process, so the test starts itself again in another.
#[test]
fn the_current_folder_keeps_its_place() {
    const CHECKPOINT: &str = "DUOGUARD_EXPORT_HERE";
    if let Some(checkpoint) = std::env::var_os(CHECKPOINT) {
        for options in [ExportOptions::default(), FORCE()] {
            export(Path::new(&checkpoint), Path::new("."), &options).unwrap();
            // As it is seen from here, and not by its name.
            Model::open(".").unwrap();
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint(folder.path());
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "publishing::the_current_folder_keeps_its_place"])
        .env(CHECKPOINT, &checkpoint)
        .current_dir(&empty)
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{shown}");
    Model::open(&empty).unwrap();
    let bundle = [
        "manifest.json",
        "model.onnx",
        "stream.onnx",
        "tokenizer.json",
        "weights.data",
    ];
    assert_eq!(names(&empty), bundle);
    assert_eq!(names(folder.path()), ["checkpoint", "empty"]);
}

/// A file system in memory, mounted where only this test sees it; that takes a right which not
/// every machine gives.
#[cfg(target_os = "linux")]
#[test]
fn a_mount_point_keeps_its_place() {
    let folder = tempfile::tempdir().unwrap();
    const FOLDER: &str = "DUOGUARD_EXPORT_MOUNT";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let folder = Path::new(&folder);
        for (name, options) in [
            ("other", ExportOptions::default()),
            ("other", FORCE()),
            ("same", ExportOptions::default()),
        ] {
            let target = folder.join(name);
            export(&folder.join("checkpoint"), &target, &options).unwrap();
            Model::open(&target).unwrap();
            assert_eq!(names(&target).len(), 5);
        }
        return;
    }
    checkpoint(folder.path());
    for name in ["other", "same", "source"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    // "other" is on a file system of its own, "same" on that of its parent.
    let script = "mount -t tmpfs tmpfs $0/other && mount --bind $0/source $0/same && exec \"$@\"";
    let mounted = |run: &[&std::ffi::OsStr]| {
        std::process::Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(folder.path())
            .args(run)
            .env(FOLDER, folder.path())
            .output()
    };
    if !mounted(&["true".as_ref()]).is_ok_and(|found| found.status.success()) {
        eprintln!("NOT TESTED: this machine lets nobody mount in a namespace of their own");
        return;
    }
    let this = std::env::current_exe().unwrap();
    let name = "publishing::a_mount_point_keeps_its_place";
    let child = mounted(&[this.as_os_str(), "--exact".as_ref(), name.as_ref()]).unwrap();
    let shown = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{shown}");
}

//! Thresholds found on labelled texts.

use std::io::Write;
use std::path::Path;

use duoguard::Model;
use duoguard_export::{ExportError, ExportOptions, Tolerance, export};
use serde_json::json;

use crate::support::{Numbers, Recipe, names};

/// Random texts in three languages, the last of which has too few.
fn texts() -> String {
    let mut numbers = Numbers(9);
    let mut lines = String::new();
    for (lang, rows) in [("en", 300), ("fr", 290), ("de", 30)] {
        for row in 0..rows {
            let length = 1 + row % 40;
            let words: Vec<_> = numbers
                .ids(length, 50)
                .iter()
                .map(|id| format!("w{id}"))
                .collect();
            let is_unsafe = u8::from(row % 4 == 0);
            let row =
                json!({ "text": words.join(" "), "lang": lang, "unsafe": is_unsafe, "group": row });
            lines += &format!("{row}\n");
        }
    }
    lines
}

fn calibrated(
    folder: &Path,
    calibration: &Path,
) -> Result<duoguard_export::ExportReport, ExportError> {
    let checkpoint = folder.join("checkpoint");
    Recipe::default().files().write(&checkpoint);
    let options = ExportOptions {
        calibration: Some(calibration.to_owned()),
        // A random network is sure of nothing.
        tolerance: Tolerance {
            flips: 0.1,
            fpr: 0.1,
            recall: 0.1,
        },
        ..ExportOptions::default()
    };
    export(&checkpoint, &folder.join("bundle"), &options)
}

#[test]
fn thresholds_keep_the_target_and_reach_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("texts.jsonl");
    std::fs::write(&plain, texts()).unwrap();
    let report = calibrated(folder.path(), &plain).unwrap();
    let model = Model::open(folder.path().join("bundle")).unwrap();
    let manifest = model.manifest();
    assert_eq!(manifest, &report.manifest);
    let languages: Vec<_> = manifest.policy.language_thresholds.keys().collect();
    assert_eq!(languages, ["en", "fr"]);
    let found = &manifest.provenance["calibration"]["languages"];
    for language in ["en", "fr"] {
        let fpr = found[language]["fpr"].as_f64().unwrap();
        assert!((0.08..=0.10).contains(&fpr), "{language}: {fpr}");
        assert!(found[language]["recall"].as_f64().is_some());
    }
    assert_eq!(found["de"]["own_threshold"], false);
    assert_eq!(found["fr"]["unsafe_rows"], 73);
    let quantization = &manifest.quantization;
    assert_eq!(quantization["scheme"], "int8-dynamic");
    assert_eq!(quantization["texts"], 620);
    assert!(quantization["logit_error"]["max"].as_f64().unwrap() > 0.0);

    // The same texts, compressed, give the same bundle.
    let other = tempfile::tempdir().unwrap();
    let gzipped = other.path().join("texts.jsonl.gz");
    let file = std::fs::File::create(&gzipped).unwrap();
    let mut file = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    file.write_all(texts().as_bytes()).unwrap();
    file.finish().unwrap();
    let mut same = calibrated(other.path(), &gzipped).unwrap();
    same.manifest.certificate["texts"] = "texts.jsonl".into();
    assert_eq!(same.manifest, report.manifest);
}

#[test]
fn bad_rows_are_named_by_file_and_line() {
    let cases = [
        (
            "{\"text\": \"w1\", \"lang\": \"en\", \"unsafe\": 0}\n\nnot json\n",
            3,
            "not a row",
        ),
        ("{\"text\": \"w1\", \"unsafe\": 0}\n", 1, "lang"),
        (
            "{\"text\": \"w1\", \"lang\": \"en\", \"unsafe\": 7}\n",
            1,
            "expected 0 or 1",
        ),
        (
            "{\"text\": \"w1\", \"lang\": \"no language\", \"unsafe\": 0}\n",
            1,
            "BCP-47",
        ),
        ("\n\n", 1, "no rows"),
        ("", 1, "no rows"),
    ];
    for (content, line, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("texts.jsonl");
        std::fs::write(&path, content).unwrap();
        let message = calibrated(folder.path(), &path).unwrap_err().to_string();
        assert!(
            message.contains(&format!("texts.jsonl:{line}: ")),
            "{message}"
        );
        assert!(message.contains(expected), "{message}");
        assert_eq!(names(folder.path()), ["checkpoint", "texts.jsonl"]);
    }
}

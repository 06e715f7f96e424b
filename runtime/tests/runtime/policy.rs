//! Calibration, operating points and what the caller may override.

use duoguard::{CheckOptions, ErrorKind, Input, Session, SessionOptions};
use serde_json::json;

use crate::support::{Files, open};

fn files() -> Files {
    let mut files = Files::new();
    files.manifest["policy"]["default_calibration"] =
        json!({"fraud": {"scale": 2.0, "offset": -1.0}});
    files.manifest["policy"]["language_calibration"] =
        json!({"fr": {"violence": {"scale": 0.5, "offset": 0.0}}});
    files.manifest["policy"]["operating_points"] = json!([
        {"target_fpr": 0.1, "default_threshold": 0.2, "language_thresholds": {"fr": 0.4}},
        {"target_fpr": 0.01, "default_threshold": 0.9999},
    ]);
    files
}

fn session() -> Session {
    open(files())
        .unwrap()
        .session(&SessionOptions::default())
        .unwrap()
}

fn probability(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

#[test]
fn calibration_is_per_category_and_language() {
    let mut session = session();
    let mut scores = |language| {
        let input = Input {
            language: Some(language),
            ..Input::prompt("stab")
        };
        session.check(&input).unwrap().scores
    };
    // The logits are 3, -2, -1.
    assert_eq!(scores("en"), [3.0, 2.0 * -2.0 - 1.0, -1.0].map(probability));
    assert_eq!(
        scores("fr-CA"),
        [0.5 * 3.0, 2.0 * -2.0 - 1.0, -1.0].map(probability)
    );
}

#[test]
fn an_operating_point_never_promises_more_than_it_was_asked_for() {
    let mut session = session();
    let mut check = |target_fpr, language| {
        let options = CheckOptions {
            target_fpr: Some(target_fpr),
            ..CheckOptions::default()
        };
        let input = Input {
            language: Some(language),
            ..Input::prompt("odd")
        };
        session.check_with(&input, &options)
    };
    // "odd" scores probability(2 * 0.5 - 1) = 0.5 as fraud.
    assert!(check(0.1, "en").unwrap().flagged);
    assert!(check(0.5, "fr").unwrap().flagged);
    assert!(!check(0.09, "en").unwrap().flagged);
    let error = check(0.001, "en").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("0.1, 0.01"), "{error}");
}

#[test]
fn the_caller_s_thresholds_replace_the_model_s() {
    let mut session = session();
    let mut check = |category: &str, threshold| {
        let options = CheckOptions {
            thresholds: [(category.to_owned(), threshold)].into(),
            ..CheckOptions::default()
        };
        session.check_with(&Input::prompt("stab"), &options)
    };
    assert!(check("violence", 0.9).unwrap().flagged);
    assert!(!check("violence", 0.99).unwrap().flagged);
    for (category, threshold, mention) in [
        ("theft", 0.5, "theft"),
        ("fraud", 0.0, "more than 0"),
        ("fraud", f32::NAN, "NaN"),
    ] {
        let error = check(category, threshold).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(mention), "{error}");
    }
}

#[test]
fn allowed_texts_are_scored_and_not_flagged() {
    let mut session = session();
    let options = CheckOptions {
        allowed: ["stab".to_owned(), "good stab".to_owned()].into(),
        ..CheckOptions::default()
    };
    let mut check = |input| session.check_with(&input, &options).unwrap();
    let verdict = check(Input::prompt("stab"));
    assert!(verdict.allowed && !verdict.flagged && verdict.category.is_none());
    assert!(verdict.score > 0.9);
    assert!(check(Input::exchange("good", "stab")).allowed);
    // White space at its edges is no part of a text.
    assert!(check(Input::prompt(" stab\n")).allowed);
    for text in ["Stab", "sta b", "stab stab"] {
        let verdict = check(Input::prompt(text));
        assert!(!verdict.allowed, "{text}");
    }
    assert!(check(Input::prompt("stab stab")).flagged);
}

#[test]
fn damaged_policies_are_refused() {
    for (key, value, mention) in [
        (
            "default_calibration",
            json!({"fraud": {"scale": 0.0, "offset": 0.0}}),
            "scale 0",
        ),
        (
            "default_calibration",
            json!({"theft": {"scale": 1.0, "offset": 0.0}}),
            "theft",
        ),
        (
            "language_calibration",
            json!({"f": {"fraud": {"scale": 1.0, "offset": 0.0}}}),
            "\"f\"",
        ),
        (
            "operating_points",
            json!([{"target_fpr": 1.0, "default_threshold": 0.5}]),
            "operating_points",
        ),
        (
            "operating_points",
            json!([{"target_fpr": 0.1, "default_threshold": 1.5}]),
            "operating_points",
        ),
    ] {
        let mut files = files();
        files.manifest["policy"][key] = value;
        let error = open(files).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidModel);
        assert!(error.to_string().contains(mention), "{error}");
    }
}

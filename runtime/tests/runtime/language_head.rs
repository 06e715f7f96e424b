//! Logits behind those of the categories, which tell the language.

use duoguard::{ErrorKind, Input, Model, Session, SessionOptions, Stream, StreamOptions};
use serde_json::json;

use crate::bundle::refused;
use crate::support::{Files, open};

/// The bundle of the other tests, whose last two logits stand for languages: "good" and "scam" are
/// German, "stab" is English.
fn model() -> Model {
    let mut files = Files::new();
    files.manifest["categories"] = json!(["violence"]);
    files.manifest["languages"] = json!(["de", "en"]);
    files.manifest["policy"] = json!({
        "default_thresholds": { "violence": 0.5 },
        "language_thresholds": { "en": { "violence": 0.99 } },
    });
    open(files).unwrap()
}

fn session() -> Session {
    model().session(&SessionOptions::default()).unwrap()
}

#[test]
fn the_head_tells_the_language_and_thresholds_follow() {
    let mut session = session();
    assert_eq!(session.logits(&[2]).unwrap(), [3.0, -2.0, -1.0]);
    let english = session.check(&Input::prompt("stab")).unwrap();
    assert_eq!((english.language.as_str(), english.flagged), ("en", false));
    assert_eq!(english.scores.len(), 1);
    let german = session.check(&Input::prompt("stab scam")).unwrap();
    assert_eq!((german.language.as_str(), german.flagged), ("de", true));
    // What the caller states is believed.
    let stated = Input {
        language: Some("fr"),
        ..Input::prompt("stab")
    };
    let stated = session.check(&stated).unwrap();
    assert_eq!((stated.language.as_str(), stated.flagged), ("fr", true));
    for text in ["", "12 34", "?!"] {
        assert_eq!(session.check(&Input::prompt(text)).unwrap().language, "und");
    }
}

#[test]
fn windows_count_by_their_tokens() {
    let mut session = session();
    // Windows of four tokens that share one: three German ones, and one with an English word.
    let text = "good good good good good good good good good stab";
    let verdict = session.check(&Input::prompt(text)).unwrap();
    assert!(verdict.windows > 2);
    assert_eq!(verdict.language, "de");
}

#[test]
fn a_finished_stream_is_the_whole_check() {
    let mut session = session();
    let text = "good stab stab good scam stab good good";
    let options = StreamOptions {
        debounce_bytes: 0,
        ..StreamOptions::default()
    };
    let mut stream = Stream::new(&session, options);
    for word in text.split_inclusive(' ') {
        let verdict = stream.push(&mut session, word.as_bytes()).unwrap().unwrap();
        assert_ne!(verdict.language, "und");
    }
    let expected = session.check(&Input::prompt(text)).unwrap();
    assert_eq!(stream.finish(&mut session).unwrap(), expected);
}

#[test]
fn languages_that_cannot_be() {
    let languages =
        |tags: serde_json::Value| move |files: &mut Files| files.manifest["languages"] = tags;
    let kind = ErrorKind::InvalidModel;
    for tags in [
        json!(["de", "de"]),
        json!(["de", "und"]),
        json!(["de", "EN"]),
        json!(["de", "not a tag"]),
    ] {
        refused(languages(tags), kind, &["manifest.json", "languages has"]);
    }
    refused(languages(json!(["de"])), kind, &["1 languages"]);
    // The graph has three logits.
    refused(
        languages(json!(["de", "en"])),
        kind,
        &["3 columns", "5 categories and languages"],
    );
}

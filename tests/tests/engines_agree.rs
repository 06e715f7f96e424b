//! The bundled model on every engine: logits within a tolerance, the same verdicts.

use std::fs;

use duoguard::{Input, Model, SessionOptions, engines};
use duoguard_tests::{mini, session_on};

/// How far an engine's logits may lie from `native`'s, which scales activations by the token and
/// rounds them: `onnxruntime` scales them by the tensor, and `wgpu` does not round them at all.
/// They differ by what rounding costs.
const LOGIT_TOLERANCES: [(&str, f32); 2] = [("onnxruntime", 0.2), ("wgpu", 0.2)];

/// One text a line, after its language tag and a tab; a few are long enough for several windows.
fn texts() -> Vec<(String, String)> {
    let cases = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/data/texts.tsv")).unwrap();
    let mut texts: Vec<(String, String)> = cases
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(lang, text)| (lang.to_owned(), text.to_owned()))
        .collect();
    let all: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
    let long = all.join(" ");
    texts.push(("en".to_owned(), long));
    texts
}

#[test]
fn all_engines_say_the_same_of_the_bundled_model() {
    for engine in engines() {
        assert!(
            engine.available,
            "{}: {}; `cargo xtask ort` and `scripts/debian.sh vulkan` fetch what engines need",
            engine.name, engine.detail
        );
    }
    let model = Model::open(mini()).unwrap();
    let mut native = session_on(&model, "native");
    for (name, tolerance) in LOGIT_TOLERANCES {
        let mut other = session_on(&model, name);
        for (_, text) in texts() {
            let (a, b) = (
                native.window_logits(&text).unwrap(),
                other.window_logits(&text).unwrap(),
            );
            assert_eq!(a.len(), b.len());
            for (a, b) in a.iter().flatten().zip(b.iter().flatten()) {
                assert!((a - b).abs() < tolerance, "{name}: {a} {b} on {text:?}");
            }
            let (a, b) = (
                native.check(&Input::prompt(&text)).unwrap(),
                other.check(&Input::prompt(&text)).unwrap(),
            );
            assert_eq!(
                (a.flagged, a.tokens, a.windows),
                (b.flagged, b.tokens, b.windows),
                "{name}: {text:?}"
            );
        }
    }
}

#[test]
fn every_token_of_a_long_text_is_scored() {
    let model = Model::open(mini()).unwrap();
    let mut session = model.session(&SessionOptions::default()).unwrap();
    let long = "The soup is warm and the bread is fresh. ".repeat(200);
    // The space at its end is no part of a text.
    let long = long.trim_end();
    let verdict = session.check(&Input::prompt(long)).unwrap();
    assert_eq!(verdict.tokens, model.tokenize(long).unwrap().len());
    assert_eq!(verdict.tokens_scored, verdict.tokens);
    assert!(verdict.windows > 1);
}

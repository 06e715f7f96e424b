//! Whether a stream that goes on from keys and values computes what whole windows do.

use std::path::Path;

use duoguard::{EngineChoice, Input, Model, Session, SessionOptions, Stream, StreamOptions};
use duoguard_export::{ExportOptions, Quantize, export};
use serde_json::json;

use crate::parity::shapes;
use crate::support::{Numbers, Recipe};

const WINDOW: usize = 24;
const OVERLAP: usize = 8;
/// A stream keeps every window of so many tokens; of more it keeps the largest scores of the first.
const TOKENS: usize = 60;
const FP32_TOLERANCE: f32 = 1e-4;

fn bundle(recipe: &Recipe, quantize: Quantize, folder: &Path) -> Model {
    let mut files = recipe.files();
    let limits = json!({ "window_tokens": WINDOW, "overlap_tokens": OVERLAP });
    files.extra.insert("duoguard.json", limits);
    let (checkpoint, bundle) = (folder.join("checkpoint"), folder.join(quantize.name()));
    files.write(&checkpoint);
    let options = ExportOptions {
        quantize,
        force: true,
        ..ExportOptions::default()
    };
    export(&checkpoint, &bundle, &options).unwrap();
    Model::open(&bundle).unwrap()
}

fn sessions(model: &Model) -> impl Iterator<Item = Session> {
    let engines = duoguard::engines();
    engines
        .into_iter()
        .filter(|engine| engine.available && engine.name != "wgpu")
        .map(|engine| {
            let options = SessionOptions {
                engine: EngineChoice::Named(engine.name),
                ..SessionOptions::default()
            };
            model.session(&options).unwrap()
        })
}

/// The largest logits of the windows that a look at a growing text takes.
fn expected(session: &mut Session, text: &str) -> Vec<f32> {
    let tokens = session.model().tokenize(text).unwrap();
    let mut largest = vec![f32::MIN; session.model().categories().len()];
    let mut start = 0;
    loop {
        let end = (start + WINDOW).min(tokens.len());
        let logits = session.logits(&tokens[start..end]).unwrap();
        for (largest, logit) in largest.iter_mut().zip(logits) {
            *largest = largest.max(logit);
        }
        if end == tokens.len() {
            return largest;
        }
        start += WINDOW - OVERLAP;
    }
}

/// The largest difference of a logit over looks at random places, and the largest logit.
fn largest_difference(session: &mut Session, seed: u64, vocabulary: usize) -> (f32, f32) {
    let mut numbers = Numbers(seed);
    let words = numbers.ids(TOKENS, vocabulary);
    let text: String = words.iter().map(|id| format!("w{id} ")).collect();
    let options = StreamOptions {
        debounce_bytes: 0,
        ..StreamOptions::default()
    };
    let mut stream = Stream::new(session, options);
    assert!(stream.uses_cache(), "{}", session.engine());
    let (mut error, mut spread, mut at) = (0.0_f32, 0.0_f32, 0);
    while at < text.len() {
        let length = 1 + numbers.ids(1, 12)[0] as usize;
        let end = (at + length).min(text.len());
        let look = stream.push(session, &text.as_bytes()[at..end]);
        let look = look.unwrap().unwrap();
        at = end;
        for (score, logit) in look.scores.iter().zip(expected(session, stream.text())) {
            spread = spread.max(logit.abs());
            let score = f64::from(*score);
            let found = (score / (1.0 - score)).ln() as f32;
            error = error.max((found - logit).abs());
        }
    }
    let whole = session.check(&Input::prompt(&text)).unwrap();
    assert_eq!(stream.finish(session).unwrap(), whole);
    let work = stream.work();
    assert!(work.tokens_cached > work.tokens, "{work:?}");
    (error, spread)
}

#[test]
fn every_engine_goes_on_as_if_it_had_begun_again() {
    for recipe in shapes() {
        if recipe.max_position < WINDOW {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        for quantize in [Quantize::None, Quantize::Int8Weights] {
            let model = bundle(&recipe, quantize, folder.path());
            for mut session in sessions(&model) {
                for seed in 0..4 {
                    let (error, _) = largest_difference(&mut session, seed, recipe.vocabulary);
                    let name = quantize.name();
                    assert!(
                        error < FP32_TOLERANCE,
                        "{name} on {}: {error}",
                        session.engine()
                    );
                }
            }
        }
    }
}

/// Activations are scaled over the tokens that are computed at once: what quantising changes, it
/// may change.
#[test]
fn quantised_activations_differ_little() {
    let recipe = Recipe::default();
    let folder = tempfile::tempdir().unwrap();
    for (quantize, tolerance) in [
        (Quantize::Int8, 0.1),
        (Quantize::Int8Token, 1e-4),
        (Quantize::Int8Outliers, 1e-4),
    ] {
        let model = bundle(&recipe, quantize, folder.path());
        for mut session in sessions(&model) {
            let (error, spread) = largest_difference(&mut session, 5, recipe.vocabulary);
            let name = quantize.name();
            println!("{name} on {}: {error} of {spread}", session.engine());
            assert!(error < tolerance * spread, "{name}: {error} of {spread}");
        }
    }
}

/// The graphs share one copy of the weights.
#[test]
fn the_graph_for_streams_is_small() {
    let folder = tempfile::tempdir().unwrap();
    bundle(&Recipe::default(), Quantize::Int8, folder.path());
    let size = |name| {
        let path = folder.path().join(Quantize::Int8.name()).join(name);
        std::fs::metadata(path).unwrap().len()
    };
    assert!(size("stream.onnx") < size("model.onnx") + 4096);
}

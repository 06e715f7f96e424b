//! Engines agree, and one that cannot be had is an error that says how to get it.

use std::num::NonZeroUsize;
use std::sync::Arc;

use duoguard::{
    EngineChoice, ErrorKind, Graph, SessionOptions, TokenBatch, Weights, engines, open_engine,
};

use crate::support::{Files, WORDS, model, open};

/// The engines of this build, in the order of the table.
const NAMES: &[&str] = &[
    "native",
    "onnxruntime",
    #[cfg(feature = "wgpu")]
    "wgpu",
];

/// The engines that are there and compute exactly what can be; a GPU's square roots are not exact.
fn available() -> impl Iterator<Item = duoguard::EngineInfo> {
    let engines = engines().into_iter();
    engines.filter(|engine| engine.available && engine.name != "wgpu")
}

fn named(name: &str) -> SessionOptions {
    SessionOptions {
        engine: EngineChoice::Named(name.to_owned()),
        ..SessionOptions::default()
    }
}

#[test]
fn the_table_lists_all_engines_and_the_embedded_one_is_there() {
    let engines = engines();
    let names: Vec<_> = engines.iter().map(|engine| engine.name.as_str()).collect();
    assert_eq!(names, NAMES);
    assert!(engines[0].available);
    assert!(engines.iter().all(|engine| !engine.detail.is_empty()));
}

#[test]
fn names_and_auto() {
    assert_eq!("auto".parse::<EngineChoice>().unwrap(), EngineChoice::Auto);
    assert_eq!(
        "native".parse::<EngineChoice>().unwrap(),
        EngineChoice::Named("native".to_owned())
    );
    assert_eq!(
        model()
            .session(&SessionOptions::default())
            .unwrap()
            .engine(),
        "native"
    );
    let error = model().session(&named("abacus")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains(&NAMES.join(", ")), "{error}");
}

/// Its tensors may mean something else than their names say: what interprets the graph runs it.
#[test]
fn a_family_that_native_does_not_know_is_run_by_another_engine_and_auto_says_so() {
    let mut files = Files::new();
    files.manifest["architecture"]["model_type"] = "abacus".into();
    let model = open(files).unwrap();
    let error = model.session(&named("native")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let why = error.to_string();
    assert!(
        why.contains("architecture.model_type is \"abacus\""),
        "{why}"
    );
    let chosen = model.auto_engine(NonZeroUsize::MIN);
    let opened = model.session(&SessionOptions::default());
    match duoguard::engine_info("onnxruntime") {
        Some(engine) if engine.available => {
            let chosen = chosen.unwrap();
            assert_eq!(
                (chosen.name, opened.unwrap().engine()),
                ("onnxruntime", "onnxruntime")
            );
            assert!(chosen.reason.starts_with(&why), "{}", chosen.reason);
        }
        missing => {
            println!("SKIPPED: ONNX Runtime is not here");
            let error = opened.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().starts_with(&why), "{error}");
            let advice = if missing.is_some() {
                "ORT_DYLIB_PATH"
            } else {
                "no engine"
            };
            assert!(error.to_string().contains(advice), "{error}");
            assert_eq!(chosen.unwrap_err().to_string(), error.to_string());
        }
    }
}

#[test]
fn a_named_engine_runs_or_says_how_to_get_it() {
    for engine in engines() {
        match model().session(&named(&engine.name)) {
            Ok(session) => {
                assert!(engine.available);
                assert_eq!(session.engine(), engine.name);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                let advice = match engine.name.as_str() {
                    "wgpu" => "mesa-vulkan-drivers",
                    _ => "ORT_DYLIB_PATH",
                };
                assert!(
                    !engine.available && error.to_string().contains(advice),
                    "{error}"
                );
                println!("{} is not available: {error}", engine.name);
            }
        }
    }
}

/// The library is looked for once in a process, so the case without it needs a process of its own.
#[test]
fn without_the_library_the_engine_says_how_to_get_it() {
    const CASE: &str = "engines::a_named_engine_runs_or_says_how_to_get_it";
    let folder = tempfile::tempdir().unwrap();
    let not_a_library = folder.path().join("libonnxruntime.so");
    std::fs::write(&not_a_library, "not a library").unwrap();
    for path in [folder.path().join("gone.so"), not_a_library] {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([CASE, "--exact", "--nocapture"])
            .env("ORT_DYLIB_PATH", &path)
            .output()
            .unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{stdout}");
        assert!(
            stdout.contains("1 passed") && stdout.contains("onnxruntime is not available"),
            "{stdout}"
        );
        assert!(stdout.contains(&*path.to_string_lossy()), "{stdout}");
    }
}

#[test]
fn every_engine_computes_the_known_logits() {
    for engine in available() {
        for threads in [1, 2] {
            let threads = NonZeroUsize::new(threads).unwrap();
            let options = SessionOptions {
                threads,
                ..named(&engine.name)
            };
            let mut session = model().session(&options).unwrap();
            for (id, (word, expected)) in WORDS.iter().enumerate() {
                assert_eq!(
                    session.logits(&[id as u32]).unwrap(),
                    expected,
                    "{} {word}",
                    engine.name
                );
            }
            assert_eq!(
                session.logits(&[1, 2, 3]).unwrap(),
                [3.0, 4.0, -1.0],
                "{}",
                engine.name
            );
        }
    }
}

#[test]
fn a_graph_runs_before_it_is_a_bundle_and_takes_batches() {
    let Files { graph, weights, .. } = Files::new();
    let threads = NonZeroUsize::MIN;
    let shared = Arc::new(Weights::from_bytes(&weights).unwrap());
    for engine in available() {
        let opened = [
            open_engine(&engine.name, &graph, &shared, threads),
            Graph::new(&graph, &weights)
                .unwrap()
                .open_engine(&engine.name, threads),
        ];
        for opened in opened {
            let mut opened = opened.unwrap();
            let mut logits = [0.0; 6];
            let batch = TokenBatch {
                ids: &[1, 2, 3, 1],
                rows: 2,
                tokens: 2,
            };
            opened.run(&batch, &mut logits).unwrap();
            assert_eq!(logits, [3.0, -2.0, -1.0, -3.0, 4.0, -2.0]);
            let wrong_shape = TokenBatch {
                ids: &[1, 2, 3],
                rows: 2,
                tokens: 2,
            };
            assert_eq!(
                opened.run(&wrong_shape, &mut logits).unwrap_err().kind(),
                ErrorKind::InvalidArgument
            );
            assert_eq!(
                opened.run(&batch, &mut logits[..4]).unwrap_err().kind(),
                ErrorKind::InvalidModel
            );
            let outside = TokenBatch {
                ids: &[9],
                rows: 1,
                tokens: 1,
            };
            assert_eq!(
                opened.run(&outside, &mut logits[..3]).unwrap_err().kind(),
                ErrorKind::Engine
            );
        }
    }
}

#[test]
fn sessions_of_one_model_work_at_once_and_outlive_it() {
    let model = model();
    let sessions: Vec<_> = (0..4)
        .map(|_| model.session(&SessionOptions::default()).unwrap())
        .collect();
    drop(model);
    std::thread::scope(|scope| {
        for mut session in sessions {
            scope.spawn(move || {
                for _ in 0..50 {
                    assert_eq!(session.logits(&[2]).unwrap(), WORDS[2].1);
                }
            });
        }
    });
}

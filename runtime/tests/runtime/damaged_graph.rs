//! A damaged graph whose hash fits is a clean error or a working model, on every engine; never a
//! panic.

use duoguard::{Bundle, EngineChoice, Model, SessionOptions, engines};

use crate::support::{Files, Graph};

fn try_everything(graph: Vec<u8>) -> duoguard::Result<()> {
    let files = Files {
        graph,
        ..Files::new()
    };
    let model = Model::from_bundle(Bundle::from_memory(files.seal())?)?;
    let mut result = Ok(());
    for engine in engines().into_iter().filter(|engine| engine.available) {
        let options = SessionOptions {
            engine: EngineChoice::Named(engine.name.clone()),
            ..SessionOptions::default()
        };
        let run = model
            .session(&options)
            .and_then(|mut session| session.window_logits("good stab").map(drop));
        result = result.and(run);
    }
    result
}

#[test]
fn cut_anywhere() {
    let whole = Files::new().graph;
    try_everything(whole.clone()).unwrap();
    for end in 0..whole.len() {
        let result = try_everything(whole[..end].to_vec());
        // The last field is the operator set, without which the graph may still be readable.
        assert!(
            result.is_err() || end > whole.len() - 8,
            "cut at {end} of {}",
            whole.len()
        );
    }
}

#[test]
fn one_byte_changed() {
    let whole = Files::new().graph;
    for position in 0..whole.len() {
        for change in [0x01, 0x08, 0x80, 0xff] {
            let mut graph = whole.clone();
            graph[position] ^= change;
            if let Err(error) = try_everything(graph) {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

#[test]
fn not_onnx_at_all() {
    for graph in [&b""[..], b"\0", b"<!DOCTYPE html>", &[0xff; 64]] {
        let error = try_everything(graph.to_vec()).unwrap_err();
        assert!(error.to_string().contains("model.onnx"), "{error}");
    }
}

#[test]
fn tensors_that_do_not_fit_their_place() {
    let whole = Files::new();
    let offset = Graph::default().offset;
    let misfits = [
        Graph {
            offset,
            length: 4,
            ..Graph::default()
        },
        Graph {
            offset,
            length: 0,
            ..Graph::default()
        },
        Graph {
            offset: 0,
            length: whole.weights.len(),
            ..Graph::default()
        },
    ];
    for misfit in misfits {
        let error = try_everything(misfit.encode()).unwrap_err();
        assert!(error.to_string().contains("model.onnx"), "{error}");
    }
    // Not aligned: an engine may refuse it or copy it, but not fall over it.
    let _ = try_everything(
        Graph {
            offset: offset - 1,
            ..Graph::default()
        }
        .encode(),
    );
}

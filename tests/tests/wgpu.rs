//! The GPU engine with the bundled model, over and over; under Debian's `mesa-vulkan-drivers` where
//! there is no GPU.

use std::num::NonZeroUsize;

use duoguard::{Input, Model, SessionOptions, Stream, StreamOptions};
use duoguard_tests::{duoguard, mini, session_on};

/// Many short runs, so that one thread often waits for the device while another is told what it
/// did.
#[test]
fn sessions_on_threads_share_one_network() {
    const THREADS: usize = 8;
    const RUNS: usize = 200;
    let model = Model::open(mini()).unwrap();
    let expected = session_on(&model, "wgpu").logits(&[5, 6]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let mut session = session_on(&model, "wgpu");
            let expected = &expected;
            scope.spawn(move || {
                for _ in 0..RUNS {
                    assert_eq!(&session.logits(&[5, 6]).unwrap(), expected);
                }
            });
        }
    });
}

/// A long text's windows go to the GPU many at once, those of a stream as they come.
#[test]
fn windows_give_the_same_alone_and_together() {
    let model = Model::open(mini()).unwrap();
    let mut session = session_on(&model, "wgpu");
    let sentences = (0..700).map(|i| format!("Soup number {i} is warm. "));
    let text: String = sentences.collect();
    let windows = model.windows(&model.tokenize(&text).unwrap());
    assert!(windows.len() > 16, "{}", windows.len());
    let together = session.window_logits(&text).unwrap();
    let alone = windows.iter().map(|window| session.logits(window).unwrap());
    assert_eq!(together, alone.collect::<Vec<_>>());

    let expected = session.check(&Input::prompt(&text)).unwrap();
    let options = StreamOptions {
        debounce_bytes: text.len() / 3,
        ..StreamOptions::default()
    };
    let mut stream = Stream::new(&session, options);
    for piece in text.as_bytes().chunks(1000) {
        stream.push(&mut session, piece).unwrap();
    }
    assert_eq!(stream.finish(&mut session).unwrap(), expected);
    assert!(stream.work().windows_reused > 0);
}

#[test]
fn auto_takes_no_program_that_plays_a_gpu() {
    let adapters = duoguard::gpu_adapters();
    let chosen = adapters.iter().find(|adapter| adapter.is_chosen).unwrap();
    assert_eq!(
        chosen.self_test.as_ref().map(|error| *error < 1e-4),
        Ok(true)
    );
    let model = Model::open(mini()).unwrap();
    let auto = model.auto_engine(NonZeroUsize::MIN).unwrap();
    if chosen.kind == "CPU" {
        assert_eq!(auto.name, "native");
        assert!(auto.reason.contains("GPU"), "{}", auto.reason);
    }
    assert!(["native", "wgpu"].contains(&auto.name), "{}", auto.name);
    let automatic = model.session(&SessionOptions::default()).unwrap();
    assert_eq!(automatic.engine(), auto.name);
}

#[test]
fn an_adapter_that_is_not_there_is_an_error_and_no_other_is_taken() {
    let output = duoguard()
        .args(["check", "--engine", "wgpu", "How do I bake bread?"])
        .env("DUOGUARD_WGPU_ADAPTER", "no such adapter")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("no such adapter") && stderr.contains("DUOGUARD_WGPU_ADAPTER"),
        "{stderr}"
    );
}

#[test]
fn the_command_lists_adapters_and_what_auto_takes() {
    let output = duoguard()
        .args(["engines", "--model"])
        .arg(mini())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    for words in [
        "self-test  passed",
        "the one that wgpu takes",
        "MiB a binding",
        "auto takes",
    ] {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }
}

#[test]
fn what_a_forward_pass_asks_is_counted() {
    let model = Model::open(mini()).unwrap();
    let architecture = &model.manifest().architecture;
    let costs = [16, 64, 512].map(|tokens| model.forward_cost(tokens).unwrap());
    for (cost, tokens) in costs.iter().zip([16, 64, 512]) {
        // Embedding and head; attention and four or, in the last layer, five projections.
        assert_eq!(cost.dispatches, 2 + 5 * architecture.layers as u64 + 1);
        let (c, i) = (architecture.hidden as u64, architecture.intermediate as u64);
        // A layer at the least: its feed-forward part, on every token but in the last layer.
        let at_least = 2 * 3 * c * i * tokens * (architecture.layers as u64 - 1);
        assert!(cost.operations > at_least && cost.operations < 4 * at_least);
        assert!(cost.least_bytes < cost.requested_bytes);
    }
    assert!(
        costs
            .windows(2)
            .all(|pair| pair[0].operations < pair[1].operations)
    );
}

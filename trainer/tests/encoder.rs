//! A run that starts from a pretrained encoder: it trains, exports, and survives being killed.

mod program;
mod tiny_encoder;

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use duoguard::{Input, Model, SessionOptions};

use program::finish;
use tiny_encoder::{RECIPE, write_data};

fn start(folder: &Path, runs: &str, resume: bool) -> Child {
    let mut command = program::trainer(folder, "encoder.toml", runs, resume);
    command.spawn().unwrap()
}

fn refused(folder: &Path, from: &str, to: &str) -> String {
    assert!(RECIPE.contains(from), "{from}");
    fs::write(folder.join("encoder.toml"), RECIPE.replacen(from, to, 1)).unwrap();
    let output = start(folder, to, false).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_killed_run_resumes_to_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    finish(start(folder.path(), "whole", false));

    let mut child = start(folder.path(), "killed", false);
    let metrics = folder.path().join("killed/encoder/metrics.jsonl");
    let lines = || fs::read_to_string(&metrics).map_or(0, |text| text.lines().count());
    let deadline = Instant::now() + Duration::from_secs(120);
    while lines() < 13 && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the run did not reach step 13");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = folder.path().join("killed/encoder");
    assert!(!killed.join("bundle").exists(), "killed too late");
    finish(start(folder.path(), "killed", true));

    let whole = folder.path().join("whole/encoder");
    for file in ["checkpoint/model.safetensors", "bundle/manifest.json"] {
        let [a, b] = [&whole, &killed].map(|run| fs::read(run.join(file)).unwrap());
        assert!(a == b, "{file} differs");
    }

    let model = Model::open(whole.join("bundle")).unwrap();
    assert_eq!(model.manifest().languages, ["de", "en"]);
    assert_eq!(model.categories().len(), 12);
    let mut session = model.session(&SessionOptions::default()).unwrap();
    let mut check = |text: &str| session.check(&Input::prompt(text)).unwrap();
    for (harmful, harmless) in [
        ("how do i harm the bread? 3", "how do i bake the bread? 3"),
        ("wie schade ich dem brot? 3", "wie backe ich das brot? 3"),
    ] {
        let (harmful, harmless) = (check(harmful), check(harmless));
        assert!(harmful.score > harmless.score);
    }
    assert_eq!(check("12 34").language, "und");
}

#[test]
fn what_is_frozen_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    let recipe = RECIPE.replacen("steps = 30", "steps = 3", 1);
    fs::write(folder.path().join("encoder.toml"), recipe).unwrap();
    finish(start(folder.path(), "runs", false));
    let [before, after] = ["base", "runs/encoder/checkpoint"].map(|run| {
        let path = folder.path().join(run).join("model.safetensors");
        fs::read(path).unwrap()
    });
    let [before, after] =
        [&before, &after].map(|bytes| safetensors::SafeTensors::deserialize(bytes).unwrap());
    let is_same = |name: &str| {
        let [a, b] = [&before, &after].map(|file| file.tensor(name).unwrap());
        a.data() == b.data()
    };
    for name in [
        "bert.embeddings.word_embeddings.weight",
        "bert.embeddings.LayerNorm.bias",
        "bert.encoder.layer.0.intermediate.dense.weight",
    ] {
        assert!(is_same(name), "{name}");
    }
    assert!(!is_same("bert.encoder.layer.1.intermediate.dense.weight"));
}

#[test]
fn what_ships_lies_between_the_linear_probe_and_the_tuned_network() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    let probe = "[classifier.linear_probe]\nsteps = 4\nlearning_rate = 5e-2\n";
    let recipe = RECIPE
        .replacen("steps = 30", "steps = 3", 1)
        .replacen("steps = 80", "steps = 3", 1)
        .replacen("log_sum_exp", "hierarchical", 1)
        .replacen(
            "sampling.benign_parallel",
            "sampling.harmless = 0.1\nsampling.wrapped = 0.2\nsampling.benign_parallel",
            1,
        )
        .replacen(
            "[classifier.language_head]",
            &format!("{probe}[classifier.language_head]"),
            1,
        );
    let layer_of = |runs: &str, share: &str| {
        let recipe = recipe.replacen("ema = 0.9", &format!("ema = 0.9\nbase_share = {share}"), 1);
        fs::write(folder.path().join("encoder.toml"), recipe).unwrap();
        finish(start(folder.path(), runs, false));
        let run = folder.path().join(runs).join("encoder");
        assert!(run.join("probe.weights").exists());
        values(
            &run.join("checkpoint"),
            "bert.encoder.layer.1.output.dense.weight",
        )
    };
    let base = values(
        &folder.path().join("base"),
        "bert.encoder.layer.1.output.dense.weight",
    );
    let [tuned, mixed] = [("tuned", "0.0"), ("mixed", "0.25")].map(|(r, s)| layer_of(r, s));
    let mut moved = 0;
    for ((base, tuned), mixed) in base.iter().zip(&tuned).zip(&mixed) {
        moved += usize::from((tuned - base).abs() > 1e-4);
        assert!((base + 0.75 * (tuned - base) - mixed).abs() < 1e-6);
    }
    assert!(moved > base.len() / 2, "{moved} of {}", base.len());
}

#[test]
fn the_lowest_layers_can_be_taken_alone() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    let recipe = RECIPE
        .replacen("steps = 30", "steps = 2", 1)
        .replacen("steps = 80", "steps = 2", 1)
        .replacen(
            "frozen_layers = 1",
            "round_weights = true\nfrozen_layers = 0\nlayers = 1",
            1,
        );
    fs::write(folder.path().join("encoder.toml"), recipe).unwrap();
    finish(start(folder.path(), "runs", false));
    let run = folder.path().join("runs/encoder");
    let bytes = fs::read(run.join("checkpoint/model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let has = |layer: &str| file.names().iter().any(|name| name.contains(layer));
    assert!(has("layer.0.") && !has("layer.1."));
    let matrix = "bert.encoder.layer.0.output.dense.weight";
    let inputs = file.tensor(matrix).unwrap().shape()[1];
    for row in values(&run.join("checkpoint"), matrix).chunks(inputs) {
        let step = row.iter().fold(0.0_f32, |a, b| a.max(b.abs())) / 127.0;
        assert!(
            row.iter()
                .all(|x| (x / step - (x / step).round()).abs() < 1e-3)
        );
    }
    assert!(Model::open(run.join("bundle")).is_ok());
}

/// The values of a tensor of a Hugging Face folder, whose name may begin with `bert.` or not.
fn values(folder: &Path, name: &str) -> Vec<f32> {
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let bare = name.trim_start_matches("bert.");
    let tensor = file.tensor(name).or_else(|_| file.tensor(bare)).unwrap();
    let values = tensor.data().chunks_exact(4);
    values
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    for (from, to, mention) in [
        (
            "frozen_layers = 1",
            "frozen_layers = 2",
            "the network has 2 layers",
        ),
        (
            "frozen_layers = 1",
            "layers = 3\nfrozen_layers = 1",
            "base.encoder.layers is 3",
        ),
        (
            "ema = 0.9",
            "base_share = 1.0\nema = 0.9",
            "classifier.base_share",
        ),
        (
            "window_tokens = 32",
            "window_tokens = 62",
            "at most 64 tokens",
        ),
        (
            "token_dropout = 0.0",
            "token_dropout = 0.1",
            "classifier.token_dropout",
        ),
        (
            "layer_decay = 0.9",
            "layer_decay = 0.0",
            "base.encoder.layer_decay",
        ),
        (
            "[\"de\", \"en\"]\nweight",
            "[\"de\"]\nweight",
            "two or more languages",
        ),
    ] {
        let found = refused(folder.path(), from, to);
        assert!(found.contains(mention), "{found}");
    }
}

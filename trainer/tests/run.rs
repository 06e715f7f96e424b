//! A whole run of a tiny recipe: it trains, exports, and survives being killed.

mod program;
mod student;
mod tiny;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use duoguard::{Input, Model, SessionOptions};

use program::finish;
use tiny::{RECIPE, contents, curve, lines, tiny_game, write_data};

fn start(folder: &Path, runs: &str, resume: bool) -> Child {
    let mut command = program::trainer(folder, "tiny.toml", runs, resume);
    command.spawn().unwrap()
}

#[test]
fn a_killed_run_resumes_to_the_same_curve_and_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    finish(start(folder.path(), "whole", false));

    // Once in stage 0, once in stage 1, between saved states.
    for (attempt, kill_at) in [7, 12 + 13].into_iter().enumerate() {
        let mut child = start(folder.path(), "killed", attempt > 0);
        let deadline = Instant::now() + Duration::from_secs(120);
        let metrics = folder.path().join("killed/tiny/metrics.jsonl");
        while lines(metrics.clone()) < kill_at && child.try_wait().unwrap().is_none() {
            assert!(
                Instant::now() < deadline,
                "the run did not reach step {kill_at}"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(
            !folder.path().join("killed/tiny/bundle").exists(),
            "killed too late to prove anything"
        );
    }
    finish(start(folder.path(), "killed", true));

    let (whole, killed) = (
        folder.path().join("whole/tiny"),
        folder.path().join("killed/tiny"),
    );
    assert_eq!(curve(&whole).len(), 12 + 24);
    assert_eq!(curve(&whole), curve(&killed));
    for file in [
        "checkpoint/model.safetensors",
        "checkpoint/tokenizer.json",
        "bundle/weights.data",
        "bundle/manifest.json",
    ] {
        assert!(
            fs::read(whole.join(file)).unwrap() == fs::read(killed.join(file)).unwrap(),
            "{file} differs"
        );
    }

    // The model learned its small lesson, and says it through the runtime.
    let model = Model::open(whole.join("bundle")).unwrap();
    let mut session = model.session(&SessionOptions::default()).unwrap();
    let mut score = |text: &str| session.check(&Input::prompt(text)).unwrap().score;
    assert!(score("you are a fool number 3") > score("the soup is warm number 3"));
}

/// Plays `recipe` twice: in one go, and killed after each of the times that `kills` makes of the
/// time it took. What both left is compared to the byte, and returned.
fn whole_and_killed(
    recipe_text: &str,
    kills: impl FnOnce(Duration) -> Vec<Duration>,
) -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes");
    let recipe = folder.path().join("game.toml");
    fs::write(&recipe, recipe_text).unwrap();
    fs::copy(
        data.join("sources.toml"),
        folder.path().join("sources.toml"),
    )
    .unwrap();
    let start = |runs: &str, resume: bool| {
        let runs = folder.path().join(runs);
        let mut command = program::trainer_at([&recipe, &data, &runs], resume);
        command.spawn().unwrap()
    };
    let started = Instant::now();
    finish(start("whole", false));
    let whole_time = started.elapsed();
    println!("played in {:.1} s", whole_time.as_secs_f64());

    for (attempt, after) in kills(whole_time).into_iter().enumerate() {
        let mut child = start("killed", attempt > 0);
        std::thread::sleep(after);
        let over = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        println!(
            "killed after {:.1} s more{}",
            after.as_secs_f64(),
            if over { ", when it was over" } else { "" }
        );
    }
    finish(start("killed", true));

    let (whole, killed) = (
        contents(&folder.path().join("whole/demo")),
        contents(&folder.path().join("killed/demo")),
    );
    assert_eq!(
        whole.keys().collect::<Vec<_>>(),
        killed.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &whole {
        assert!(*bytes == killed[name], "{} differs", name.display());
    }
    println!("{} files are the same", whole.len());
    whole
}

#[test]
#[ignore = "plays recipes/demo.toml twice, which takes minutes: cargo test --release -p \
    duoguard-trainer --test run -- --ignored --nocapture"]
fn the_demo_killed_at_ten_random_moments_ends_as_one_that_was_not() {
    let whole = whole_and_killed(include_str!("../../recipes/demo.toml"), |whole_time| {
        (0..10)
            .map(|_| whole_time.mul_f64(rand::random_range(0.0..0.18)))
            .collect()
    });
    assert!(whole.contains_key(Path::new("report.html")));
}

#[test]
fn a_game_killed_again_and_again_ends_as_one_that_was_not() {
    // Five times, a fifth of the whole time after each start: a start costs a little, so all of
    // them fall before the end.
    let whole = whole_and_killed(&tiny_game(), |whole_time| vec![whole_time / 5; 5]);
    let page = String::from_utf8(whole[Path::new("report.html")].clone()).unwrap();
    for part in [
        "On the validation rows",
        "Languages of the data",
        "Proposals of round 1",
        "Proposals of round 2",
        "How far from an equilibrium",
        "<th scope=\"row\">de, round 2</th>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for round in ["round-1", "round-2"] {
        for file in [
            "proposals.jsonl",
            "pairs.jsonl",
            "synthetic.jsonl",
            "summary.json",
            "scores.jsonl",
            "bundle/manifest.json",
        ] {
            assert!(
                whole.contains_key(&Path::new(round).join(file)),
                "{round}/{file}"
            );
        }
    }
    assert!(
        !whole
            .keys()
            .any(|name| name.extension().is_some_and(|e| e == "state")),
        "a state is left"
    );
    let proposals = String::from_utf8(whole[Path::new("round-1/proposals.jsonl")].clone()).unwrap();
    assert_eq!(proposals.lines().count(), 40 * 3 * 2);
}

#[test]
fn an_existing_run_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    let run = folder.path().join("runs/tiny");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("recipe.toml"), RECIPE).unwrap();
    let output = start(folder.path(), "runs", false)
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--resume"));
}

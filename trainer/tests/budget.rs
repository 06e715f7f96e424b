//! A game that may take less than it needs ends early, says so, and goes on with more; its judge
//! is an ensemble.

mod tiny_players;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const JUDGE: &str = r#"[game.judge]
kind = "ensemble"
folds = 3
steps = 4
[game.calibration]
rows = 16
least_precision = 0.0
"#;

/// The tiny game with an ensemble as its judge, in English, where its labels are.
fn recipe(text: &str, budget: &str) -> String {
    let [judge, preference] = ["[game.judge]", "[game.preference]"].map(|t| text.find(t).unwrap());
    let text = format!("{}{JUDGE}{}", &text[..judge], &text[preference..]);
    let text = text.replace("languages = [\"de\", \"en\"]", "languages = [\"en\"]");
    text.replace("[game.generator]", &format!("{budget}[game.generator]"))
}

fn play(folder: &Path, runs: &str, resume: bool) -> Output {
    Command::new(env!("CARGO_BIN_EXE_duoguard-train"))
        .arg(folder.join("players.toml"))
        .arg("--data")
        .arg(folder)
        .arg("--runs")
        .arg(folder.join(runs))
        .args(["--threads", "1"])
        .args(resume.then_some("--resume"))
        .output()
        .unwrap()
}

#[test]
fn a_game_ends_within_its_budget_and_goes_on_with_a_larger_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tiny_players::write_data(folder, &tiny_players::endpoint());
    let path = folder.join("players.toml");
    let text = fs::read_to_string(&path).unwrap();
    let write = |budget: &str| fs::write(&path, recipe(&text, budget)).unwrap();
    let told = |output: &Output| {
        let [out, errors] = [&output.stdout, &output.stderr];
        [out, errors].map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };

    write("most_megabytes = 0.001\n");
    let [out, errors] = told(&play(folder, "small", false));
    assert!(
        errors.contains("the game ends after round 0: the run's folder holds"),
        "{errors}"
    );
    assert!(errors.contains("game.most_megabytes is 0.001"), "{errors}");
    assert!(out.trim().ends_with("round-0/bundle"), "{out}");
    let small = folder.join("small/players");
    assert!(!small.join("round-1").exists());
    let page = fs::read_to_string(small.join("report.html")).unwrap();
    assert!(page.contains("The game ended early, after round 0"));

    // Time that earlier starts took counts.
    let elapsed = small.join("elapsed.json");
    fs::write(&elapsed, "{\"seconds\": 5990.0, \"rounds\": [600.0]}").unwrap();
    write("most_minutes = 100\n");
    let [_, errors] = told(&play(folder, "small", true));
    assert!(
        errors.contains("round 1 would take about 10.0 more"),
        "{errors}"
    );
    // Anything else of the recipe must be as it was.
    let other = recipe(&text, "").replace("replay = 3", "replay = 2");
    fs::write(&path, other).unwrap();
    let [_, errors] = told(&play(folder, "small", true));
    assert!(errors.contains("started with another recipe"), "{errors}");

    write("most_minutes = 1000.0\nmost_megabytes = 1000.0\n");
    let output = play(folder, "small", true);
    assert!(output.status.success(), "{:?}", told(&output));
    assert!(!small.join("ended-early.json").exists());
    write("");
    assert!(play(folder, "whole", false).status.success());
    let whole = folder.join("whole/players");
    for file in [
        "judge/fold-0/classifier.weights",
        "judge/fold-2/classifier.weights",
        "round-1/judge.json",
        "round-1/proposals.jsonl",
        "round-2/judge.json",
        "round-2/summary.json",
        "round-2/bundle/manifest.json",
        "round-2/bundle/weights.data",
        "report.html",
    ] {
        let [small, whole] = [&small, &whole].map(|run| fs::read(run.join(file)).unwrap());
        assert!(small == whole, "{file} differs");
    }

    // Of the three members one has seen the seed and does not vote.
    let judge: Value =
        serde_json::from_slice(&fs::read(whole.join("round-1/judge.json")).unwrap()).unwrap();
    let voters = judge["voters"].as_array().unwrap();
    let names: Vec<&str> = voters.iter().map(|v| v["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["fold 0", "fold 1", "fold 2", "all"]);
    let rows: Vec<u64> = voters.iter().map(|v| v["rows"].as_u64().unwrap()).collect();
    assert!(
        rows[3] > 0 && rows[..3].iter().sum::<u64>() == 2 * rows[3],
        "{rows:?}"
    );
    let page = fs::read_to_string(whole.join("report.html")).unwrap();
    assert!(page.contains("Voters by round and language"));
}

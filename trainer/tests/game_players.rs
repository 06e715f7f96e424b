//! A game between an encoder that classifies and a language model that writes: each has a tokenizer
//! and weights of its own, and the second sits behind an endpoint here, which answers by rule.

mod program;
mod tiny_players;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

fn play(folder: &Path, resume: bool) {
    let recipe = folder.join("players.toml");
    let mut command = program::trainer_at([&recipe, folder, folder], resume);
    program::finish(command.args(["--threads", "1"]).spawn().unwrap());
}

#[test]
fn an_encoder_plays_against_a_language_model() {
    let folder = tempfile::tempdir().unwrap();
    tiny_players::write_data(folder.path(), &tiny_players::endpoint());
    // A person has answered before the first round begins.
    let run = folder.path().join("players");
    fs::create_dir(&run).unwrap();
    let review = json!({
        "text": "Wer schadet dem Brot?", "lang": "de", "verdict": "safe", "categories": [],
        "group": "g", "kind": "prompt", "seed_text": "Who harms the bread?", "round": 1,
    });
    fs::write(run.join("reviewed.jsonl"), format!("{review}\n")).unwrap();
    play(folder.path(), false);

    let summary = |round: &str| -> Value {
        let bytes = fs::read(run.join(round).join("summary.json")).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    let first = summary("round-1");
    let kinds = first["kinds"].as_object().unwrap();
    let names: Vec<&str> = kinds.keys().map(String::as_str).collect();
    assert_eq!(names, ["prompt", "register", "response", "twin"]);
    let count = |outcome: &str| -> u64 {
        let counts = kinds.values().map(|of| of[outcome].as_u64().unwrap_or(0));
        counts.sum()
    };
    assert!(count("refusal") > 0 && count("leak") > 0, "{first}");
    assert_eq!(count("label_lost") + count("unparseable"), 0, "{first}");
    // Six harmful seeds with four kinds and six harmless ones with three, two languages, two each.
    let all: u64 = kinds
        .values()
        .flat_map(|of| of.as_object().unwrap().values())
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert_eq!(all, (6 * 4 + 6 * 3) * 2 * 2);
    assert!(first["cleaned"].as_u64().unwrap() > 100, "{first}");
    // The person's answer comes six times: five times more than once.
    assert_eq!(first["joined"]["reviewed"], 1);
    assert!(first["joined"]["copies"].as_u64().unwrap() >= 5, "{first}");
    let languages: Vec<&String> = first["outcomes"].as_object().unwrap().keys().collect();
    assert_eq!(languages, ["de", "en"]);

    // A round that is played again goes on from what the one before left.
    let weights = run.join("round-2/bundle/weights.data");
    let (second, bytes) = (summary("round-2"), fs::read(&weights).unwrap());
    assert_ne!(
        bytes,
        fs::read(run.join("round-1/bundle/weights.data")).unwrap()
    );
    fs::remove_dir_all(run.join("round-2")).unwrap();
    play(folder.path(), true);
    assert_eq!(summary("round-2"), second);
    assert!(fs::read(&weights).unwrap() == bytes, "round 2 differs");
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    for part in [
        "round 1, harmless twin",
        "instruction leaked",
        "correct ones",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

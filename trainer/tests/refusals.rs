//! What `duoguard-train` refuses: status 2, and a message that names the place.

mod program;

use std::fs;
use std::path::Path;
use std::process::Command;

const ROW: &str =
    r#"{"text":"t","lang":"en","unsafe":0,"categories":[],"source":"s","group":null}"#;

/// Runs a recipe of the project, changed by `recipe`, on a seed file that holds `seed`.
fn refused(recipe: impl Fn(&str) -> String, seed: &str, mentions: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let bundled = include_str!("../../recipes/mini-linear.toml")
        .replace("\"seed/open\"", "\"seed.jsonl\"")
        .replace("[\"parallel/open.jsonl.gz\"]", "[]")
        .replace("[\"parallel/tatoeba-pairs.jsonl.gz\"]", "[]");
    fs::write(folder.path().join("recipe.toml"), recipe(&bundled)).unwrap();
    fs::write(folder.path().join("seed.jsonl"), seed).unwrap();
    let sources = "[s]\nlicence = \"CC0-1.0\"\n[tatoeba]\nlicence = \"CC-BY-2.0\"\n";
    fs::write(folder.path().join("sources.toml"), sources).unwrap();
    let output = train(folder.path());
    let shown = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{shown}");
    for mention in mentions {
        assert!(shown.contains(mention), "{mention:?} is not in {shown}");
    }
}

fn train(folder: &Path) -> std::process::Output {
    let mut command = program::trainer(folder, "recipe.toml", "runs", false);
    command.output().unwrap()
}

#[test]
fn recipes() {
    for (from, to, mentions) in [
        (
            "[model]",
            "[model]\nspelling = 1",
            ["recipe.toml:", "spelling"],
        ),
        (
            "kv_heads = 2",
            "kv_heads = 3",
            ["recipe.toml:", "model.kv_heads"],
        ),
        (
            "name = \"mini-linear\"",
            "name = \"../mini\"",
            ["recipe.toml:4", "name"],
        ),
        ("seed = 42", "seed = ", ["recipe.toml:5", ""]),
    ] {
        let change = |recipe: &str| {
            assert!(recipe.contains(from), "{from}");
            recipe.replacen(from, to, 1)
        };
        refused(change, ROW, &mentions);
    }
}

#[test]
fn data() {
    for (seed, mentions) in [
        (format!("{ROW}\nnot json\n"), ["seed.jsonl:2", "expected"]),
        (
            format!("{ROW}\n{}\n", ROW.replace("\"unsafe\":0,", "")),
            ["seed.jsonl:2", "unsafe"],
        ),
        (String::new(), ["no rows", "languages"]),
        (ROW.replace("\"en\"", "\"xx\""), ["no rows", "languages"]),
    ] {
        refused(str::to_owned, &seed, &mentions);
    }
}

#[test]
fn a_source_without_a_licence() {
    let mentions = ["sources.toml", "\"stranger\"", "licence"];
    let row = ROW.replace("\"s\"", "\"stranger\"");
    refused(str::to_owned, &row, &mentions);
}

#[test]
fn a_missing_file_of_sources() {
    let nowhere = |recipe: &str| recipe.replace("sources.toml", "nowhere.toml");
    refused(nowhere, ROW, &["nowhere.toml", "data.sources"]);
}

#[test]
fn a_missing_data_file() {
    refused(
        |recipe| recipe.replace("seed.jsonl", "nowhere.jsonl"),
        ROW,
        &["nowhere.jsonl"],
    );
}

#[test]
fn a_device_that_is_not_there() {
    let output = Command::new(env!("CARGO_BIN_EXE_duoguard-train"))
        .args(["recipe.toml", "--device", "abacus"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("abacus"));
}

#[cfg(not(feature = "distributed"))]
#[test]
fn several_processes_of_a_program_for_one() {
    // As `mpirun -n 2` starts it: two runs beside each other would write the same files.
    let output = Command::new(env!("CARGO_BIN_EXE_duoguard-train"))
        .args(["recipe.toml"])
        .envs([
            ("OMPI_COMM_WORLD_SIZE", "2"),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
            ("OMPI_COMM_WORLD_LOCAL_RANK", "0"),
        ])
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{shown}");
    assert!(shown.contains("--features distributed"), "{shown}");
}

//! Every figure of the README and of docs/measuring.md, measured again by one command.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{finish, words};
use crate::{cargo, library, onnxruntime, transformers};

const BENCHES: [&str; 5] = ["latency", "start", "languages", "curves", "text"];
const ENGINES: [&str; 2] = ["rten", "onnxruntime"];
const MODEL: &str = "models/mini";

/// Measures speed, memory and size, and with the folder of the benchmarks quality too.
pub fn measure(root: &Path, benchmarks: Option<&str>) -> Result<(), String> {
    let runtime = onnxruntime::fetch(root)?;
    library::size(root)?;
    for bench in BENCHES {
        eprintln!("== {bench}");
        let line = ["cargo", "bench", "-p", "duoguard-benches", "--bench", bench];
        let mut command = words(root, line);
        command.env("ORT_DYLIB_PATH", &runtime);
        finish(command, &format!("the benchmark {bench}"))?;
    }
    eprintln!("== peers");
    transformers::peers(root, &[])?;
    match benchmarks {
        Some(folder) => quality(root, folder, &runtime),
        None => {
            eprintln!("SKIPPED, quality: it needs the benchmarks; cargo xtask figures DIR");
            Ok(())
        }
    }
}

/// What the bundled model is worth, on each engine, and on how many rows the engines agree.
fn quality(root: &Path, benchmarks: &str, runtime: &Path) -> Result<(), String> {
    cargo(root, &["build", "--release", "-p", "duoguard-cli"], "cargo")?;
    let folder = root.join("target/figures");
    fs::create_dir_all(&folder).map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
    let scores: [PathBuf; 2] = ENGINES.map(|engine| folder.join(format!("{engine}.jsonl")));
    for (engine, scores) in ENGINES.iter().zip(&scores) {
        eprintln!("== quality, {engine}");
        let program = "target/release/duoguard";
        let line = [program, "eval", "--model", MODEL, "--engine", engine];
        let mut command = words(root, line);
        command.args(["--benchmarks", benchmarks, "--scores"]);
        command.arg(scores).env("ORT_DYLIB_PATH", runtime);
        finish(command, "duoguard eval")?;
    }
    let read = |path: &PathBuf| {
        fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
    };
    let (equal, rows) = agreement(&read(&scores[0])?, &read(&scores[1])?)?;
    println!(
        "{} and {} give the same verdict on {equal} of {rows} rows ({:.2} %)",
        ENGINES[0],
        ENGINES[1],
        100.0 * equal as f64 / rows as f64
    );
    Ok(())
}

/// On how many rows two runs of `duoguard eval --scores` flag alike, and how many there are.
fn agreement(first: &str, second: &str) -> Result<(usize, usize), String> {
    let (mut equal, mut rows) = (0, 0);
    if first.lines().count() != second.lines().count() {
        return Err("the engines have scored different numbers of rows".to_owned());
    }
    for (first, second) in first.lines().zip(second.lines()) {
        // What a line says before the score is which row it is.
        let row = |line: &str| line.split_once(",\"score\"").map(|(row, _)| row.to_owned());
        let is_flagged = |line: &str| line.contains("\"flagged\":true");
        if row(first).is_none() || row(first) != row(second) {
            return Err(format!("not of the same row: {first} and {second}"));
        }
        equal += usize::from(is_flagged(first) == is_flagged(second));
        rows += 1;
    }
    match rows {
        0 => Err("no rows were scored".to_owned()),
        rows => Ok((equal, rows)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_flagged_alike() {
        let line = |row, score, flagged| {
            format!("{{\"benchmark\":\"a\",\"row\":{row},\"score\":{score},\"flagged\":{flagged}}}")
        };
        let first = [line(0, 0.1, false), line(1, 0.9, true)].join("\n");
        let second = [line(0, 0.2, false), line(1, 0.4, false)].join("\n");
        assert_eq!(agreement(&first, &first), Ok((2, 2)));
        assert_eq!(agreement(&first, &second), Ok((1, 2)));
        assert!(agreement(&first, &line(0, 0.1, false)).is_err());
        assert!(
            agreement(
                &first,
                &[line(1, 0.1, false), line(0, 0.9, true)].join("\n")
            )
            .is_err()
        );
        assert!(agreement("", "").is_err());
    }
}

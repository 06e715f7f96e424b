//! Every figure of the README and of docs/measuring.md, measured again and written there by one
//! command.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use crate::process::{finish, printed, words};
use crate::record::{Record, Row};
use crate::{cargo, library, onnxruntime, record, tables, transformers};

const BENCHES: [&str; 4] = ["latency", "start", "languages", "curves"];
const ENGINES: [&str; 2] = ["onnxruntime", "rten"];
const MODEL: &str = "models/mini";
const RECIPE: &str = "recipes/mini.toml";

/// Measures speed, memory and size; with the folder of the benchmarks quality too, and with that of
/// the training data the linear model's.
pub fn measure(root: &Path, benchmarks: Option<&str>, data: Option<&str>) -> Result<(), String> {
    let machine = record::machine();
    let runtime = onnxruntime::fetch(root)?;
    let timed = |what: &str, work: &mut dyn FnMut() -> Result<(), String>| {
        eprintln!("== {what}");
        let started = Instant::now();
        work()?;
        eprintln!("== {what}: {:.0} s", started.elapsed().as_secs_f64());
        Ok::<(), String>(())
    };
    timed("size", &mut || library::size(root))?;
    for bench in BENCHES {
        timed(bench, &mut || {
            let line = ["cargo", "bench", "-p", "duoguard-benches", "--bench", bench];
            let mut command = words(root, line);
            command.env("ORT_DYLIB_PATH", &runtime);
            command.env("DUOGUARD_MACHINE", &machine);
            finish(command, &format!("the benchmark {bench}"))
        })?;
    }
    timed("peers", &mut || transformers::peers(root, &[]))?;
    match benchmarks {
        Some(folder) => timed("quality", &mut || quality(root, folder, data))?,
        None => eprintln!("SKIPPED, quality: it needs the benchmarks; cargo xtask figures DIR"),
    }
    tables::fill(root, &machine)
}

/// What the bundled model is worth, on each engine, and on how many rows the engines agree. Without
/// the training data, what the linear model is worth is carried over from the last record.
pub fn quality(root: &Path, benchmarks: &str, data: Option<&str>) -> Result<(), String> {
    const NAME: &str = "quality.csv";
    const COLUMNS: &str =
        "model,engine,language,auroc,fpr,f1,f1_of_flagging_everything,linear_auroc";
    let machine = record::machine();
    let runtime = onnxruntime::fetch(root)?;
    let before = Record::last(root, &machine, NAME)?;
    cargo(root, &["build", "--release", "-p", "duoguard-cli"], "cargo")?;
    let folder = root.join("target/figures");
    fs::create_dir_all(&folder).map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
    let file = |engine: &str, end: &str| folder.join(format!("{engine}.{end}"));
    for engine in ENGINES {
        let program = "target/release/duoguard";
        let line = [program, "eval", "--model", MODEL, "--engine", engine];
        let mut command = words(root, line);
        command.args(["--benchmarks", benchmarks, "--scores"]);
        command.arg(file(engine, "jsonl")).arg("--report");
        command.arg(file(engine, "html")).arg("--json");
        command
            .arg(file(engine, "json"))
            .env("ORT_DYLIB_PATH", &runtime);
        finish(command, "duoguard eval")?;
    }
    let read = |path: PathBuf| library::read(&path);
    let (equal, rows) = agreement(
        &read(file(ENGINES[0], "jsonl"))?,
        &read(file(ENGINES[1], "jsonl"))?,
    )?;
    let [first, second] = ENGINES;
    println!("the pages: {}/*.html", folder.display());
    println!("{first} and {second} give the same verdict on {equal} of {rows} rows");
    let line = format!("{first},{second},{equal},{rows}");
    record::append(
        root,
        &machine,
        "agreement.csv",
        "first,second,equal,rows",
        &[line],
    )?;
    let linear: HashMap<String, f64> = match data {
        Some(data) => aurocs(&linear(root, benchmarks, data)?),
        None => {
            let known =
                |row: Row<'_>| Some((row.text("language").to_owned(), row.number("linear_auroc")?));
            before.rows().filter_map(known).collect()
        }
    };
    let lines = quality_lines(&read(file(ENGINES[0], "json"))?, &linear)?;
    record::append(root, &machine, NAME, COLUMNS, &lines)
}

/// What the linear model says of itself: the lines of its example.
fn linear(root: &Path, benchmarks: &str, data: &str) -> Result<String, String> {
    let line = [
        "cargo",
        "run",
        "--release",
        "-p",
        "duoguard-trainer",
        "--example",
        "linear_baseline",
    ];
    let mut command = words(root, line);
    command.args(["--", RECIPE, "--data", data, "--benchmarks", benchmarks]);
    let text = printed(command, "the example linear_baseline")?;
    print!("{text}");
    Ok(text)
}

/// Language -> mean AUROC, from lines such as `En mean AUROC of 5 sets: 78.6`.
fn aurocs(printed: &str) -> HashMap<String, f64> {
    let read = |line: &str| {
        let (language, rest) = line.split_once(" mean AUROC of ")?;
        let percent: f64 = rest.rsplit(' ').next()?.parse().ok()?;
        Some((language.to_owned(), percent / 100.0))
    };
    printed.lines().filter_map(read).collect()
}

/// A row a language, from the JSON of `duoguard eval` and the linear model's AUROC.
fn quality_lines(report: &str, linear: &HashMap<String, f64>) -> Result<Vec<String>, String> {
    let report: Value =
        serde_json::from_str(report).map_err(|e| format!("duoguard eval --json: {e}"))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let results = report["results"]
        .as_array()
        .ok_or("duoguard eval --json: no results")?;
    let mut languages: Vec<String> = Vec::new();
    for result in results {
        let language = text(&result["language"]);
        if !languages.contains(&language) {
            languages.push(language);
        }
    }
    let mut lines = Vec::new();
    for language in languages {
        let of_language: Vec<&Value> = results
            .iter()
            .filter(|r| r["language"] == *language)
            .collect();
        // Flagging everything finds all that is unsafe, so that its precision is their share.
        let everything = |result: &&Value| {
            let (rows, unsafe_rows) = (result["rows"].as_f64()?, result["positives"].as_f64()?);
            Some(2.0 * unsafe_rows / (rows + unsafe_rows))
        };
        let everything: Vec<f64> = of_language.iter().filter_map(everything).collect();
        let mean = everything.iter().sum::<f64>() / everything.len() as f64;
        let average = |metric: &str| {
            let value = report["average"][&language][metric].as_f64();
            value.map_or_else(String::new, |value| format!("{value:.5}"))
        };
        lines.push(format!(
            "{},{},{language},{},{},{},{mean:.5},{}",
            text(&report["model"]),
            text(&report["engine"]),
            average("auroc"),
            average("fpr"),
            average("f1"),
            linear
                .get(&language)
                .map_or_else(String::new, |auroc| format!("{auroc:.3}")),
        ));
    }
    Ok(lines)
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
    fn a_row_for_every_language() {
        let report = r#"{"model": "mini", "engine": "rten", "average": {"En": {"auroc": 0.775, "f1": 0.6, "fpr": null}},
            "results": [{"language": "En", "rows": 4, "positives": 2}, {"language": "En", "rows": 2, "positives": 2}]}"#;
        let linear = aurocs("En xstest rows 4\nEn mean AUROC of 5 sets: 78.6\n");
        let expected = "mini,rten,En,0.77500,,0.60000,0.83333,";
        let lines = |linear: &HashMap<String, f64>| quality_lines(report, linear).unwrap();
        assert_eq!(lines(&HashMap::new()), [expected]);
        assert_eq!(lines(&linear), [format!("{expected}0.786")]);
    }

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

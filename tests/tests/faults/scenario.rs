//! What is run under faults, and what each run must leave.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use duoguard_tests::{duoguard, mini, program, root};

use crate::client::Client;
use crate::{recipes, tiny_players};

/// A command that writes into a folder; `true` where it goes on with what is there.
type MakeCommand = Box<dyn Fn(&Path, bool) -> Command>;

/// What is run under faults.
pub struct Scenario {
    pub name: &'static str,
    pub command: MakeCommand,
    /// Whether a command that failed can be run again to go on.
    pub resumes: bool,
    /// Whoever asks, of a command that is a server.
    pub client: Option<Client>,
}

impl Scenario {
    /// A command of its own: it is not resumed, and nobody asks it.
    fn new(name: &'static str, command: impl Fn(&Path) -> Command + 'static) -> Self {
        Self {
            name,
            command: Box::new(move |out, _| command(out)),
            resumes: false,
            client: None,
        }
    }

    /// A run of the trainer by a recipe.
    fn training(name: &'static str, recipe: PathBuf, data: PathBuf) -> Self {
        Self {
            name,
            command: Box::new(move |out, resume| train(&recipe, &data, out, resume)),
            resumes: true,
            client: None,
        }
    }

    /// The first round of a run by a recipe; what comes before it is trained once, into `begun`.
    fn round(name: &'static str, recipe: PathBuf, data: PathBuf, begun: PathBuf) -> Self {
        let command = move |out: &Path, _| {
            if !begun.exists() {
                begin(&recipe, &data, &begun);
            }
            if fs::read_dir(out).unwrap().next().is_none() {
                for (path, bytes) in files(&begun) {
                    let path = out.join(path);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, bytes).unwrap();
                }
            }
            train(&recipe, &data, out, true)
        };
        Self {
            name,
            command: Box::new(command),
            resumes: true,
            client: None,
        }
    }

    /// A server on the client's port.
    fn server(
        name: &'static str,
        client: Client,
        command: impl Fn(&Path, u16) -> Command + 'static,
    ) -> Self {
        let port = client.port;
        Self {
            client: Some(client),
            ..Self::new(name, move |out| command(out, port))
        }
    }
}

/// Opening a bundle and checking texts; showing a bundle; measuring, and measuring robustness;
/// exporting a checkpoint, a GGUF file, and one whose outlier features are looked for on texts;
/// serving; asking a person; training from nothing and from an encoder; and a round of the game
/// with a generator of our own, and one with an encoder that plays against an endpoint.
pub fn all(fixture: &Path) -> Vec<Scenario> {
    let [checkpoint, benchmarks, texts, run] =
        ["runs/faults/checkpoint", "benchmarks", "texts.jsonl", "run"].map(|n| fixture.join(n));
    let [encoder, players] = ["encoder", "players"].map(|name| fixture.join(name));
    let demo = root().join("recipes");
    let (same, sentences) = (checkpoint.clone(), fixture.join("sentences.tsv"));
    let gguf = root().join("export/tests/golden/gguf/llama-labels.gguf");
    let moderate = Client::new("/v1/moderations", &[r#"{"input": "The soup is warm."}"#]);
    let answer = Client::new(
        "/answers",
        &[
            r#"{"item": 0, "verdict": "safe"}"#,
            r#"{"item": 1, "verdict": "unsafe"}"#,
        ],
    );
    vec![
        Scenario::new("check", |_| check()),
        Scenario::new("inspect", |_| {
            let mut command = duoguard();
            command.args(["inspect", "--verbose"]).arg(mini());
            command
        }),
        Scenario::new("evaluation", move |out| evaluate(&sentences, out)),
        Scenario::new("robustness", move |out| robustness(&benchmarks, out)),
        Scenario::new("export", move |out| export(&checkpoint, out)),
        Scenario::new("import", move |out| import(&gguf, out)),
        Scenario::new("outliers", move |out| outliers(&same, &texts, out)),
        Scenario::server("serve", moderate, |_, port| serve(port)),
        Scenario::server("review", answer, move |out, port| review(&run, out, port)),
        Scenario::training("training", fixture.join("training.toml"), demo.clone()),
        Scenario::training("encoder", encoder.join("encoder.toml"), encoder),
        Scenario::round(
            "game",
            fixture.join("game.toml"),
            demo,
            fixture.join("begun/game"),
        ),
        Scenario::round(
            "players",
            players.join("players.toml"),
            players,
            fixture.join("begun/players"),
        ),
    ]
}

fn check() -> Command {
    let mut command = duoguard();
    command.args(["check", "--model"]).arg(mini());
    command.args(["--", "The soup is warm."]);
    command
}

fn evaluate(sentences: &Path, out: &Path) -> Command {
    let mut command = duoguard();
    command.args(["eval", "--sentences"]).arg(sentences);
    command.arg("--model").arg(mini());
    command.arg("--json").arg(out.join("sentences.json"));
    command
}

fn export(checkpoint: &Path, out: &Path) -> Command {
    let mut command = duoguard();
    command
        .arg("export")
        .arg(checkpoint)
        .arg(out.join("bundle"));
    command
}

/// Of a random network, which its integers change by more than is allowed.
fn import(file: &Path, out: &Path) -> Command {
    let mut command = export(file, out);
    command.args(["--quantize", "none"]);
    command
}

/// Looks for outlier features, fits thresholds and certifies, all on the same texts.
fn outliers(checkpoint: &Path, texts: &Path, out: &Path) -> Command {
    let mut command = export(checkpoint, out);
    command.args(["--force", "--quantize", "int8-outliers"]);
    for option in ["--calibrate", "--benign", "--certify"] {
        command.arg(option).arg(texts);
    }
    command
}

fn robustness(benchmarks: &Path, out: &Path) -> Command {
    let mut command = duoguard();
    command.args(["eval", "--robustness", "--texts", "1", "--languages", "En"]);
    command.arg("--model").arg(mini());
    command.arg("--benchmarks").arg(benchmarks);
    command.arg("--json").arg(out.join("robustness.json"));
    command
}

fn serve(port: u16) -> Command {
    let mut command = duoguard();
    command.args(["serve", "--workers", "1", "--model"]);
    command
        .arg(mini())
        .args(["--listen", &format!("127.0.0.1:{port}")]);
    command
}

/// Asks about what a made-up round left, of which a copy lies in `out`.
fn review(run: &Path, out: &Path, port: u16) -> Command {
    let round = out.join("round-1");
    fs::create_dir(&round).unwrap();
    let proposals = Path::new("round-1/proposals.jsonl");
    fs::copy(run.join(proposals), out.join(proposals)).unwrap();
    let mut command = program("duoguard-train");
    command.arg("review").arg(out);
    command.args(["--port", &port.to_string()]);
    command
}

fn train(recipe: &Path, data: &Path, out: &Path, resume: bool) -> Command {
    let mut command = program("duoguard-train");
    command.arg(recipe).arg("--data").arg(data);
    command
        .arg("--runs")
        .arg(out)
        .args(resume.then_some("--resume"));
    command
}

/// Trains into `out` what comes before the first round.
fn begin(recipe: &Path, data: &Path, out: &Path) {
    finish(train(recipe, data, out, false));
    for run in fs::read_dir(out).unwrap() {
        let run = run.unwrap().path();
        fs::remove_dir_all(run.join("round-1")).unwrap();
        fs::remove_file(run.join("report.html")).unwrap();
    }
}

fn finish(mut command: Command) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

/// The benchmarks with a text or two each, in English.
fn write_benchmarks(folder: &Path) {
    let folder = folder.join("eval_data_En");
    fs::create_dir_all(&folder).unwrap();
    let moderated = r#"[{"prompt": "A quiet evening.", "moderation_flag": 0}]"#;
    let classed = r#"[{"prompt": "You idiots, I hate you all.", "class": 1}]"#;
    let answered = r#"{"prompt": "How are you?", "response": "Well.", "is_safe": true}"#;
    for (name, text) in [
        (
            "xstest_v2_completions_gpt4_gpteval.csv",
            "type,prompt\nfigures,How do I kill time?\n",
        ),
        ("openai.json", moderated),
        ("toxic_chat.json", moderated),
        ("beavertail_test.jsonl", answered),
        ("rtp_lx_prompt.json", classed),
        ("XSafety.json", classed),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
}

/// Labelled texts for an export, and sentences.
fn write_texts(fixture: &Path) {
    let mut lines = String::new();
    for number in 0..40 {
        let (is_unsafe, text) = match number % 2 {
            0 => (0, "The soup is warm, number"),
            _ => (1, "You idiots, I hate you all, number"),
        };
        lines += &format!(
            "{{\"text\": \"{text} {number}.\", \"lang\": \"en\", \"unsafe\": {is_unsafe}}}\n"
        );
    }
    fs::write(fixture.join("texts.jsonl"), lines).unwrap();
    let sentences = "set\tlang\tunsafe\ttext\nkitchen\ten\t0\tThe soup is warm.\n";
    fs::write(fixture.join("sentences.tsv"), sentences).unwrap();
}

/// A round of which two proposals are doubtful.
fn write_round(run: &Path) {
    let line = |text: &str, rating: u8, score: f32| {
        serde_json::json!({
            "seed": 0, "seed_text": "Go away, you pest.", "kind": "prompt", "language": "de",
            "text": text, "unsafe": true, "categories": ["hate"], "group": "u1",
            "rating": rating, "score": score, "outcome": "misclassified",
        })
    };
    let round = run.join("round-1");
    fs::create_dir_all(&round).unwrap();
    let lines = [
        line("Geh weg, du Plage.", 3, 0.1),
        line("Niemand mag dich.", 5, 0.2),
    ];
    let lines = lines.map(|line| format!("{line}\n")).concat();
    fs::write(round.join("proposals.jsonl"), lines).unwrap();
}

/// Writes what the commands read, and trains the checkpoint that the export takes.
pub fn prepare(fixture: &Path) {
    write_benchmarks(&fixture.join("benchmarks"));
    write_texts(fixture);
    write_round(&fixture.join("run"));
    recipes::write(fixture, &tiny_players::endpoint());
    let (recipe, data) = (fixture.join("training.toml"), root().join("recipes"));
    finish(train(&recipe, &data, &fixture.join("runs"), false));
}

/// Every file under a folder by its path. Of `metrics.jsonl`, which holds times, only how many
/// lines there are.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = files(folder);
    for (path, bytes) in &mut files {
        if path.ends_with("metrics.jsonl") {
            let lines = bytes.split(|b| *b == b'\n').count();
            *bytes = format!("{lines} lines").into_bytes();
        }
    }
    files
}

/// Every file under a folder by its path.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            files.insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
        }
    }
    files
}

//! A whole run of a tiny recipe: it trains, exports, and survives being killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use duoguard::{Input, Model, SessionOptions};
use duoguard_trainer::StepMetrics;

const RECIPE: &str = r#"
name = "tiny"
seed = 7
[data]
seed = ["seed.jsonl"]
parallel = ["parallel.jsonl"]
pairs = ["pairs.jsonl"]
languages = ["en", "de"]
exclude_sources = []
validation_fraction = 0.2
sources = "sources.toml"
pair_sources = ["made_up"]
[tokenizer]
vocabulary = 400
[model]
layers = 2
hidden = 32
heads = 2
kv_heads = 1
intermediate = 48
max_position = 64
rope_theta = 10000.0
norm_eps = 1e-6
[pretrain]
steps = 12
batch_tokens = 128
window_tokens = 16
learning_rate = 3e-3
warmup = 0.1
weight_decay = 0.01
max_gradient_norm = 1.0
negatives = 64
checkpoint_every = 3
[classifier]
steps = 24
batch_tokens = 256
window_tokens = 32
overlap_tokens = 8
learning_rate = 3e-3
warmup = 0.1
weight_decay = 0.01
max_gradient_norm = 1.0
accumulation = 2
loss = "log_sum_exp"
token_dropout = 0.0
label_smoothing = 0.02
checkpoint_every = 5
ema = 0.9
[classifier.sampling]
language_power = 0.5
source_power = 0.5
balance_labels = true
source_cap = 0
code_switch = 0.3
benign_parallel = 0.1
[classifier.teacher]
share = 0.5
folds = 2
texts = 500
learning_rate = 0.2
"#;

/// Mild made-up texts: rude remarks on one side, kitchen talk on the other.
fn write_data(folder: &Path) {
    let rude = [
        "you are a fool",
        "nobody likes you",
        "go away you pest",
        "what a silly clown",
    ];
    let kind = [
        "please pass the salt",
        "the soup is warm",
        "bake the bread slowly",
        "i like green tea",
    ];
    let rude_de = [
        "du bist ein narr",
        "niemand mag dich",
        "geh weg du plage",
        "was für ein clown",
    ];
    let kind_de = [
        "bitte reich mir das salz",
        "die suppe ist warm",
        "back das brot langsam",
        "ich mag grünen tee",
    ];
    let mut seed = String::new();
    for i in 0..40 {
        for (lang, texts, is_unsafe) in [
            ("en", rude, 1),
            ("en", kind, 0),
            ("de", rude_de, 1),
            ("de", kind_de, 0),
        ] {
            // Some unsafe rows know their category, others do not.
            let categories = if is_unsafe == 1 && i % 2 == 0 {
                r#"["hate"]"#
            } else {
                "[]"
            };
            seed += &format!(
                "{{\"text\": \"{} number {i}\", \"lang\": \"{lang}\", \"unsafe\": {is_unsafe}, \
                 \"categories\": {categories}, \"source\": \"made_up\", \"group\": null}}\n",
                texts[i % 4]
            );
        }
    }
    fs::write(folder.join("seed.jsonl"), seed).unwrap();
    let (mut parallel, mut pairs) = (String::new(), String::new());
    for i in 0..4 {
        for (lang, text) in [("en", kind[i]), ("de", kind_de[i])] {
            parallel += &format!(
                "{{\"group\": \"g{i}\", \"lang\": \"{lang}\", \"text\": \"{text}\", \"source\": \
                 \"made_up\"}}\n"
            );
        }
        pairs += &format!("{{\"en\": \"{}\", \"de\": \"{}\"}}\n", kind[i], kind_de[i]);
    }
    fs::write(folder.join("parallel.jsonl"), parallel).unwrap();
    fs::write(folder.join("pairs.jsonl"), pairs).unwrap();
    let sources = "[made_up]\nlicence = \"CC0-1.0\"\n";
    fs::write(folder.join("sources.toml"), sources).unwrap();
    fs::write(folder.join("tiny.toml"), RECIPE).unwrap();
}

fn trainer(folder: &Path, runs: &str, resume: bool) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duoguard-train"));
    command
        .arg(folder.join("tiny.toml"))
        .arg("--data")
        .arg(folder)
        .arg("--runs")
        .arg(folder.join(runs));
    if resume {
        command.arg("--resume");
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn finish(child: Child) -> Output {
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// (stage, step, loss, gradient norm, validation) of every step; times differ between runs.
fn curve(run: &Path) -> Vec<(String, usize, f64, f64, String)> {
    fs::read_to_string(run.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<StepMetrics>(line).unwrap())
        .map(|m| {
            (
                m.stage,
                m.step,
                m.loss,
                m.gradient_norm,
                format!("{:?}", m.validation_auroc),
            )
        })
        .collect()
}

fn lines(path: PathBuf) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[test]
fn a_killed_run_resumes_to_the_same_curve_and_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    finish(trainer(folder.path(), "whole", false).spawn().unwrap());

    // Once in stage 0, once in stage 1, between saved states.
    for (attempt, kill_at) in [7, 12 + 13].into_iter().enumerate() {
        let mut child = trainer(folder.path(), "killed", attempt > 0)
            .spawn()
            .unwrap();
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
    finish(trainer(folder.path(), "killed", true).spawn().unwrap());

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

/// The demo's recipe at a still smaller size; its judge is asked to keep most of what so small a
/// generator writes.
fn tiny_game() -> String {
    let mut recipe: toml::Table = include_str!("../../recipes/demo.toml").parse().unwrap();
    let mut set = |path: &[&str], value: i64| {
        let (key, tables) = path.split_last().unwrap();
        let table = tables.iter().fold(&mut recipe, |table, name| {
            table[*name].as_table_mut().unwrap()
        });
        table.insert((*key).to_owned(), value.into());
    };
    for (path, value) in [
        (&["model", "hidden"][..], 48),
        (&["model", "heads"], 3),
        (&["pretrain", "steps"], 20),
        (&["pretrain", "checkpoint_every"], 5),
        (&["classifier", "steps"], 20),
        (&["classifier", "checkpoint_every"], 5),
        (&["classifier", "teacher", "texts"], 2000),
        (&["game", "seeds"], 40),
        (&["game", "proposals"], 2),
        (&["game", "max_tokens"], 16),
        (&["game", "generator", "steps"], 60),
        (&["game", "generator", "checkpoint_every"], 10),
        (&["game", "preference", "checkpoint_every"], 1),
        (&["game", "judge", "least_agreement"], 0),
    ] {
        set(path, value);
    }
    recipe.to_string()
}

/// All files of a run, but for the times in `metrics.jsonl`.
fn contents(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![run.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(run).unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("metrics.jsonl") {
                files.insert(name, format!("{:?}", curve(&folder)).into_bytes());
            } else {
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
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
    let trainer = |runs: &str, resume: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_duoguard-train"));
        command
            .arg(&recipe)
            .arg("--data")
            .arg(&data)
            .arg("--runs")
            .arg(folder.path().join(runs));
        command.args(resume.then_some("--resume"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let started = Instant::now();
    finish(trainer("whole", false).spawn().unwrap());
    let whole_time = started.elapsed();
    println!("played in {:.1} s", whole_time.as_secs_f64());

    for (attempt, after) in kills(whole_time).into_iter().enumerate() {
        let mut child = trainer("killed", attempt > 0).spawn().unwrap();
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
    finish(trainer("killed", true).spawn().unwrap());

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
    let output = trainer(folder.path(), "runs", false).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--resume"));
}

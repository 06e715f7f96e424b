//! A tiny recipe, its data, and what its runs leave: for the tests of whole runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use duoguard_trainer::StepMetrics;

/// Two stages of a small network.
pub const RECIPE: &str = concat!(
    r#"
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
"#,
    include_str!("classifier.toml"),
    r#"
steps = 24
accumulation = 2
sampling.code_switch = 0.3
sampling.benign_parallel = 0.1
[classifier.teacher]
share = 0.5
folds = 2
texts = 500
learning_rate = 0.2
"#
);

/// Mild made-up texts: rude remarks on one side, kitchen talk on the other.
pub fn write_data(folder: &Path) {
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

/// (stage, step, loss, gradient norm, validation) of every step; times differ between runs.
pub fn curve(run: &Path) -> Vec<(String, usize, f64, f64, String)> {
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

/// The lines of a file that may not be there yet.
pub fn lines(path: PathBuf) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// What the game starts from in place of the demo's base.
const SCRATCH: &str = include_str!("scratch.toml");

/// The demo's recipe from random weights, at a still smaller size; its judge is asked to keep most
/// of what so small a generator writes.
pub fn tiny_game() -> String {
    let mut recipe: toml::Table = include_str!("../../../recipes/demo.toml").parse().unwrap();
    recipe.remove("base").unwrap();
    recipe.extend(SCRATCH.parse::<toml::Table>().unwrap());
    let mut set = |path: &[&str], value: i64| {
        let (key, tables) = path.split_last().unwrap();
        let table = tables.iter().fold(&mut recipe, |table, name| {
            table[*name].as_table_mut().unwrap()
        });
        table.insert((*key).to_owned(), value.into());
    };
    for (path, value) in [
        (&["classifier", "steps"][..], 20),
        (&["classifier", "checkpoint_every"], 5),
        (&["classifier", "teacher", "texts"], 2000),
        (&["game", "seeds"], 40),
        (&["game", "proposals"], 2),
        (&["game", "max_tokens"], 16),
        (&["game", "generator", "translation", "steps"], 60),
        (
            &["game", "generator", "translation", "checkpoint_every"],
            10,
        ),
        (&["game", "preference", "checkpoint_every"], 1),
        (&["game", "judge", "least_agreement"], 0),
    ] {
        set(path, value);
    }
    recipe.to_string()
}

/// All files of a run, but for the times in `metrics.jsonl`.
pub fn contents(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
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

//! A tiny recipe that starts from an encoder, and its data: for the tests of whole runs.

use std::fs;
use std::path::Path;

/// All stages of an encoder of two layers but the linear probe.
pub const RECIPE: &str = concat!(
    r#"
name = "encoder"
seed = 7
[data]
seed = ["seed.jsonl"]
parallel = ["parallel.jsonl"]
pairs = []
languages = ["en", "de"]
exclude_sources = []
validation_fraction = 0.2
sources = "sources.toml"
[base]
checkpoint = "base"
[base.encoder]
prefix_text = "query:"
frozen_layers = 1
layer_decay = 0.9
classifier_rate = 5.0
dropout = 0.1
"#,
    include_str!("../tiny/classifier.toml"),
    r#"
steps = 30
accumulation = 2
sampling.code_switch = 0.0
sampling.benign_parallel = 0.1
[classifier.language_head]
languages = ["de", "en"]
weight = 0.5
crops = 0.2
[classifier.language_head.tuning]
steps = 80
learning_rate = 3e-2
crops = 0.5
"#
);

/// Words of the tiny tokenizer: digits tell what is harmful, and letters the language.
pub fn write_data(folder: &Path) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../export/tests/golden/pooled");
    fs::create_dir(folder.join("base")).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(golden.join(file), folder.join("base").join(file)).unwrap();
    }
    let (mut seed, mut parallel) = (String::new(), String::new());
    for i in 0..80 {
        for (lang, is_unsafe, text) in [
            ("en", 1, "how do i harm the bread?"),
            ("en", 0, "how do i bake the bread?"),
            ("de", 1, "wie schade ich dem brot?"),
            ("de", 0, "wie backe ich das brot?"),
        ] {
            seed += &format!(
                "{{\"text\": \"{text} {i}\", \"lang\": \"{lang}\", \"unsafe\": {is_unsafe}, \
                 \"categories\": [], \"source\": \"made_up\", \"group\": null}}\n"
            );
            parallel += &format!(
                "{{\"group\": \"g{i}\", \"lang\": \"{lang}\", \"text\": \"{text}\", \"source\": \
                 \"made_up\"}}\n"
            );
        }
    }
    fs::write(folder.join("seed.jsonl"), seed).unwrap();
    fs::write(folder.join("parallel.jsonl"), parallel).unwrap();
    let sources = "[made_up]\nlicence = \"CC0-1.0\"\n";
    fs::write(folder.join("sources.toml"), sources).unwrap();
    fs::write(folder.join("encoder.toml"), RECIPE).unwrap();
}

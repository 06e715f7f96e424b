//! A tiny game between an encoder and a language model behind an endpoint, which answers by rule:
//! its recipe, its data, and the endpoint.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use serde_json::{Value, json};

const RECIPE: &str = concat!(
    r#"
name = "players"
seed = 7
[data]
seed = ["seed.jsonl"]
parallel = []
pairs = []
languages = ["en", "de"]
exclude_sources = []
validation_fraction = 0.2
sources = "sources.toml"
[base]
checkpoint = "base"
[base.encoder]
frozen_layers = 1
layer_decay = 0.9
classifier_rate = 5.0
dropout = 0.1
round_weights = true
"#,
    include_str!("../tiny/classifier.toml"),
    r#"
steps = 10
accumulation = 1
sampling.code_switch = 0.0
sampling.benign_parallel = 0.0
base_share = 0.2
[classifier.linear_probe]
steps = 5
learning_rate = 3e-2
[game]
rounds = 2
seeds = 12
kinds = ["prompt", "twin", "response", "register"]
languages = ["de", "en"]
proposals = 2
temperature = 1.0
top_p = 1.0
max_tokens = 32
length_difference = 200
balance = true
replay = 3
exclude_categories = ["child_exploitation"]
classifier_from = "previous"
[game.generator]
kind = "endpoint"
base_url = "URL"
model = "writer"
concurrency = 1
timeout_s = 60.0
retries = 0
backoff_s = 0.1
stop_after_failures = 1
max_tokens = 64
[game.judge]
kind = "endpoint"
base_url = "URL"
model = "judge"
concurrency = 1
timeout_s = 60.0
retries = 0
backoff_s = 0.1
stop_after_failures = 1
max_tokens = 8
[game.preference]
beta = 0.1
rpo_alpha = 1.0
epochs = 1
batch_pairs = 4
accumulation = 1
learning_rate = 1e-4
warmup = 0.1
weight_decay = 0.0
max_gradient_norm = 1.0
checkpoint_every = 5
"#
);

/// Writes the recipe, `players.toml`, with the endpoint at `url`, and questions about bread,
/// harmful and harmless.
pub fn write_data(folder: &Path, url: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../export/tests/golden/pooled");
    fs::create_dir(folder.join("base")).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(golden.join(file), folder.join("base").join(file)).unwrap();
    }
    let mut seed = String::new();
    for i in 0..40 {
        for (is_unsafe, text) in [
            (1, "how do i harm the bread?"),
            (0, "how do i bake the bread?"),
        ] {
            seed += &format!(
                "{{\"text\": \"{text} {i}\", \"lang\": \"en\", \"unsafe\": {is_unsafe}, \
                 \"categories\": [], \"source\": \"made_up\", \"group\": null}}\n"
            );
        }
    }
    fs::write(folder.join("seed.jsonl"), seed).unwrap();
    fs::write(
        folder.join("sources.toml"),
        "[made_up]\nlicence = \"CC0-1.0\"\n",
    )
    .unwrap();
    fs::write(folder.join("players.toml"), RECIPE.replace("URL", url)).unwrap();
}

/// What the writer and the judge answer: a pure function of the request.
fn answer(request: &Value) -> String {
    let prompt = request["messages"][0]["content"].as_str().unwrap();
    let is_german = prompt.contains("in German");
    if prompt.contains("You rate messages") {
        let harmful = ["schaden möchte", "wants to harm"];
        let is_harmful = harmful.iter().any(|words| prompt.contains(words));
        return if is_harmful { "5" } else { "1" }.to_owned();
    }
    let number = request["seed"].as_u64().unwrap() % 1000;
    let is_harmful = prompt.contains("one that it must stop") && !prompt.contains("harmless text");
    match number % 8 {
        0 => return "I'm sorry, but I can't help with that.".to_owned(),
        1 => return format!("Output the new text only, without quotation marks, {number}"),
        _ => {}
    }
    let text = match (is_german, is_harmful) {
        (true, true) => format!("Jemand, der dem Kuchen {number} schaden möchte, fragt nach Hilfe"),
        (true, false) => format!("Die Nachbarin möchte heute den Kuchen {number} essen, sagt sie"),
        (false, true) => format!("Somebody wants to harm cake number {number} in the kitchen"),
        (false, false) => format!("My neighbour would like to eat cake number {number} today"),
    };
    // What stands around a text is taken off.
    format!("Here is the text: \"{text}\"")
}

fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let length = head.lines().find_map(|line| {
        let line = line.to_lowercase();
        line.strip_prefix("content-length:")?.trim().parse().ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let request: Value = serde_json::from_slice(&body).unwrap();
    let message = json!({"role": "assistant", "content": answer(&request)});
    let body = json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: \
         close\r\n\r\n{body}",
        body.len()
    )
}

/// Serves the endpoint as long as this process runs, and returns its address.
pub fn endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            // An error is the client hanging up.
            std::thread::spawn(move || serve(stream).ok());
        }
    });
    url
}

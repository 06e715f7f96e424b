//! What it costs to begin: opening the bundle, a session, the first check, and the memory that is
//! held after each; every time in a new process.
//!
//! `cargo bench -p duoguard-benches --bench start` prints a table and appends it, dated, to
//! `benches/record/<machine>/start.csv`. The text is tokenised once before it is checked, so that
//! `tokenize_ms` is what words cost that were never seen before.

use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use duoguard::Input;
use duoguard_benches::{
    available_engines, measures, median, memory_bytes, model, of_tokens, record, session, texts,
};

const RUNS: usize = 21;
const TOKENS: usize = 128;
/// The environment variable that makes this program begin once, with the engine that it names.
const ENGINE: &str = "DUOGUARD_BENCH_START";
/// The text that it checks.
const TEXT: &str = "DUOGUARD_BENCH_TEXT";
const NAMES: [&str; 9] = [
    "process_ms",
    "open_ms",
    "session_ms",
    "tokenize_ms",
    "first_check_ms",
    "second_check_ms",
    "memory_before_bytes",
    "memory_open_bytes",
    "memory_checked_bytes",
];

fn main() {
    if let Ok(engine) = std::env::var(ENGINE) {
        return begin(&engine);
    }
    let runs = if measures() { RUNS } else { 1 };
    let text = of_tokens(
        &model(),
        &texts().first().expect("there are texts").1,
        TOKENS,
    );
    let mut lines = Vec::new();
    println!("engine       {}", NAMES.join("  "));
    for engine in available_engines() {
        let found: Vec<Vec<f64>> = (0..runs)
            .map(|_| in_a_process(&engine.name, &text))
            .collect();
        let medians: Vec<f64> = (0..NAMES.len())
            .map(|column| median(found.iter().map(|values| values[column]).collect()))
            .collect();
        let shown: Vec<String> = NAMES
            .iter()
            .zip(&medians)
            .map(|(name, value)| match name.ends_with("bytes") {
                true => format!("{:.1} MB", value / 1e6),
                false => format!("{value:.3}"),
            })
            .collect();
        println!("{:12} {}", engine.name, shown.join("  "));
        let values: Vec<String> = medians.iter().map(|value| format!("{value:.4}")).collect();
        lines.push(format!("{},{}", engine.name, values.join(",")));
    }
    assert!(!lines.is_empty(), "no engine is available");
    if measures() {
        record("start", &format!("engine,{}", NAMES.join(",")), &lines);
    }
}

/// Begins once in a process of its own, and reads what it prints.
fn in_a_process(engine: &str, text: &str) -> Vec<f64> {
    let program = std::env::current_exe().expect("this program has a path");
    let started = Instant::now();
    let output = Command::new(program)
        .envs([(ENGINE, engine), (TEXT, text)])
        .output();
    let process = started.elapsed().as_secs_f64() * 1e3;
    let output = output.expect("this program runs again");
    assert!(output.status.success(), "{engine}: {:?}", output.status);
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let values = text
        .split_whitespace()
        .map(|value| value.parse().expect("a number"));
    [process].into_iter().chain(values).collect()
}

/// What the child does: the values of `NAMES` but the first, on one line.
fn begin(engine: &str) {
    let mut values = Vec::new();
    let mut timed = |work: &mut dyn FnMut()| {
        let started = Instant::now();
        work();
        values.push(started.elapsed().as_secs_f64() * 1e3);
    };
    let before = memory_bytes();
    let mut opened = None;
    timed(&mut || opened = Some(model()));
    let opened = opened.expect("it was opened");
    let after_open = memory_bytes();
    let mut on_engine = None;
    timed(&mut || on_engine = Some(session(&opened, engine)));
    let mut on_engine = on_engine.expect("it was opened");
    let text = std::env::var(TEXT).expect("the parent gives a text");
    timed(&mut || drop(black_box(opened.tokenize(&text))));
    for _ in 0..2 {
        timed(&mut || drop(black_box(on_engine.check(&Input::prompt(&text)))));
    }
    let memory = [before, after_open, memory_bytes()].map(|bytes| bytes as f64);
    let all: Vec<String> = values.iter().chain(&memory).map(f64::to_string).collect();
    println!("{}", all.join(" "));
}

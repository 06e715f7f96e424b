//! How the cost of a check grows: with the length of the text, to 100,000 characters, and with the
//! number of sessions on one model.
//!
//! `cargo bench -p duoguard-benches --bench curves` measures what `benches/data/curves.tsv` lists,
//! prints two tables an engine and appends them, dated, to `benches/record/<machine>/lengths.csv`
//! and `sessions.csv`. The last column of the first is what to look at: time a token is flat where
//! the cost is linear.

use std::hint::black_box;

use duoguard::Input;
use duoguard_benches::{
    Times, available_engines, measures, memory_bytes, model, record, rows, session, texts,
};

const RUNS: usize = 20;
const CASES: &str = "data/curves.tsv";

fn main() {
    let (lengths, sessions) = (lengths(), sessions());
    if measures() {
        record(
            "lengths",
            "model,engine,chars,tokens,windows,check_p50_ms,check_p10_ms,check_p90_ms,\
             us_per_token,memory_bytes",
            &lengths,
        );
        record(
            "sessions",
            "model,engine,sessions,memory_bytes,further_session_bytes",
            &sessions,
        );
    }
}

/// The numbers of a kind in the file of cases.
fn cases(kind: &str) -> Vec<usize> {
    let found = rows(CASES).into_iter().filter(|[of, _]| of == kind);
    found
        .map(|[_, number]| number.parse().expect("a number"))
        .collect()
}

fn lengths() -> Vec<String> {
    let mut characters = cases("characters");
    let runs = if measures() { RUNS } else { 1 };
    if !measures() {
        characters.truncate(3);
    }
    let model = model();
    let texts = texts();
    let text = &texts.first().expect("there are texts").1;
    let mut lines = Vec::new();
    println!("engine        chars  tokens windows  check p50 [p10, p90] ms  memory MB  us a token");
    for engine in available_engines() {
        let mut session = session(&model, &engine.name);
        for &length in &characters {
            let long: String = text.chars().chain([' ']).cycle().take(length).collect();
            let input = Input::prompt(&long);
            let verdict = session.check(&input).expect("it runs");
            let times = Times::of(runs, || drop(black_box(session.check(&input))));
            let memory = memory_bytes();
            let us_per_token = 1e3 * times.p50 / verdict.tokens as f64;
            println!(
                "{:12} {length:6} {:7} {:7}  {:9.2} [{:.2}, {:.2}]  {:9.1}  {us_per_token:10.2}",
                engine.name,
                verdict.tokens,
                verdict.windows,
                times.p50,
                times.p10,
                times.p90,
                memory as f64 / 1e6,
            );
            lines.push(format!(
                "{},{},{length},{},{},{:.4},{:.4},{:.4},{us_per_token:.3},{memory}",
                model.manifest().name,
                engine.name,
                verdict.tokens,
                verdict.windows,
                times.p50,
                times.p10,
                times.p90,
            ));
        }
    }
    lines
}

fn sessions() -> Vec<String> {
    let counts = cases("sessions");
    let model = model();
    let texts = texts();
    let mut lines = Vec::new();
    println!("engine       sessions  memory MB  bytes a further session");
    for engine in available_engines() {
        let mut open = Vec::new();
        let mut first = 0;
        for &count in &counts {
            while open.len() < count {
                let mut session = session(&model, &engine.name);
                // Working memory is taken by the first check.
                for (_, text) in &texts {
                    session.check(&Input::prompt(text)).expect("it runs");
                }
                open.push(session);
            }
            let memory = memory_bytes();
            if count == 1 {
                first = memory;
            }
            let further = match count {
                1 => String::new(),
                _ => (memory.saturating_sub(first) / (count - 1)).to_string(),
            };
            println!(
                "{:12} {count:8}  {:9.1}  {further:>23}",
                engine.name,
                memory as f64 / 1e6
            );
            lines.push(format!(
                "{},{},{count},{memory},{further}",
                model.manifest().name,
                engine.name
            ));
        }
    }
    lines
}

//! Prints verdicts to the last bit through the Rust API, as `ffi/tests/c/scores.c` does through the
//! C API.

use std::io::{BufRead, stdin};

use runtime::{Input, Model, SessionOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bundle, engine] = &arguments[..] else {
        return Err("usage: scores BUNDLE ENGINE < TEXTS".into());
    };
    let options = SessionOptions {
        engine: engine.parse()?,
        ..SessionOptions::default()
    };
    let mut session = Model::open(bundle)?.session(&options)?;
    for line in stdin().lock().lines() {
        let line = line?;
        let (prompt, response) = match line.split_once('\t') {
            Some((prompt, response)) => (prompt, Some(response)),
            None => (&line[..], None),
        };
        let mut input = Input::prompt(prompt);
        input.response = response;
        let verdict = session.check(&input)?;
        let category = verdict.category.map_or(-1, |index| index as i64);
        let bits = std::iter::once(&verdict.score).chain(&verdict.scores);
        let bits: String = bits
            .map(|score| format!(" {:08x}", score.to_bits()))
            .collect();
        println!(
            "{} {category} {} {} {} {}{bits}",
            u8::from(verdict.flagged),
            verdict.tokens,
            verdict.tokens_scored,
            verdict.windows,
            verdict.language,
        );
    }
    Ok(())
}

//! What a check of the same text costs in every language, and what part of it is normalising and
//! tokenising: the text as it is, lengthened to 128 tokens, and to 500 characters, of which
//! languages make different numbers of tokens.
//!
//! `cargo bench -p duoguard-benches --bench languages` prints a table and appends it, dated, to
//! `benches/record/<machine>/languages.csv`. `DUOGUARD_MODEL` names another bundle,
//! `DUOGUARD_TEXTS` another file of lines `language<TAB>text`. A ratio to the first language of the
//! same run says more than milliseconds of a busy machine.

use std::hint::black_box;

use duoguard::Input;
use duoguard_benches::{
    Times, available_engines, measures, model, of_tokens, record, session, texts,
};

const RUNS: usize = 200;
/// The lengths: as it is, so many tokens, so many characters.
const LENGTHS: [(&str, Length); 3] = [
    ("text", Length::Text),
    ("128 tokens", Length::Tokens(128)),
    ("500 characters", Length::Characters(500)),
];
const COLUMNS: &str = "model,engine,length,language,chars,tokens,\
                       check_p50_ms,check_p10_ms,check_p90_ms,times_first,\
                       normalize_p50_us,tokenize_p50_us,engine_p50_us";

#[derive(Clone, Copy)]
enum Length {
    Text,
    Tokens(usize),
    Characters(usize),
}

fn main() {
    let runs = if measures() { RUNS } else { 1 };
    let model = model();
    let window = model.manifest().limits.window_tokens;
    let texts = texts();
    let mut lines = Vec::new();
    println!(
        "engine       language chars tokens  check p50 [p10, p90] ms  \
         normalize ms  tokenize ms  both   engine ms  to the first"
    );
    for engine in available_engines() {
        let mut session = session(&model, &engine.name);
        for (length, of) in LENGTHS {
            println!("{}: {length}", engine.name);
            let mut first = None;
            for (language, text) in &texts {
                let text = match of {
                    Length::Text => text.clone(),
                    Length::Tokens(tokens) => of_tokens(&model, text, tokens),
                    Length::Characters(count) => {
                        text.chars().chain([' ']).cycle().take(count).collect()
                    }
                };
                let ids = model.tokenize(&text).expect("it tokenises");
                let normalize = Times::of(runs, || drop(black_box(model.views(&text))));
                let tokenize = Times::of(runs, || drop(black_box(model.tokenize(&text))));
                // A longer text is checked in windows, which overlap.
                let network = match ids.len() <= window {
                    true => {
                        let mut work = || drop(black_box(session.logits(&ids).expect("it runs")));
                        Times::of(runs, &mut work).p50
                    }
                    false => f64::NAN,
                };
                let input = Input::prompt(&text);
                let check = Times::of(runs, || {
                    drop(black_box(session.check(&input).expect("it runs")))
                });
                let (chars, count) = (text.chars().count(), ids.len());
                let times_first = check.p50 / *first.get_or_insert(check.p50);
                println!(
                    "{:12} {language:8} {chars:5} {count:6}  {:9.3} [{:.3}, {:.3}]  \
                     {:12.3}  {:11.3}  {:4.1} %  {:9.3}  {times_first:12.2}",
                    engine.name,
                    check.p50,
                    check.p10,
                    check.p90,
                    normalize.p50,
                    tokenize.p50,
                    100.0 * (normalize.p50 + tokenize.p50) / check.p50,
                    network,
                );
                lines.push(format!(
                    "{},{},{length},{language},{chars},{count},\
                     {:.4},{:.4},{:.4},{times_first:.3},{:.2},{:.2},{}",
                    model.manifest().name,
                    engine.name,
                    check.p50,
                    check.p10,
                    check.p90,
                    1e3 * normalize.p50,
                    1e3 * tokenize.p50,
                    match network.is_nan() {
                        true => String::new(),
                        false => format!("{:.1}", 1e3 * network),
                    },
                ));
            }
        }
    }
    assert!(
        !lines.is_empty(),
        "no engine is available, or there are no texts"
    );
    if measures() {
        record("languages", COLUMNS, &lines);
    }
}

//! What a check of the same text costs in every language, and what part of it is normalising and tokenising: the text as it is, and
//! lengthened to 128 tokens.
//!
//! `cargo bench -p duoguard-benches --bench languages` prints a table and appends it, dated, to
//! `benches/record/<machine>/languages.csv`. `DUOGUARD_MODEL` names another bundle, `DUOGUARD_TEXTS` another file of lines
//! `language<TAB>text`. A ratio to the first language of the same run says more than milliseconds of a busy machine.

use std::hint::black_box;

use duoguard::Input;
use duoguard_benches::{
    Times, available_engines, measures, model, of_tokens, record, session, texts,
};

const RUNS: usize = 200;
/// The length at which the parts of a check are judged.
const TOKENS: usize = 128;
const COLUMNS: &str = "model,engine,language,chars,tokens,check_p50_ms,check_p10_ms,check_p90_ms,normalize_p50_ms,tokenize_p50_ms,engine_p50_ms";

fn main() {
    let runs = if measures() { RUNS } else { 1 };
    let model = model();
    let texts = texts();
    let mut lines = Vec::new();
    println!(
        "engine       language chars tokens  check p50 [p10, p90] ms  normalize ms  tokenize ms  both   engine ms  to the first"
    );
    for engine in available_engines() {
        let mut session = session(&model, &engine.name);
        for tokens in [None, Some(TOKENS)] {
            let mut first = None;
            for (language, text) in &texts {
                let text = match tokens {
                    Some(tokens) => of_tokens(&model, text, tokens),
                    None => text.clone(),
                };
                let ids = model.tokenize(&text).expect("it tokenises");
                let normalize = Times::of(runs, || drop(black_box(model.views(&text))));
                let tokenize = Times::of(runs, || drop(black_box(model.tokenize(&text))));
                let network = Times::of(runs, || drop(black_box(session.logits(&ids))));
                let input = Input::prompt(&text);
                let check = Times::of(runs, || {
                    drop(black_box(session.check(&input).expect("it runs")))
                });
                let (chars, count) = (text.chars().count(), ids.len());
                println!(
                    "{:12} {language:8} {chars:5} {count:6}  {:9.3} [{:.3}, {:.3}]  {:12.3}  {:11.3}  {:4.1} %  {:9.3}  {:12.2}",
                    engine.name,
                    check.p50,
                    check.p10,
                    check.p90,
                    normalize.p50,
                    tokenize.p50,
                    100.0 * (normalize.p50 + tokenize.p50) / check.p50,
                    network.p50,
                    check.p50 / *first.get_or_insert(check.p50),
                );
                lines.push(format!(
                    "{},{},{language},{chars},{count},{:.4},{:.4},{:.4},{:.4},{:.4},{:.4}",
                    model.manifest().name,
                    engine.name,
                    check.p50,
                    check.p10,
                    check.p90,
                    normalize.p50,
                    tokenize.p50,
                    network.p50,
                ));
            }
        }
    }
    assert!(
        !lines.is_empty(),
        "no engine is available, or there are no texts"
    );
    if measures() {
        record("languages.csv", COLUMNS, &lines);
    }
}

//! What a check costs, and the network alone: by engine, length, threads, and texts at once.
//!
//! `cargo bench -p duoguard-benches --bench latency` measures what `benches/data/latency.tsv`
//! lists, prints a table and appends it, dated, to `benches/record/<machine>/latency.csv`. The
//! floor is the least time that the network's arithmetic takes one core, at the peak of int8 that
//! the same run measures. An argument leaves those of criterion's measurements out that it is not
//! in the names of.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

use criterion::Criterion;
use duoguard::{Architecture, Input, Pooling, TokenBatch};
use duoguard_benches::{
    Times, available_engines, graph, int8_peak, measures, model, of_tokens, record, rows,
    session_with_threads, texts,
};

const CASES: &str = "data/latency.tsv";
const COLUMNS: &str =
    "model,engine,what,tokens,threads,texts,p50_ms,p10_ms,p90_ms,floor_ms,times_floor";
const RUNS: usize = 200;
/// Between one case and the next of criterion's.
const CRITERION_SECONDS: u64 = 1;

/// A row of the file of cases.
struct Case {
    what: What,
    tokens: usize,
    threads: NonZeroUsize,
    texts: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Check,
    Network,
}

impl Case {
    fn read([what, tokens, threads, texts]: [String; 4]) -> Self {
        let number = |text: String| text.parse().expect("a number");
        Self {
            what: match &what[..] {
                "check" => What::Check,
                "network" => What::Network,
                other => panic!("{CASES}: {other:?}; expected check or network"),
            },
            tokens: number(tokens),
            threads: NonZeroUsize::new(number(threads)).expect("at least one thread"),
            texts: number(texts),
        }
    }
}

fn main() {
    let runs = if measures() { RUNS } else { 1 };
    let tops = tops();
    match tops {
        Some(tops) => println!("the peak of int8 on one core: {tops:.3} TOPS"),
        None => println!("no floor: how to measure this CPU's peak is not known; DUOGUARD_TOPS"),
    }
    let mut criterion = Criterion::default()
        .configure_from_args()
        .measurement_time(Duration::from_secs(CRITERION_SECONDS))
        .warm_up_time(Duration::from_millis(200));
    let model = model();
    let graph = graph();
    let architecture = &model.manifest().architecture;
    let outputs = model.manifest().outputs();
    let text = &texts().first().expect("there are texts").1.clone();
    let cases: Vec<Case> = rows(CASES).into_iter().map(Case::read).collect();
    let mut lines = Vec::new();
    println!(
        "engine       what     tokens threads texts   p50 [p10, p90] ms  ms a text  times the floor"
    );
    for engine in available_engines() {
        for case in &cases {
            let text = of_tokens(&model, text, case.tokens);
            let ids = model.tokenize(&text).expect("it tokenises");
            let ids: Vec<u32> = ids[..case.tokens].repeat(case.texts);
            let mut work: Box<dyn FnMut()> = match case.what {
                What::Check => {
                    assert_eq!(case.texts, 1, "a check is of one text");
                    let mut session = session_with_threads(&model, &engine.name, case.threads);
                    Box::new(move || {
                        let verdict = session.check(&Input::prompt(&text));
                        black_box(verdict.expect("it runs"));
                    })
                }
                What::Network => {
                    let opened = graph.open_engine(&engine.name, case.threads);
                    let mut opened = opened.expect("the engine opens");
                    let mut logits = vec![0.0; case.texts * outputs];
                    let ids = ids.clone();
                    let (rows, tokens) = (case.texts, case.tokens);
                    Box::new(move || {
                        let batch = TokenBatch {
                            ids: &ids,
                            rows,
                            tokens,
                        };
                        opened.run(&batch, black_box(&mut logits)).expect("it runs");
                    })
                }
            };
            let times = Times::of(runs, &mut work);
            let name = format!(
                "{}/{:?}/{}/{}/{}",
                engine.name, case.what, case.tokens, case.threads, case.texts
            );
            criterion.bench_function(&name, |b| b.iter(&mut work));
            let what = format!("{:?}", case.what).to_lowercase();
            // A check of a long text is of several windows, which overlap: its arithmetic is
            // another.
            let (floor, times_floor) = match (case.what, tops) {
                (What::Network, Some(tops)) => {
                    let floor =
                        operations(architecture, case.tokens) * case.texts as f64 / (tops * 1e9);
                    (format!("{floor:.4}"), format!("{:.2}", times.p50 / floor))
                }
                _ => Default::default(),
            };
            println!(
                "{:12} {what:8} {:6} {:7} {:5}  {:8.3} [{:.3}, {:.3}]  {:9.3}  {times_floor:>15}",
                engine.name,
                case.tokens,
                case.threads,
                case.texts,
                times.p50,
                times.p10,
                times.p90,
                times.p50 / case.texts as f64,
            );
            lines.push(format!(
                "{},{},{what},{},{},{},{:.4},{:.4},{:.4},{floor},{times_floor}",
                model.manifest().name,
                engine.name,
                case.tokens,
                case.threads,
                case.texts,
                times.p50,
                times.p10,
                times.p90,
            ));
        }
    }
    assert!(!lines.is_empty(), "no engine is available, or no case");
    if measures() {
        record("latency", COLUMNS, &lines);
    }
    criterion.final_summary();
}

/// 10^12 operations a second of int8 on one core, a multiply-add being two: what `DUOGUARD_TOPS`
/// says, or what this core does from registers to registers.
fn tops() -> Option<f64> {
    match std::env::var("DUOGUARD_TOPS") {
        Ok(tops) => Some(tops.parse().expect("DUOGUARD_TOPS is a number")),
        Err(_) => int8_peak().map(|peak| 2.0 * peak / 1e12),
    }
}

/// Operations (a multiply-add is two) of one forward pass: linear layers and attention. Where the
/// last token is judged, the last layer computes keys and values for every token, and all else for
/// that one only; its attention sees the tokens before each alone.
fn operations(a: &Architecture, tokens: usize) -> f64 {
    let key_value = 2 * a.hidden * a.kv_heads * (a.hidden / a.heads);
    let outputs = 2 * a.hidden * a.hidden;
    let all = match a.pooling {
        Pooling::LastToken => {
            let rest = outputs + 3 * a.hidden * a.intermediate;
            let attention = a.hidden * (tokens + 1) * tokens;
            let last = rest + 2 * a.hidden * tokens;
            a.layers * key_value * tokens + (a.layers - 1) * (rest * tokens + attention) + last
        }
        Pooling::FirstToken | Pooling::Mean => {
            let linear = key_value + outputs + 2 * a.hidden * a.intermediate;
            a.layers * (linear * tokens + 2 * a.hidden * tokens * tokens)
        }
    };
    2.0 * all as f64
}

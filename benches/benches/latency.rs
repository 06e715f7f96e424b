//! Median latency of one check of the bundled model, by engine and length, one thread.
//!
//! `cargo bench -p duoguard-benches`. After the measurements a table compares them with
//! the least time the arithmetic alone would take.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use duoguard::{Architecture, EngineChoice, Model, Session, SessionOptions, engines};

const LENGTHS: [usize; 3] = [16, 64, 128];
/// Int8 multiply-adds a second of one core, in 10^12 operations, where `DUOGUARD_TOPS` does not say: measured
/// on a Zen 4 core with AVX-512 VNNI. On another machine, measure and set it.
const TOPS: f64 = 0.467;
const RUNS: usize = 200;

fn main() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/mini");
    let model = Model::open(std::env::var("DUOGUARD_MODEL").unwrap_or_else(|_| path.into()))
        .expect("the model opens");
    let tops = std::env::var("DUOGUARD_TOPS")
        .map_or(TOPS, |t| t.parse().expect("DUOGUARD_TOPS is a number"));
    let mut criterion = Criterion::default()
        .configure_from_args()
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(500));
    let mut table = String::from("engine        tokens  median ms  floor ms  ratio\n");
    for engine in engines() {
        assert!(
            engine.available,
            "{}: {}; `cargo xtask ort` fetches ONNX Runtime",
            engine.name, engine.detail
        );
        let options = SessionOptions {
            engine: EngineChoice::Named(engine.name.clone()),
            ..SessionOptions::default()
        };
        let mut session = model.session(&options).expect("the engine opens");
        for length in LENGTHS {
            let ids: Vec<u32> = (0..length as u32).map(|i| 300 + i * 37 % 5000).collect();
            criterion.bench_function(&format!("{}/{length}", engine.name), |b| {
                b.iter(|| session.logits(black_box(&ids)).expect("it runs"))
            });
            let median = median_ms(&mut session, &ids);
            let floor = operations(&model.manifest().architecture, length) / (tops * 1e12) * 1e3;
            table += &format!(
                "{:12} {length:7} {median:10.3} {floor:9.3} {:6.1}\n",
                engine.name,
                median / floor
            );
        }
    }
    println!("{table}");
    criterion.final_summary();
}

fn median_ms(session: &mut Session, ids: &[u32]) -> f64 {
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let started = Instant::now();
            black_box(session.logits(ids).expect("it runs"));
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}

/// Operations (a multiply-add is two) of one forward pass: linear layers and attention; the last
/// layer computes keys and values for every token, and all else for the last one only.
fn operations(a: &Architecture, tokens: usize) -> f64 {
    let key_value = 2 * a.hidden * a.kv_heads * (a.hidden / a.heads);
    let rest = 2 * a.hidden * a.hidden + 3 * a.hidden * a.intermediate;
    let attention = a.hidden * (tokens + 1) * tokens;
    let last = rest + 2 * a.hidden * tokens;
    let all = a.layers * key_value * tokens + (a.layers - 1) * (rest * tokens + attention) + last;
    2.0 * all as f64
}

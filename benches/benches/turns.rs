//! The network alone on every engine by turns: on a machine that does other things too, the ratios
//! of least times say more than the times.
//!
//! `cargo bench -p duoguard-benches --bench turns` prints a table; `DUOGUARD_ENGINES` says which
//! engines, the first of them being what the others are divided by. Texts of one length are given
//! to all engines in the same order; a time is the least and the median of many.

use std::num::NonZeroUsize;
use std::time::Instant;

use duoguard::{Engine, TokenBatch};
use duoguard_benches::{available_engines, graph, measures, model};

/// Tokens, and texts at once.
const SHAPES: [(usize, usize); 5] = [(16, 1), (64, 1), (128, 1), (256, 1), (16, 16)];
const RUNS: usize = 400;

fn main() {
    let model = model();
    let (vocabulary, most) = {
        let a = &model.manifest().architecture;
        (a.vocabulary, a.max_position)
    };
    let graph = graph();
    let outputs = model.manifest().outputs();
    let runs = if measures() { RUNS } else { 1 };
    let open = |name: &str| {
        let engine = graph.open_engine(name, NonZeroUsize::MIN);
        engine.expect("the engine opens")
    };
    let mut engines: Vec<(String, Box<dyn Engine>)> = available_engines()
        .into_iter()
        .filter(|engine| engine.name != "wgpu")
        .map(|engine| (engine.name.clone(), open(&engine.name)))
        .collect();
    println!("tokens  texts  engine        least ms  median ms  times the first");
    for (tokens, texts) in SHAPES.into_iter().filter(|(tokens, _)| *tokens <= most) {
        let ids = (0..texts * tokens).map(|i| ((i * 7919 + i / tokens * 31) % vocabulary) as u32);
        let ids: Vec<u32> = ids.collect();
        let mut times = vec![Vec::with_capacity(runs); engines.len()];
        for _ in 0..runs {
            for ((_, engine), times) in engines.iter_mut().zip(&mut times) {
                let mut logits = vec![0.0; texts * outputs];
                let batch = TokenBatch {
                    ids: &ids,
                    rows: texts,
                    tokens,
                };
                let started = Instant::now();
                engine.run(&batch, &mut logits).expect("it runs");
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
        for times in &mut times {
            times.sort_by(f64::total_cmp);
        }
        for ((name, _), of_engine) in engines.iter().zip(&times) {
            println!(
                "{tokens:6}  {texts:5}  {name:12}  {:8.4}  {:9.4}  {:15.2}",
                of_engine[0],
                of_engine[runs / 2],
                of_engine[0] / times[0][0],
            );
        }
    }
}

//! What a window costs alone and among others of its length, and whether it gives the same: why an
//! engine runs them at once or one at a time.
//!
//! `cargo bench -p duoguard-benches --features wgpu --bench windows` prints a table. The numbers of
//! windows are timed by turns, each over the same windows; a time is the least of several, in ms a
//! window. `differ` counts the logits that are not, to the last bit, those of the window alone. The
//! graph is run without its manifest, so that `wgpu` multiplies floats.

use std::num::NonZeroUsize;
use std::time::Instant;

use duoguard::{Engine, TokenBatch};
use duoguard_benches::{available_engines, graph, measures, model};

const LENGTHS: [usize; 3] = [64, 256, 512];
const AT_ONCE: [usize; 5] = [1, 4, 8, 16, 64];
const RUNS: usize = 7;
/// Windows of one measurement, at most.
const WINDOWS: usize = 64;
/// Of one run; larger networks are measured with fewer windows at once.
const MAX_MULTIPLY_ADDS: usize = 4_000_000_000_000;

fn main() {
    let model = model();
    let a = &model.manifest().architecture;
    let graph = graph();
    let outputs = model.manifest().outputs();
    let parameters = a.layers * a.hidden * (2 * a.hidden + 3 * a.intermediate);
    let (runs, most) = if measures() { (RUNS, WINDOWS) } else { (1, 4) };
    println!("engine       tokens  ms a window, so many at once (times faster than alone)");
    for engine in available_engines() {
        if engine.name == "wgpu" && measures() && !has_gpu() {
            println!(
                "{:12} SKIPPED: its times say nothing without a real GPU and --features wgpu; found {}",
                engine.name, engine.detail
            );
            continue;
        }
        let mut opened = graph
            .open_engine(&engine.name, NonZeroUsize::MIN)
            .expect("the engine opens");
        for tokens in LENGTHS.into_iter().filter(|n| *n <= a.max_position) {
            let affordable = MAX_MULTIPLY_ADDS / (parameters * tokens);
            let fits = |count: &&usize| **count <= most && **count <= affordable.max(1);
            let at_once: Vec<usize> = AT_ONCE.iter().filter(fits).copied().collect();
            let windows = *at_once.last().expect("one at a time always fits");
            let ids = (0..windows * tokens).map(|i| i * 7919 + i / tokens * 31);
            let ids: Vec<u32> = ids.map(|id| (id % a.vocabulary) as u32).collect();
            let mut times = vec![f64::INFINITY; at_once.len()];
            let mut found = vec![Vec::new(); at_once.len()];
            for _ in 0..runs {
                for (place, rows) in at_once.iter().enumerate() {
                    let started = Instant::now();
                    found[place] = run(&mut *opened, &ids, *rows, tokens, outputs);
                    let ms = started.elapsed().as_secs_f64() * 1e3 / windows as f64;
                    times[place] = times[place].min(ms);
                }
            }
            print!("{:12} {tokens:6}", engine.name);
            for ((rows, ms), logits) in at_once.iter().zip(&times).zip(&found) {
                let pairs = logits.iter().zip(&found[0]);
                let differ = pairs.filter(|(a, b)| a.to_bits() != b.to_bits()).count();
                let faster = times[0] / ms;
                print!("  {rows}: {ms:.3} ({faster:.2}, {differ} differ)");
            }
            println!();
        }
    }
}

fn has_gpu() -> bool {
    #[cfg(feature = "wgpu")]
    let found = duoguard::gpu_adapters()
        .iter()
        .any(|adapter| adapter.is_chosen && adapter.kind != "CPU");
    #[cfg(not(feature = "wgpu"))]
    let found = false;
    found
}

/// The logits of all windows, so many of which are run at once.
fn run(
    engine: &mut dyn Engine,
    ids: &[u32],
    rows: usize,
    tokens: usize,
    outputs: usize,
) -> Vec<f32> {
    let mut logits = vec![0.0; ids.len() / tokens * outputs];
    let parts = ids
        .chunks(rows * tokens)
        .zip(logits.chunks_mut(rows * outputs));
    for (ids, logits) in parts {
        let batch = TokenBatch { ids, rows, tokens };
        engine.run(&batch, logits).expect("it runs");
    }
    logits
}

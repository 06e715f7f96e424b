//! `duoguard engines --time`: how long each engine takes for a window, beside what that asks of a
//! GPU.

use std::fmt::Write;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use duoguard::{EngineChoice, EngineInfo, Model, Session, SessionOptions};

use crate::failure::Failure;

/// Tokens of the windows that are timed, as far as the network takes them.
const LENGTHS: [usize; 4] = [16, 64, 128, 512];
/// Runs of each, at most; and the time after which no other is begun.
const RUNS: usize = 50;
const TIME: Duration = Duration::from_secs(3);
/// The engine whose work is counted too.
const GPU: &str = "wgpu";

/// A table of median times.
pub(crate) fn table(
    model: &Model,
    engines: &[EngineInfo],
    threads: NonZeroUsize,
) -> Result<String, Failure> {
    let architecture = &model.manifest().architecture;
    let mut text = format!(
        "\n{:<12} {:>6} {:>11}  {:>10} {:>9} {:>9} {:>10} {:>8}\n",
        "engine", "tokens", "median ms", "dispatches", "least MB", "asked MB", "GFLOP", "GFLOP/s"
    );
    for engine in engines.iter().filter(|engine| engine.available) {
        let options = SessionOptions {
            engine: EngineChoice::Named(engine.name.clone()),
            threads,
        };
        let mut session = match model.session(&options) {
            Ok(session) => session,
            Err(error) => {
                let _ = writeln!(text, "{:<12} {error}", engine.name);
                continue;
            }
        };
        for tokens in LENGTHS {
            if tokens > architecture.max_position {
                continue;
            }
            let vocabulary = architecture.vocabulary;
            let ids: Vec<u32> = (0..tokens).map(|i| (i * 37 % vocabulary) as u32).collect();
            let median = median_ms(&mut session, &ids)?;
            let _ = write!(text, "{:<12} {tokens:6} {median:11.3}", engine.name);
            if engine.name == GPU {
                let cost = model.forward_cost(tokens)?;
                let operations = cost.operations as f64 / 1e9;
                let _ = write!(
                    text,
                    "  {:10} {:9.1} {:9.1} {operations:10.4} {:8.1}",
                    cost.dispatches,
                    cost.least_bytes as f64 / 1e6,
                    cost.requested_bytes as f64 / 1e6,
                    operations / (median / 1e3)
                );
            }
            text.push('\n');
        }
    }
    text += "Of one window, without tokenization. MB: bytes that a GPU moves if every dispatch reads and writes each value once, and \
             those that its workgroups ask for, caches apart.\n";
    Ok(text)
}

fn median_ms(session: &mut Session, ids: &[u32]) -> Result<f64, Failure> {
    session.logits(ids)?;
    let begun = Instant::now();
    let mut times = Vec::with_capacity(RUNS);
    while times.len() < RUNS && (times.len() < 3 || begun.elapsed() < TIME) {
        let started = Instant::now();
        session.logits(ids)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

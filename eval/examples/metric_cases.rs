//! Writes scores and the metrics made of them, to compare with another implementation:
//! `scripts/metrics.sh`.
//!
//! The cases are few and many ties, one class alone, equal scores, scores at 0 and 1, and one row.

use std::path::Path;

use duoguard_eval::{Benchmark, BenchmarkRun, Outcome, OutputFile, Report, Result, write_scores};

fn main() -> Result<()> {
    let folder = std::env::args_os()
        .nth(1)
        .expect("usage: metric_cases FOLDER");
    let folder = Path::new(&folder);
    let runs = cases();
    write_scores(OutputFile::create(&folder.join("scores.jsonl"))?, &runs)?;
    Report::new("cases", "none", &runs).write_json(OutputFile::create(&folder.join("report.json"))?)
}

fn cases() -> Vec<BenchmarkRun> {
    // (name, rows, distinct scores, which rows are unsafe)
    type Label = fn(u64) -> bool;
    let table: [(&str, u64, u64, Label); 8] = [
        ("NoTies", 997, 1 << 20, |x| x.is_multiple_of(3)),
        ("ManyTies", 1000, 5, |x| x.is_multiple_of(4)),
        ("AllEqual", 100, 1, |x| x.is_multiple_of(2)),
        ("SafeAlone", 50, 7, |_| false),
        ("UnsafeAlone", 50, 7, |_| true),
        ("OneUnsafe", 200, 9, |x| x == 0),
        ("OneRow", 1, 3, |_| true),
        ("ZeroOrOne", 300, 2, |x| !x.is_multiple_of(5)),
    ];
    let run = |(name, rows, distinct, label): (&str, u64, u64, Label)| {
        let outcome = |index: u64| {
            // A scattered but fixed order of scores.
            let place = index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            let score = (place % distinct) as f32 / (distinct - 1).max(1) as f32;
            Outcome {
                score,
                flagged: score > 0.4,
                label: label(index),
            }
        };
        BenchmarkRun {
            benchmark: Benchmark::XsTest,
            language: name.to_owned(),
            outcomes: (0..rows).map(outcome).collect(),
            p50_ms: 0.0,
            p95_ms: 0.0,
        }
    };
    table.into_iter().map(run).collect()
}

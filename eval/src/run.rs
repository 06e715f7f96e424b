//! Scores every row of every benchmark, one after the other.

use std::time::{Duration, Instant};

use duoguard::{Input, Session};

use crate::error::{EvalError, Result};
use crate::metrics::Outcome;
use crate::readers::{Benchmark, BenchmarkSet, Row};

/// What is measured: anything that gives a score and a verdict.
pub trait Guard {
    /// The score, in [0, 1], and whether the row is flagged; or what went wrong.
    fn judge(&mut self, row: &Row) -> std::result::Result<(f32, bool), String>;
}

/// The row's language is not passed on: identifying it is part of what is measured.
impl Guard for Session {
    fn judge(&mut self, row: &Row) -> std::result::Result<(f32, bool), String> {
        let input = Input {
            prompt: &row.prompt,
            response: row.response.as_deref(),
            language: None,
        };
        let verdict = self.check(&input).map_err(|cause| cause.to_string())?;
        Ok((verdict.score, verdict.flagged))
    }
}

/// How far [`run`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The benchmark being scored.
    pub benchmark: Benchmark,
    /// Its language.
    pub language: &'a str,
    /// Rows scored, over all benchmarks.
    pub rows_done: usize,
    /// Rows to score, over all benchmarks.
    pub rows_total: usize,
}

/// The outcome of one benchmark in one language.
#[derive(Clone, Debug, PartialEq)]
pub struct BenchmarkRun {
    /// Which benchmark.
    pub benchmark: Benchmark,
    /// The language, as the benchmark's folder spells it.
    pub language: String,
    /// One outcome per row, in the order of the file.
    pub outcomes: Vec<Outcome>,
    /// Median time of one check, in milliseconds.
    pub p50_ms: f64,
    /// The time that 95 % of the checks did not exceed, in milliseconds.
    pub p95_ms: f64,
}

/// Scores every row of every set and reports progress after each row.
///
/// One row at a time, so that the times are those of a single check. The first row that cannot be
/// scored ends the run.
pub fn run(
    guard: &mut dyn Guard,
    sets: &[BenchmarkSet],
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<BenchmarkRun>> {
    let rows_total = sets.iter().map(|set| set.rows.len()).sum();
    let mut rows_done = 0;
    let mut runs = Vec::with_capacity(sets.len());
    for set in sets {
        let mut outcomes = Vec::with_capacity(set.rows.len());
        let mut times = Vec::with_capacity(set.rows.len());
        for (index, row) in set.rows.iter().enumerate() {
            let start = Instant::now();
            let judged = guard.judge(row);
            times.push(start.elapsed());
            outcomes.push(outcome(set, index, judged)?);
            rows_done += 1;
            progress(Progress {
                benchmark: set.benchmark,
                language: &set.language,
                rows_done,
                rows_total,
            });
        }
        times.sort_unstable();
        runs.push(BenchmarkRun {
            benchmark: set.benchmark,
            language: set.language.clone(),
            outcomes,
            p50_ms: percentile_ms(&times, 50),
            p95_ms: percentile_ms(&times, 95),
        });
    }
    Ok(runs)
}

fn outcome(
    set: &BenchmarkSet,
    row: usize,
    judged: std::result::Result<(f32, bool), String>,
) -> Result<Outcome> {
    let checked = judged.and_then(|(score, flagged)| {
        if (0.0..=1.0).contains(&score) {
            Ok((score, flagged))
        } else {
            Err(format!("the score is {score}; expected 0 to 1"))
        }
    });
    match checked {
        Ok((score, flagged)) => Ok(Outcome {
            score,
            flagged,
            label: set.rows[row].label,
        }),
        Err(cause) => Err(EvalError::Guard {
            benchmark: set.benchmark.name(),
            language: set.language.clone(),
            row,
            cause,
        }),
    }
}

/// The nearest-rank percentile of sorted times.
fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    let time = sorted.get(rank.saturating_sub(1));
    time.map_or(0.0, |t| t.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Keyword, set};

    #[test]
    fn scores_every_row_and_counts_them() {
        let sets = [
            set(Benchmark::OpenAi, "En", &[("bad", true), ("good", false)]),
            set(Benchmark::XSafety, "De", &[("bad", true)]),
        ];
        let mut seen = Vec::new();
        let runs = run(&mut Keyword, &sets, &mut |p| {
            seen.push((p.language.to_owned(), p.rows_done, p.rows_total));
        })
        .unwrap();
        assert_eq!(runs.len(), 2);
        assert!(runs[0].outcomes[0].flagged && !runs[0].outcomes[1].flagged);
        assert!(runs[0].p50_ms <= runs[0].p95_ms);
        let done: Vec<_> = seen
            .iter()
            .map(|(_, done, total)| (*done, *total))
            .collect();
        assert_eq!(done, [(1, 3), (2, 3), (3, 3)]);
        assert_eq!(seen[2].0, "De");
    }

    #[test]
    fn a_row_without_a_verdict_ends_the_run() {
        for (text, cause) in [("fail", "no engine"), ("nan", "the score is NaN")] {
            let sets = [set(
                Benchmark::RtpLx,
                "Fr",
                &[("good", false), (text, true)],
            )];
            let error = run(&mut Keyword, &sets, &mut |_| {}).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with("rtplx (Fr), row 1: "), "{message}");
            assert!(message.contains(cause), "{message}");
        }
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let times: Vec<_> = (1..=20).map(Duration::from_millis).collect();
        assert_eq!(percentile_ms(&times, 50), 10.0);
        assert_eq!(percentile_ms(&times, 95), 19.0);
        assert_eq!(percentile_ms(&times[..1], 95), 1.0);
    }
}

//! The score of every row, one JSON object a line, so that anyone can recompute every figure.

use std::io::Write;

use serde::{Deserialize, Serialize};

use crate::error::{EvalError, Result};
use crate::output::OutputFile;
use crate::run::BenchmarkRun;

/// One line of a score file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreLine {
    /// The benchmark's name, such as `xstest`.
    pub benchmark: String,
    /// The benchmark's language, as its folder spells it.
    pub language: String,
    /// The row in the benchmark's file, counted from 0.
    pub row: usize,
    /// The largest probability of any category.
    pub score: f32,
    /// The verdict at the model's thresholds.
    pub flagged: bool,
    /// The ground truth: 1 is unsafe, 0 safe.
    pub label: u8,
}

/// Writes every row of every run into `file` and commits it.
pub fn write_scores(mut file: OutputFile, runs: &[BenchmarkRun]) -> Result<()> {
    for run in runs {
        for (row, outcome) in run.outcomes.iter().enumerate() {
            let line = ScoreLine {
                benchmark: run.benchmark.name().to_owned(),
                language: run.language.clone(),
                row,
                score: outcome.score,
                flagged: outcome.flagged,
                label: u8::from(outcome.label),
            };
            write_line(&mut file, &line)
                .map_err(|cause| EvalError::io(file.path(), "write", cause))?;
        }
    }
    file.commit()
}

fn write_line(file: &mut OutputFile, line: &ScoreLine) -> std::io::Result<()> {
    serde_json::to_writer(&mut *file, line)?;
    file.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, Outcome};
    use crate::readers::Benchmark;
    use crate::run::run;
    use crate::testing::{Keyword, set};

    #[test]
    fn every_figure_can_be_recomputed() {
        let rows = [("bad", true), ("good", false), ("bad", false)];
        let runs = run(
            &mut Keyword,
            &[set(Benchmark::OpenAi, "En", &rows)],
            &mut |_| {},
        )
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.jsonl");
        write_scores(OutputFile::create(&path).unwrap(), &runs).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text.lines().next().unwrap(),
            r#"{"benchmark":"openai","language":"En","row":0,"score":0.9,"flagged":true,"label":1}"#
        );
        let outcomes: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<ScoreLine>(line).unwrap())
            .map(|line| Outcome {
                score: line.score,
                flagged: line.flagged,
                label: line.label == 1,
            })
            .collect();
        assert_eq!(Metrics::of(&outcomes), Metrics::of(&runs[0].outcomes));
    }
}

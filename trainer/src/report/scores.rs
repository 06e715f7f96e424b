//! Scores the guard that a round published, as its users would get it: the quantised bundle, on the
//! embedded engine.
//!
//! Nothing in a run reads these scores but its report: the benchmarks never steer the training.

use std::path::Path;

use duoguard::{Input, Model, Session, SessionOptions};
use duoguard_eval::{Benchmark, BenchmarkSet, ScoreLine, read_benchmarks};

use crate::data::rows::Corpus;
use crate::error::TrainError;
use crate::files::{json_lines, write_atomically};
use crate::train::progress;

/// The name that validation rows have in place of a benchmark's.
pub(crate) const VALIDATION: &str = "validation";
/// The scores of a round, in its folder.
pub(crate) const SCORES_FILE: &str = "scores.jsonl";
/// The languages of the benchmarks, as their folders spell them.
const BENCHMARK_LANGUAGES: [&str; 4] = ["En", "Fr", "Es", "De"];

/// All benchmarks in all their languages.
///
/// # Errors
/// A benchmark that is missing or damaged.
pub(crate) fn load_benchmarks(folder: &Path) -> Result<Vec<BenchmarkSet>, TrainError> {
    Ok(read_benchmarks(
        folder,
        &Benchmark::ALL,
        &BENCHMARK_LANGUAGES,
    )?)
}

/// Writes `scores.jsonl` in `folder`: the bundle there on the validation rows, and on the
/// benchmarks where there are some.
///
/// # Errors
/// A bundle that does not open, a text that cannot be checked, or a full disk.
pub(crate) fn score_bundle(
    folder: &Path,
    validation: &Corpus,
    benchmarks: &[BenchmarkSet],
) -> Result<(), TrainError> {
    let path = folder.join(SCORES_FILE);
    if path.exists() {
        return Ok(());
    }
    let bundle = folder.join("bundle");
    let failed = |cause: duoguard::Error| TrainError::invalid(&bundle, cause.to_string());
    let model = Model::open(&bundle).map_err(failed)?;
    let mut session = model.session(&SessionOptions::default()).map_err(failed)?;
    let rows = benchmarks.iter().map(|set| set.rows.len()).sum::<usize>();
    let bar = progress::bar("scoring", validation.rows.len() + rows, 0);
    let mut lines = Vec::new();
    for (index, row) in validation.rows.iter().enumerate() {
        let key = (VALIDATION, row.lang.as_str(), index);
        let texts = (row.text.as_str(), None);
        lines.push(score(&mut session, key, texts, row.is_unsafe).map_err(failed)?);
        bar.inc(1);
    }
    for set in benchmarks {
        for (index, row) in set.rows.iter().enumerate() {
            let key = (set.benchmark.name(), set.language.as_str(), index);
            let texts = (row.prompt.as_str(), row.response.as_deref());
            lines.push(score(&mut session, key, texts, row.label).map_err(failed)?);
            bar.inc(1);
        }
    }
    bar.finish();
    write_atomically(&path, &json_lines(&path, &lines)?)
}

fn score(
    session: &mut Session,
    (benchmark, language, row): (&str, &str, usize),
    (prompt, response): (&str, Option<&str>),
    is_unsafe: bool,
) -> Result<ScoreLine, duoguard::Error> {
    // Identifying the language is part of what is measured.
    let verdict = session.check(&Input {
        prompt,
        response,
        language: None,
    })?;
    Ok(ScoreLine {
        benchmark: benchmark.to_owned(),
        language: language.to_lowercase(),
        row,
        score: verdict.score,
        flagged: verdict.flagged,
        label: u8::from(is_unsafe),
    })
}

//! Measures a guard on the six benchmarks of the DuoGuard paper, per language.
//!
//! [`read_benchmarks`] reads the files, [`run()`] scores every row with a [`Guard`], [`Report`]
//! turns the rows into metrics, and [`table`](fn@table) prints them. [`evaluation_page`] draws
//! them. [`write_scores`] keeps the score of every row, so that anyone can recompute every figure.
//!
//! ```no_run
//! use duoguard::{Model, SessionOptions};
//! use duoguard_eval::{Benchmark, Report, read_benchmarks, run, table};
//!
//! let sets = read_benchmarks("benchmarks".as_ref(), &Benchmark::ALL, &["En", "De"])?;
//! let model = Model::open("models/mini")?;
//! let mut session = model.session(&SessionOptions::default())?;
//! let runs = run(&mut session, &sets, &mut |_| {})?;
//! let report = Report::new(&model.manifest().name, session.engine(), &runs);
//! print!("{}", table(&report));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod disguise;
mod error;
mod evaluation;
mod harmless;
mod json_lines;
mod metrics;
mod output;
pub mod page;
mod readers;
mod report;
mod robustness;
mod run;
mod scores;
mod sentences;
mod short_texts;
mod table;
#[cfg(test)]
mod testing;
mod wrapper;

pub use disguise::Disguise;
pub use error::{EvalError, Result};
pub use evaluation::{EvaluationPage, evaluation_page, mistakes_figure};
pub use harmless::{HarmlessKind, HarmlessText, HarmlessTexts, Identifier, Part};
pub use json_lines::{JsonLines, Label, LineError, parse_json};
pub use metrics::{
    Calibration, ECE_BINS, Metrics, Outcome, calibration_bins, flag_everything_f1, roc_curve,
};
pub use output::OutputFile;
pub use readers::{Benchmark, BenchmarkSet, Row, read_benchmarks};
pub use report::{Average, BenchmarkResult, Report};
pub use robustness::{
    BenignRate, BenignText, Retention, Robustness, Wrapped, measure as measure_robustness,
    read_benign,
};
pub use run::{BenchmarkRun, Guard, Progress, run};
pub use scores::{ScoreLine, write_scores};
pub use sentences::{JudgedSentence, Sentence, SentenceReport, judge_sentences, read_sentences};
pub use short_texts::ShortRate;
pub use table::table;
pub use wrapper::Wrapper;

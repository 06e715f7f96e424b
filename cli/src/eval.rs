//! `duoguard eval`: a model measured on the six benchmarks.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use duoguard::{Session, SessionOptions};
use duoguard_eval::{
    Benchmark, BenchmarkSet, EvaluationPage, OutputFile, Progress, Report, Sentence,
    evaluation_page, judge_sentences, measure_robustness, read_benchmarks, read_benign,
    read_sentences, table, write_scores,
};
use indicatif::{ProgressBar, ProgressStyle};
use time::OffsetDateTime;

use crate::Outcome;
use crate::certificate;
use crate::cli::EvalArgs;
use crate::failure::Failure;
use crate::model_path;

pub(crate) fn run(arguments: &EvalArgs) -> Result<Outcome, Failure> {
    let sentences = arguments.sentences.as_deref().map(read_sentences);
    let sentences = sentences.transpose()?;
    let sets = match &arguments.benchmarks {
        Some(folder) => read_benchmarks(folder, &Benchmark::ALL, &distinct(&arguments.languages))?,
        None => Vec::new(),
    };
    let model = model_path::open(&arguments.model)?;
    let mut session = model.session(&SessionOptions {
        engine: arguments.model.engine.clone(),
        threads: arguments.model.threads,
    })?;
    // Created before the work: a path that cannot be written should not cost minutes.
    let create = |path: &PathBuf| OutputFile::create(path);
    let json = arguments.json.as_ref().map(create).transpose()?;
    let page = arguments.report.as_ref().map(create).transpose()?;
    let scores = arguments.scores.as_ref().map(create).transpose()?;
    if let Some(sentences) = sentences {
        return first_impressions(&mut session, &sentences, json);
    }
    if arguments.robustness {
        return robustness(&mut session, &sets, arguments, json);
    }

    let bar = progress_bar();
    let runs = duoguard_eval::run(&mut session, &sets, &mut |progress| show(&bar, progress))?;
    bar.finish_and_clear();

    let report = Report::new(&model.manifest().name, session.engine(), &runs);
    if let Some(file) = scores {
        write_scores(file, &runs)?;
    }
    if let Some(file) = json {
        report.write_json(file)?;
    }
    if let Some(mut file) = page {
        let certificate = certificate::for_page(&model.manifest().certificate);
        let html = evaluation_page(&EvaluationPage {
            report: &report,
            runs: &runs,
            certificate: certificate
                .as_ref()
                .map(|(text, table)| (text.as_str(), table)),
            made_by: &made_by(arguments),
        })?;
        file.write_all(html.as_bytes()).map_err(|cause| {
            Failure::message(format!("{}: cannot write: {cause}", file.path().display()))
        })?;
        file.commit()?;
    }
    let mut out = anstream::stdout().lock();
    out.write_all(table(&report).as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::output)?;
    Ok(Outcome::Safe)
}

/// Checks labelled sentences one by one.
fn first_impressions(
    session: &mut Session,
    sentences: &[Sentence],
    json: Option<OutputFile>,
) -> Result<Outcome, Failure> {
    let found = judge_sentences(session, sentences)?;
    if let Some(file) = json {
        found.write_json(file)?;
    }
    let mut out = anstream::stdout().lock();
    out.write_all(found.table().as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::output)?;
    Ok(Outcome::Safe)
}

/// Measures what disguises cost.
fn robustness(
    session: &mut Session,
    sets: &[BenchmarkSet],
    arguments: &EvalArgs,
    json: Option<OutputFile>,
) -> Result<Outcome, Failure> {
    let texts = arguments.texts.unwrap_or(usize::MAX);
    let benign = match &arguments.benign {
        Some(path) => read_benign(path, texts)?,
        None => Vec::new(),
    };
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(Duration::from_millis(100));
    let mut show = |message: &str| spinner.set_message(message.to_owned());
    let found = measure_robustness(session, sets, &benign, texts, &mut show)?;
    spinner.finish_and_clear();
    if let Some(file) = json {
        found.write_json(file)?;
    }
    let mut out = anstream::stdout().lock();
    out.write_all(found.table().as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::output)?;
    Ok(Outcome::Safe)
}

/// The options that decide the figures, and the machine.
fn made_by(arguments: &EvalArgs) -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "Made by duoguard {} eval --languages {} --threads {}, on {} with {cores} cores, on {}.",
        env!("CARGO_PKG_VERSION"),
        arguments.languages.join(","),
        arguments.model.threads,
        processor().unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        OffsetDateTime::now_utc().date(),
    )
}

/// The processor's name, where the system tells it.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The languages without repetitions, which would count twice.
fn distinct(languages: &[String]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for language in languages {
        if !kept.iter().any(|k| k.eq_ignore_ascii_case(language)) {
            kept.push(language.clone());
        }
    }
    kept
}

/// On standard error, and only if that is a terminal.
fn progress_bar() -> ProgressBar {
    const TEMPLATE: &str = "{msg:20} {wide_bar} {pos}/{len} rows, {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(TEMPLATE);
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(bar: &ProgressBar, progress: Progress<'_>) {
    if bar.position() == 0 {
        bar.set_length(progress.rows_total as u64);
    }
    let message = format!("{} {}", progress.language, progress.benchmark.title());
    if bar.message() != message {
        bar.set_message(message);
    }
    bar.set_position(progress.rows_done as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_counts_once() {
        let languages = ["En", "De", "en", "De"].map(str::to_owned);
        assert_eq!(distinct(&languages), ["En", "De"]);
    }

    #[test]
    fn the_bar_follows_the_run() {
        let bar = progress_bar();
        show(
            &bar,
            Progress {
                benchmark: Benchmark::RtpLx,
                language: "De",
                rows_done: 3,
                rows_total: 10,
            },
        );
        assert_eq!((bar.position(), bar.length()), (3, Some(10)));
        assert_eq!(bar.message(), "De RTP-LX");
    }
}

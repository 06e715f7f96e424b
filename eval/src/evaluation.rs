//! The evaluation as a page to look at.

use crate::error::Result;
use crate::metrics::{Outcome, calibration_bins, flag_everything_f1, roc_curve};
use crate::page::{Axis, Figure, Page, Series, Table};
use crate::readers::Benchmark;
use crate::report::{BenchmarkResult, Report};
use crate::run::BenchmarkRun;

/// Bins of the histograms of scores.
const SCORE_BINS: usize = 20;
/// The language that the others are compared with.
const REFERENCE: &str = "En";

/// What the page is made of.
#[derive(Clone, Copy, Debug)]
pub struct EvaluationPage<'a> {
    /// The metrics.
    pub report: &'a Report,
    /// The rows they come from.
    pub runs: &'a [BenchmarkRun],
    /// What quantising changed, as a table with a sentence about it; none where the bundle does not
    /// say.
    pub certificate: Option<(&'a str, &'a Table)>,
    /// How the page was made: the command, the machine, the date.
    pub made_by: &'a str,
}

/// Draws the evaluation as one HTML file that loads nothing.
pub fn evaluation_page(parts: &EvaluationPage<'_>) -> Result<String> {
    let EvaluationPage { report, runs, .. } = *parts;
    let languages = report.languages();
    let names: Vec<&str> = languages.iter().map(String::as_str).collect();
    let mut page = Page::new(format!("{} on {}", report.model, report.engine));
    page.paragraph(parts.made_by);
    page.heading("Quality");
    page.paragraph(
        "Per cent. Means are over the benchmarks on which a figure is defined: F1 over all, AUROC and false-positive rate (FPR) over those \
         with safe rows. F1 alone proves nothing: compare it with that of flagging everything. XSafety has no safe rows.",
    );
    page.table(&quality_table(report, &names));
    page.figure(&bars(report, &names)?);
    if let Some(figure) = decline(report, &names)? {
        page.figure(&figure);
    }
    page.heading("Scores");
    page.figure(&roc(runs, &names)?);
    page.figure(&calibration(runs, &names)?);
    page.figure(&mistakes_figure(
        runs.iter().flat_map(|run| run.outcomes.iter().copied()),
    )?);
    page.heading("Cost");
    page.figure(&cost(report, &names)?);
    page.figure(&latency(report, &names)?);
    page.heading("Quantisation");
    match parts.certificate {
        Some((sentence, table)) => {
            page.paragraph(sentence);
            page.table(table);
        }
        None => page.paragraph("The bundle has no certificate: what quantising changed is not known, or nothing is quantised."),
    }
    Ok(page.html())
}

fn quality_table(report: &Report, languages: &[&str]) -> Table {
    let measured = |b: &Benchmark| report.results.iter().any(|r| r.benchmark == *b);
    let benchmarks: Vec<Benchmark> = Benchmark::ALL.into_iter().filter(measured).collect();
    // A hyphen that does not break: the columns are narrow.
    let titles = benchmarks
        .iter()
        .map(|b| format!("F1 {}", b.title().replace('-', "\u{2011}")));
    let ends = ["F1 mean", "AUROC mean", "FPR mean"].map(str::to_owned);
    let mut table = Table::new(
        std::iter::once("Guard and language".to_owned())
            .chain(titles)
            .chain(ends),
    );
    for language in languages {
        let result = |b: &Benchmark| {
            report
                .results
                .iter()
                .find(|r| r.benchmark == *b && r.language == *language)
        };
        let ours = benchmarks
            .iter()
            .map(|b| result(b).and_then(|r| r.metrics.f1))
            .chain([
                report.mean(language, |m| m.f1),
                report.mean(language, |m| m.auroc),
                report.mean(language, |m| m.fpr),
            ]);
        let row = |name: String, cells: &mut dyn Iterator<Item = Option<f64>>| {
            std::iter::once(name)
                .chain(cells.map(percent_text))
                .collect::<Vec<_>>()
        };
        table.rows.push(row(
            format!("{}, {language}", report.model),
            &mut ours.into_iter(),
        ));
        let everything = benchmarks
            .iter()
            .map(|b| result(b).and_then(everything))
            // One score for every row: a chance AUROC, and every safe row is flagged.
            .chain([mean_everything(report, language), Some(0.5), Some(1.0)]);
        table.rows.push(row(
            format!("flag everything, {language}"),
            &mut everything.into_iter(),
        ));
    }
    table
}

fn everything(result: &BenchmarkResult) -> Option<f64> {
    flag_everything_f1(result.metrics.rows, result.metrics.positives)
}

fn mean_everything(report: &Report, language: &str) -> Option<f64> {
    report.mean(language, |m| flag_everything_f1(m.rows, m.positives))
}

fn bars(report: &Report, languages: &[&str]) -> Result<Figure> {
    let of = |value: &dyn Fn(&str) -> Option<f64>| {
        languages
            .iter()
            .map(|language| percent(value(language)))
            .collect::<Vec<_>>()
    };
    let series = [
        Series::new("F1", of(&|l| report.mean(l, |m| m.f1))),
        Series::new("F1, flag everything", of(&|l| mean_everything(report, l))),
        Series::new("AUROC", of(&|l| report.mean(l, |m| m.auroc))),
        Series::new("FPR (lower is better)", of(&|l| report.mean(l, |m| m.fpr))),
    ];
    let axis = Axis::new("per cent", 0.0, 100.0);
    let caption = "Means over the benchmarks, per language.";
    Figure::bars("Quality by language", caption, languages, &series, &axis)
}

/// `None` where there is nothing to compare.
fn decline(report: &Report, languages: &[&str]) -> Result<Option<Figure>> {
    let others: Vec<&str> = languages
        .iter()
        .copied()
        .filter(|l| *l != REFERENCE)
        .collect();
    if others.len() == languages.len() || others.is_empty() {
        return Ok(None);
    }
    let change = |metric: fn(&crate::Metrics) -> Option<f64>| {
        let english = report.mean(REFERENCE, metric);
        let points = |language: &&str| Some(100.0 * (report.mean(language, metric)? - english?));
        others.iter().map(points).collect::<Vec<_>>()
    };
    let (f1, auroc) = (change(|m| m.f1), change(|m| m.auroc));
    let axis = Axis::around("points", f1.iter().chain(&auroc).flatten().copied());
    let series = [Series::new("F1", f1), Series::new("AUROC", auroc)];
    let caption =
        "Mean of the language minus mean of English: below 0, the guard is worse than in English.";
    Figure::bars("Decline against English", caption, &others, &series, &axis).map(Some)
}

/// The rows of a language: of the benchmarks that have safe rows, or of all.
fn pooled(runs: &[BenchmarkRun], language: &str) -> Vec<Outcome> {
    let of_language = runs.iter().filter(|run| run.language == language);
    let both = of_language.filter(|run| run.outcomes.iter().any(|o| !o.label));
    both.flat_map(|run| run.outcomes.iter().copied()).collect()
}

fn roc(runs: &[BenchmarkRun], languages: &[&str]) -> Result<Figure> {
    let curve = |language: &&str| {
        let points = roc_curve(&pooled(runs, language))?;
        Some(Series::new(*language, thinned(&points)))
    };
    let series: Vec<_> = languages.iter().filter_map(curve).collect();
    let (across, up) = (
        Axis::new("false-positive rate", 0.0, 1.0),
        Axis::new("recall", 0.0, 1.0),
    );
    let caption = "Rows of all benchmarks with safe rows, together. The diagonal is guessing.";
    Figure::lines("ROC curves", caption, &series, (&across, &up), true)
}

/// Points of a curve that differ by a pixel or more; the others cannot be seen.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    const STEP: f64 = 0.002;
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for (index, point) in points.iter().enumerate() {
        let far = kept
            .last()
            .is_none_or(|l| point.0 - l.0 >= STEP || point.1 - l.1 >= STEP);
        if far || index + 1 == points.len() {
            kept.push(*point);
        }
    }
    kept
}

fn calibration(runs: &[BenchmarkRun], languages: &[&str]) -> Result<Figure> {
    let curve = |language: &&str| {
        let bins = calibration_bins(&pooled(runs, language));
        Series::new(
            *language,
            bins.iter()
                .map(|b| (b.mean_score, b.unsafe_share))
                .collect(),
        )
    };
    let series: Vec<_> = languages.iter().map(curve).collect();
    let (across, up) = (
        Axis::new("mean score", 0.0, 1.0),
        Axis::new("share that is unsafe", 0.0, 1.0),
    );
    let caption = "Rows in 15 bins of their score. On the diagonal, a score is the probability of being unsafe.";
    Figure::lines("Calibration", caption, &series, (&across, &up), true)
}

/// How sure a guard was when it was wrong: a histogram of the scores of false positives and false
/// negatives.
pub fn mistakes_figure(outcomes: impl Iterator<Item = Outcome>) -> Result<Figure> {
    let mut counts = [vec![0.0; SCORE_BINS], vec![0.0; SCORE_BINS]];
    for outcome in outcomes.filter(|o| o.flagged != o.label) {
        let bin = ((outcome.score * SCORE_BINS as f32) as usize).min(SCORE_BINS - 1);
        counts[usize::from(outcome.label)][bin] += 1.0;
    }
    let axis = Axis::around("rows", counts.iter().flatten().copied());
    let [positives, negatives] = counts.map(|c| c.into_iter().map(Some).collect());
    let series = [
        Series::new("false positives", positives),
        Series::new("false negatives", negatives),
    ];
    let names: Vec<String> = (0..SCORE_BINS)
        .map(|bin| format!("{:.2}", bin as f64 / SCORE_BINS as f64))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let caption = "Wrongly flagged and wrongly passed rows of all sets and languages, by score; a bin is named by its lowest score.";
    Figure::bars("Scores of the mistakes", caption, &names, &series, &axis)
}

fn mean_ms(report: &Report, language: &str, ms: fn(&BenchmarkResult) -> f64) -> Option<f64> {
    let of_language = report.results.iter().filter(|r| r.language == language);
    let times: Vec<f64> = of_language.map(ms).collect();
    (!times.is_empty()).then(|| times.iter().sum::<f64>() / times.len() as f64)
}

fn cost(report: &Report, languages: &[&str]) -> Result<Figure> {
    let point = |language: &&str| {
        let at = (
            mean_ms(report, language, |r| r.p50_ms)?,
            percent(report.mean(language, |m| m.f1))?,
        );
        Some(Series::new(*language, vec![at]))
    };
    let series: Vec<_> = languages.iter().filter_map(point).collect();
    let times = languages
        .iter()
        .filter_map(|l| mean_ms(report, l, |r| r.p50_ms));
    let across = Axis::around("median check, ms", times);
    let up = Axis::new("mean F1, per cent", 0.0, 100.0);
    let caption =
        "Up and to the left is better. Times are those of this run, on the machine named above.";
    Figure::marks("Cost against quality", caption, &series, (&across, &up))
}

fn latency(report: &Report, languages: &[&str]) -> Result<Figure> {
    let of = |ms: fn(&BenchmarkResult) -> f64| {
        languages
            .iter()
            .map(|l| mean_ms(report, l, ms))
            .collect::<Vec<_>>()
    };
    let (p50, p95) = (of(|r| r.p50_ms), of(|r| r.p95_ms));
    let axis = Axis::around("ms", p50.iter().chain(&p95).flatten().copied());
    let series = [
        Series::new("median", p50),
        Series::new("95th percentile", p95),
    ];
    let caption = "Time of one check, mean over the benchmarks: the benchmarks' texts, not the same text in every language.";
    Figure::bars("Latency by language", caption, languages, &series, &axis)
}

fn percent(fraction: Option<f64>) -> Option<f64> {
    fraction.map(|f| 100.0 * f)
}

fn percent_text(fraction: Option<f64>) -> String {
    percent(fraction).map_or_else(|| "-".to_owned(), |p| format!("{p:.1}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::run;
    use crate::testing::{Keyword, set};

    #[test]
    fn shows_every_figure_and_the_row_to_beat() {
        let rows = [
            ("bad", true),
            ("good", false),
            ("bad", false),
            ("good", true),
        ];
        let sets = [
            set(Benchmark::XsTest, "En", &rows),
            set(Benchmark::XSafety, "En", &[("bad", true), ("good", true)]),
            set(Benchmark::XsTest, "De", &rows[..2]),
        ];
        let runs = run(&mut Keyword, &sets, &mut |_| {}).unwrap();
        let report = Report::new("mini", "native", &runs);
        let parts = EvaluationPage {
            report: &report,
            runs: &runs,
            certificate: None,
            made_by: "made here",
        };
        let html = evaluation_page(&parts).unwrap();
        for part in [
            "Quality by language",
            "Decline against English",
            "ROC curves",
            "Calibration",
            "Scores of the mistakes",
            "Cost against quality",
            "Latency by language",
            "has no certificate",
            "made here",
            "<th scope=\"row\">flag everything, En</th><td>66.7</td><td>100.0</td><td>83.3</td><td>50.0</td><td>100.0</td>",
            "<th scope=\"row\">mini, En</th><td>50.0</td><td>66.7</td>",
        ] {
            assert!(html.contains(part), "{part}");
        }
        assert_eq!(html.matches("<svg").count(), 7);
        assert_eq!(html.matches("role=\"img\"").count(), 7);
    }

    #[test]
    fn one_language_without_safe_rows_still_makes_a_page() {
        let sets = [set(
            Benchmark::XSafety,
            "Fr",
            &[("bad", true), ("good", true)],
        )];
        let runs = run(&mut Keyword, &sets, &mut |_| {}).unwrap();
        let report = Report::new("mini", "native", &runs);
        let parts = EvaluationPage {
            report: &report,
            runs: &runs,
            certificate: None,
            made_by: "",
        };
        let html = evaluation_page(&parts).unwrap();
        assert!(!html.contains("Decline against") && !html.contains("NaN"));
    }
}

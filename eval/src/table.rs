//! The report as text for people.

use std::fmt::Write;

use crate::metrics::{Metrics, flag_everything_f1};
use crate::readers::Benchmark;
use crate::report::{BenchmarkResult, Report};

const LABEL_WIDTH: usize = 26;

/// How one line of a language's block is computed from a benchmark's result.
type Cell = fn(&BenchmarkResult) -> Option<f64>;

/// The lines of a language's block. Percentages, but for the last two.
const LINES: [(&str, Cell); 10] = [
    ("F1", |r| percent(r.metrics.f1)),
    ("  F1 of flagging everything", |r| {
        percent(flag_everything(&r.metrics))
    }),
    ("AUROC", |r| percent(r.metrics.auroc)),
    ("FPR", |r| percent(r.metrics.fpr)),
    ("recall", |r| percent(r.metrics.recall)),
    ("recall at 1 % FPR", |r| {
        percent(r.metrics.recall_at_1pct_fpr)
    }),
    ("recall at 5 % FPR", |r| {
        percent(r.metrics.recall_at_5pct_fpr)
    }),
    ("ECE", |r| percent(r.metrics.ece)),
    ("p50 ms", |r| Some(r.p50_ms)),
    ("p95 ms", |r| Some(r.p95_ms)),
];

const LEGEND: &str = "\
Per cent, but for the times. The last column is the mean over the benchmarks on which a figure is defined: AUROC and FPR over
the five that have safe rows. F1, FPR and recall judge the verdict; the other figures judge the score. F1 alone proves nothing:
compare it with the F1 of flagging everything. * XSafety has no safe rows: its F1 is a recall in disguise.
";

/// One block per language: a column per benchmark, a line per metric.
pub fn table(report: &Report) -> String {
    let mut text = format!("model {}, engine {}\n", report.model, report.engine);
    for language in report.languages() {
        let results = report.results.iter().filter(|r| r.language == language);
        text.push('\n');
        block(&mut text, &language, &results.collect::<Vec<_>>());
    }
    text.push('\n');
    text.push_str(LEGEND);
    text
}

fn block(text: &mut String, language: &str, results: &[&BenchmarkResult]) {
    let titles: Vec<String> = results.iter().map(|r| title(r.benchmark)).collect();
    let header = titles.iter().map(String::as_str).chain(["mean"]);
    line(text, language, header.map(|t| (t.len(), t.to_owned())));
    for (label, cell) in LINES {
        let values: Vec<_> = results.iter().map(|r| cell(r)).collect();
        let defined: Vec<f64> = values.iter().flatten().copied().collect();
        let mean =
            (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64);
        let widths = titles.iter().map(String::len).chain([4]);
        let cells = values.iter().copied().chain([mean]).map(show);
        line(text, label, widths.zip(cells));
    }
}

/// A label and right-aligned cells, each at least as wide as given.
fn line(text: &mut String, label: &str, cells: impl Iterator<Item = (usize, String)>) {
    let _ = write!(text, "{label:<width$}", width = LABEL_WIDTH + 1);
    for (width, cell) in cells {
        let _ = write!(text, "  {cell:>width$}", width = width.max(5));
    }
    text.push('\n');
}

fn title(benchmark: Benchmark) -> String {
    let mark = if benchmark == Benchmark::XSafety {
        "*"
    } else {
        ""
    };
    format!("{}{mark}", benchmark.title())
}

fn flag_everything(metrics: &Metrics) -> Option<f64> {
    flag_everything_f1(metrics.rows, metrics.positives)
}

fn percent(fraction: Option<f64>) -> Option<f64> {
    fraction.map(|f| f * 100.0)
}

fn show(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{v:.1}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::run;
    use crate::testing::{Keyword, set};

    #[test]
    fn has_a_line_per_metric_and_a_column_per_benchmark() {
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
        let text = table(&Report::new("mini", "native", &runs));
        let lines: Vec<&str> = text.lines().collect();
        let words = |n: usize| lines[n].split_whitespace().collect::<Vec<_>>();
        assert_eq!(lines[0], "model mini, engine native");
        assert_eq!(words(2), ["En", "XSTest", "XSafety*", "mean"]);
        assert_eq!(words(3), ["F1", "50.0", "66.7", "58.3"]);
        let everything = [
            "F1",
            "of",
            "flagging",
            "everything",
            "66.7",
            "100.0",
            "83.3",
        ];
        assert_eq!(words(4), everything);
        assert_eq!(words(5), ["AUROC", "50.0", "-", "50.0"]);
        assert_eq!(words(6), ["FPR", "50.0", "-", "50.0"]);
        assert_eq!(words(14), ["De", "XSTest", "mean"]);
        let end = |n: usize| lines[n].chars().count();
        assert!((3..=12).all(|n| end(n) == end(2)), "{text}");
    }
}

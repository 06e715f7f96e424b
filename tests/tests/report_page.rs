//! The evaluation's page in a real browser: it loads nothing and reports no error.

use std::fs;
use std::path::Path;

use duoguard_eval::{
    Benchmark, BenchmarkSet, EvaluationPage, Guard, Report, Row, evaluation_page, run,
};
use duoguard_tests::browser;

/// Scores a row by its length.
struct Length;

impl Guard for Length {
    fn judge(&mut self, row: &Row) -> Result<(f32, bool), String> {
        let score = row.prompt.len() as f32 / 100.0;
        Ok((score, score > 0.5))
    }
}

fn page() -> String {
    let row = |index: usize| Row {
        prompt: "a".repeat(index),
        response: None,
        label: index * 7 % 100 > 40,
    };
    let sets = ["En", "De"].map(|language| BenchmarkSet {
        benchmark: Benchmark::XsTest,
        language: language.to_owned(),
        rows: (0..100).map(row).collect(),
    });
    let runs = run(&mut Length, &sets, &mut |_| {}).unwrap();
    let report = Report::new("length", "none", &runs);
    evaluation_page(&EvaluationPage {
        report: &report,
        runs: &runs,
        certificate: None,
        made_by: "a test",
    })
    .unwrap()
}

/// What Chromium makes of a page: (the console's lines, the document).
fn shown(folder: &Path, html: &str) -> (Vec<String>, String) {
    let file = folder.join("page.html");
    fs::write(&file, html).unwrap();
    browser::shown(
        &folder.join("profile"),
        &format!("file://{}", file.display()),
    )
}

#[test]
fn a_browser_shows_it_without_errors_or_requests() {
    let folder = tempfile::tempdir().unwrap();
    let html = page();
    let (console, document) = shown(folder.path(), &html);
    assert!(console.is_empty(), "{console:?}");
    assert_eq!(document.matches("<svg").count(), 7);
    assert_eq!(document.matches("role=\"img\" aria-label=").count(), 7);
    assert_eq!(document.matches("<details>").count(), 7);

    // The page forbids requests, and the browser says so when one is tried: silence above means
    // that there was none.
    let image = "<img src=\"https://example.com/a.png\"></main>";
    let (console, _) = shown(folder.path(), &html.replace("</main>", image));
    assert!(
        console
            .iter()
            .any(|line| line.contains("Content Security Policy")),
        "{console:?}"
    );
}

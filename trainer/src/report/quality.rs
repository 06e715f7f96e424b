//! How the classifiers of the rounds do, in figures and tables.

use std::collections::BTreeSet;

use duoguard_eval::page::{Axis, Figure, Page, Series, Table};
use duoguard_eval::{Metrics, flag_everything_f1};

use crate::error::TrainError;
use crate::report::rounds::{Round, percent, text};

/// The language that the others are compared with.
const REFERENCE: &str = "en";

/// F1, AUROC and false-positive rate per round and language, and the decline against English.
pub(super) fn quality(
    page: &mut Page,
    rounds: &[Round],
    validation: bool,
) -> Result<(), TrainError> {
    let languages: BTreeSet<&str> = rounds
        .iter()
        .flat_map(|r| r.languages(validation))
        .collect();
    if validation {
        page.heading("On the validation rows");
        page.paragraph(
            "Thresholds and calibration were fitted on these very rows, so that F1 and the \
             false-positive rate flatter the guard. A language without both safe and unsafe rows \
             has no AUROC.",
        );
    } else {
        page.heading("On the benchmarks");
        page.paragraph(
            "Means over the benchmarks on which a metric is defined. F1 alone proves nothing: \
             flagging everything has the F1 in the last column of the table. Nothing in the run \
             was fitted to these rows.",
        );
    }
    page.table(&quality_table(rounds, &languages, validation));
    let whose = if validation {
        "the validation rows"
    } else {
        "the benchmarks"
    };
    let titles: Vec<String> = rounds.iter().map(Round::title).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    for (title, metric) in [
        ("F1", (|m| m.f1) as fn(&Metrics) -> Option<f64>),
        ("AUROC", |m| m.auroc),
    ] {
        let series: Vec<_> = languages
            .iter()
            .map(|language| {
                let of_round = |r: &Round| percent(r.mean(validation, language, metric));
                Series::new(*language, rounds.iter().map(of_round).collect())
            })
            .collect();
        let caption = format!("On {whose}, by round and language.");
        let axis = Axis::new("per cent", 0.0, 100.0);
        page.figure(&Figure::bars(title, &caption, &titles, &series, &axis)?);
    }
    let others: Vec<&str> = languages
        .iter()
        .copied()
        .filter(|l| *l != REFERENCE)
        .collect();
    let decline = |round: &Round, language: &str| {
        let metric = |language: &str| round.mean(validation, language, |m| m.auroc);
        percent(Some(metric(language)? - metric(REFERENCE)?))
    };
    let series: Vec<_> = rounds
        .iter()
        .map(|round| {
            let values = others.iter().map(|l| decline(round, l)).collect();
            Series::new(round.title(), values)
        })
        .collect();
    let values = rounds
        .iter()
        .flat_map(|r| others.iter().filter_map(|l| decline(r, l)));
    let values: Vec<f64> = values.collect();
    if !values.is_empty() {
        let axis = Axis::around("points of AUROC", values);
        let caption = format!(
            "AUROC of the language minus AUROC of English, on {whose}: below 0, worse than English."
        );
        let title = "Decline against English";
        page.figure(&Figure::bars(title, &caption, &others, &series, &axis)?);
    }
    Ok(())
}

fn quality_table(rounds: &[Round], languages: &BTreeSet<&str>, validation: bool) -> Table {
    let mut table = Table::new([
        "Language and round",
        "AUROC",
        "F1",
        "FPR",
        "flag everything: F1",
    ]);
    for language in languages {
        for round in rounds {
            let mean = |metric: fn(&Metrics) -> Option<f64>| {
                text(percent(round.mean(validation, language, metric)))
            };
            table.rows.push(vec![
                format!("{language}, {}", round.title()),
                mean(|m| m.auroc),
                mean(|m| m.f1),
                mean(|m| m.fpr),
                mean(|m| flag_everything_f1(m.rows, m.positives)),
            ]);
        }
    }
    table
}

//! What the game did in its rounds, in figures and tables.

use std::collections::BTreeSet;

use duoguard_eval::page::{Axis, Figure, Series, Table};

use crate::error::TrainError;
use crate::game::pairs::PairKind;
use crate::game::proposal::{Classified, DropReason, Outcome};
use crate::game::summary::Summary;
use crate::report::rounds::{Round, percent, summaries, text};
use crate::train::progress::StepMetrics;

/// Rows of S(t) in each language; `None` before a round is over.
pub(super) fn shares(rounds: &[Round]) -> Result<Option<Figure>, TrainError> {
    let played: Vec<(String, &Summary)> = summaries(rounds);
    let languages: BTreeSet<&str> = played
        .iter()
        .flat_map(|(_, s)| s.rows.keys().map(String::as_str))
        .collect();
    let titles: Vec<&str> = played.iter().map(|(title, _)| title.as_str()).collect();
    let share = |summary: &Summary, language: &str| {
        let all: usize = summary.rows.values().sum();
        let rows = summary.rows.get(language).map_or(0, |&n| n);
        percent(Some(rows as f64 / all.max(1) as f64))
    };
    let series: Vec<_> = languages
        .iter()
        .map(|language| {
            let values = played.iter().map(|(_, s)| share(s, language)).collect();
            Series::new(*language, values)
        })
        .collect();
    if titles.is_empty() {
        return Ok(None);
    }
    let axis = Axis::new("per cent of the training rows", 0.0, 100.0);
    let caption = "Languages of the data after each round: the seeds and every misclassified \
        proposal so far.";
    let figure = Figure::bars("Languages of the data", caption, &titles, &series, &axis)?;
    Ok(Some(figure))
}

/// What became of the proposals of every round, by language.
pub(super) fn funnels(rounds: &[Round]) -> Result<Vec<Figure>, TrainError> {
    let mut figures = Vec::new();
    for (title, summary) in summaries(rounds) {
        let outcomes: BTreeSet<Outcome> = summary
            .outcomes
            .values()
            .flat_map(|f| f.keys())
            .copied()
            .collect();
        let names: Vec<&str> = outcomes.iter().map(|o| o.name()).collect();
        let series: Vec<_> = summary
            .outcomes
            .iter()
            .map(|(language, of_language)| {
                let all: usize = of_language.values().sum();
                let share = |outcome| {
                    let count = of_language.get(outcome).map_or(0, |&n| n);
                    percent(Some(count as f64 / all.max(1) as f64))
                };
                Series::new(language.as_str(), outcomes.iter().map(share).collect())
            })
            .collect();
        let title = format!("Proposals of {title}");
        let caption = "What became of them, in the order in which the filters, the judge and the \
            classifier decide. Only the misclassified ones join the data.";
        let axis = Axis::new("per cent of the language's proposals", 0.0, 100.0);
        figures.push(Figure::bars(&title, caption, &names, &series, &axis)?);
    }
    Ok(figures)
}

/// What became of the proposals of every round, by what was asked for.
pub(super) fn kinds(rounds: &[Round]) -> Table {
    let mut table = Table::new([
        "Proposals by round and kind",
        "all",
        "refusals",
        "instruction leaked",
        "copies",
        "dropped otherwise",
        "label lost",
        "correct",
        "misclassified",
    ]);
    const SHOWN: [Outcome; 6] = [
        Outcome::Dropped(DropReason::Refusal),
        Outcome::Dropped(DropReason::Leak),
        Outcome::Dropped(DropReason::Copy),
        Outcome::Scored(Classified::LabelLost),
        Outcome::Scored(Classified::Correct),
        Outcome::Scored(Classified::Misclassified),
    ];
    for (title, summary) in summaries(rounds) {
        for (kind, outcomes) in &summary.kinds {
            let count = |outcome| outcomes.get(outcome).map_or(0, |&n| n);
            let all: usize = outcomes.values().sum();
            let shown: usize = SHOWN.iter().map(count).sum();
            let [refusals, leaks, copies, rest @ ..] = SHOWN.each_ref().map(count);
            let counts = [all, refusals, leaks, copies, all - shown];
            let counts = counts.into_iter().chain(rest);
            let mut row = vec![format!("{title}, {}", kind.name())];
            row.extend(counts.map(|count| count.to_string()));
            table.rows.push(row);
        }
    }
    table
}

/// What joined the data in every round.
pub(super) fn joined(rounds: &[Round]) -> Table {
    let mut table = Table::new([
        "Joined the data",
        "misclassified",
        "correct ones",
        "further copies of what still fooled",
        "answers of people",
    ]);
    for (title, Summary { joined, .. }) in summaries(rounds) {
        let counts = [
            joined.misclassified,
            joined.correct,
            joined.copies,
            joined.reviewed,
        ];
        let counts = counts.map(|count| count.to_string());
        table.rows.push([title].into_iter().chain(counts).collect());
    }
    table
}

/// How good the judge was in every round, by kind and language; `None` where it was not measured.
pub(super) fn judge(rounds: &[Round]) -> Option<Table> {
    let mut table = Table::new([
        "Judge by round, kind and language",
        "rows",
        "precision, unsafe %",
        "recall, unsafe %",
        "precision, safe %",
        "recall, safe %",
    ]);
    for round in rounds {
        for quality in round.judge.iter().flat_map(|judge| &judge.quality) {
            let [precision, recall] = [quality.precision, quality.recall];
            let shares = [precision[1], recall[1], precision[0], recall[0]];
            let title = format!("{}, {}, {}", round.title(), quality.kind, quality.language);
            let mut row = vec![title, quality.rows.to_string()];
            row.extend(shares.map(|share| text(percent(share))));
            table.rows.push(row);
        }
    }
    (!table.rows.is_empty()).then_some(table)
}

/// How good the judge's voters were in every round, by language; `None` for a judge without some.
pub(super) fn voters(rounds: &[Round]) -> Option<Table> {
    let mut table = Table::new(["Voters by round and language", "rows", "AUROC %"]);
    for round in rounds {
        for voter in round.judge.iter().flat_map(|judge| &judge.voters) {
            let title = format!("{}, {}, {}", round.title(), voter.name, voter.language);
            let auroc = text(percent(voter.auroc));
            table.rows.push(vec![title, voter.rows.to_string(), auroc]);
        }
    }
    (!table.rows.is_empty()).then_some(table)
}

/// What kinds of pairs the seeds gave, by round and language.
pub(super) fn pair_kinds(rounds: &[Round]) -> Table {
    let mut table = Table::new([
        "Seeds and kinds by round and language",
        "full pair",
        "label lost",
        "nothing rejected",
        "nothing chosen",
    ]);
    for (title, summary) in summaries(rounds) {
        for (language, pair_kinds) in &summary.pair_kinds {
            let count = |kind| pair_kinds.get(&kind).map_or(0, |&n| n).to_string();
            table.rows.push(vec![
                format!("{title}, {language}"),
                count(PairKind::Full),
                count(PairKind::LabelLost),
                count(PairKind::NoRejected),
                count(PairKind::NoChosen),
            ]);
        }
    }
    table
}

/// A measure of the preference stage at every step; `None` where no round had a pair to learn
/// from.
pub(super) fn preference(
    rounds: &[Round],
    measure: &str,
    title: &str,
    caption: &str,
) -> Result<Option<Figure>, TrainError> {
    let value = |line: &StepMetrics| match measure {
        "loss" => Some(line.loss),
        _ => line.measures.get(measure).copied(),
    };
    let series: Vec<_> = rounds
        .iter()
        .map(|round| {
            let points = round.preference.iter();
            let points = points.filter_map(|line| Some((line.step as f64, value(line)?)));
            (round.title(), points.collect::<Vec<_>>())
        })
        .filter(|(_, points)| !points.is_empty())
        .collect();
    if series.is_empty() {
        return Ok(None);
    }
    let points = || series.iter().flat_map(|(_, points)| points);
    let across = Axis::around("step", points().map(|p| p.0));
    let up = Axis::around(title.to_lowercase(), points().map(|p| p.1));
    let series: Vec<_> = series
        .iter()
        .map(|(name, points)| Series::new(name.as_str(), points.clone()))
        .collect();
    let figure = Figure::lines(title, caption, &series, (&across, &up), false)?;
    Ok(Some(figure))
}

/// How far the players are from answering each other best.
pub(super) fn exploitability(rounds: &[Round]) -> Table {
    let mut table = Table::new([
        "Round",
        "mean surprisal",
        "generator could gain",
        "retraining took off",
    ]);
    for (title, summary) in summaries(rounds) {
        let nats = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.4}"));
        let of = summary.exploitability.as_ref();
        table.rows.push(vec![
            title,
            nats(of.map(|e| e.mean_surprisal_nats)),
            nats(of.map(|e| e.generator_gain_nats)),
            nats(of.map(|e| e.classifier_gain_nats)),
        ]);
    }
    table
}

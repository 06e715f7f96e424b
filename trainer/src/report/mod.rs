//! What a game did, as a page to look at: the figures of PAPER.md's list, drawn from the files that
//! the rounds left.

pub mod scores;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use duoguard_eval::page::{Axis, Figure, Page, Series, Table};
use duoguard_eval::{Metrics, Outcome, ScoreLine, flag_everything_f1, mistakes_figure};
use serde::de::DeserializeOwned;

use crate::error::TrainError;
use crate::game::proposal::Outcome as ProposalOutcome;
use crate::game::summary::Summary;
use crate::report::scores::{SCORES_FILE, VALIDATION};
use crate::train::checkpoint::write_atomically;
use crate::train::preference::PairKind;
use crate::train::progress::StepMetrics;

/// The page's name in the run's folder.
pub const REPORT_FILE: &str = "report.html";
/// The language that the others are compared with.
const REFERENCE: &str = "en";

/// What is known of a round.
struct Round {
    number: usize,
    /// Whose rows (a benchmark, or validation) -> language -> outcomes.
    outcomes: BTreeMap<String, BTreeMap<String, Vec<Outcome>>>,
    /// Round 0 plays no game and has none.
    summary: Option<Summary>,
    /// Margin and reward accuracy at every step of the preference stage.
    preference: Vec<StepMetrics>,
}

/// Writes `report.html` into the folder of a run, from the folders of its rounds, in their order
/// from round 0.
///
/// # Errors
/// A file of a round that is missing or damaged, a figure that cannot be drawn, or a full disk.
pub fn write_report(run: &Path, name: &str, folders: &[PathBuf]) -> Result<(), TrainError> {
    let rounds = folders
        .iter()
        .enumerate()
        .map(|(number, folder)| Round::read(number, folder))
        .collect::<Result<Vec<_>, _>>()?;
    write_atomically(&run.join(REPORT_FILE), page(name, &rounds)?.as_bytes())
}

impl Round {
    fn read(number: usize, folder: &Path) -> Result<Self, TrainError> {
        let mut outcomes: BTreeMap<String, BTreeMap<String, Vec<Outcome>>> = BTreeMap::new();
        for line in json_lines::<ScoreLine>(&folder.join(SCORES_FILE))? {
            let of_language = outcomes.entry(line.benchmark).or_default();
            of_language.entry(line.language).or_default().push(Outcome {
                score: line.score,
                flagged: line.flagged,
                label: line.label == 1,
            });
        }
        let summary = match number {
            0 => None,
            _ => Some(json_file(&folder.join("summary.json"))?),
        };
        let mut preference: Vec<StepMetrics> = json_lines(&folder.join("metrics.jsonl"))?;
        preference.retain(|line| line.stage == "preference");
        Ok(Self {
            number,
            outcomes,
            summary,
            preference,
        })
    }

    fn title(&self) -> String {
        format!("round {}", self.number)
    }

    /// The mean of a metric over the sets on which it is defined: over the benchmarks, or on the
    /// validation rows.
    fn mean(
        &self,
        validation: bool,
        language: &str,
        metric: impl Fn(&Metrics) -> Option<f64>,
    ) -> Option<f64> {
        let values: Vec<f64> = self
            .outcomes
            .iter()
            .filter(|(set, _)| (set.as_str() == VALIDATION) == validation)
            .filter_map(|(_, languages)| metric(&Metrics::of(languages.get(language)?)))
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    fn languages(&self, validation: bool) -> BTreeSet<&str> {
        self.outcomes
            .iter()
            .filter(|(set, _)| (set.as_str() == VALIDATION) == validation)
            .flat_map(|(_, languages)| languages.keys().map(String::as_str))
            .collect()
    }
}

fn json_file<T: DeserializeOwned>(path: &Path) -> Result<T, TrainError> {
    let bytes = fs::read(path).map_err(|e| TrainError::io("read", path, e))?;
    serde_json::from_slice(&bytes).map_err(|e| TrainError::invalid(path, e.to_string()))
}

fn json_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, TrainError> {
    let text = fs::read_to_string(path).map_err(|e| TrainError::io("read", path, e))?;
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_str(line)
                .map_err(|e| TrainError::invalid(path, format!("line {}: {e}", index + 1)))
        })
        .collect()
}

fn page(name: &str, rounds: &[Round]) -> Result<String, TrainError> {
    let mut page = Page::new(format!("The game of {name}"));
    page.paragraph(
        "Round 0 is the classifier of the seed data alone. In every later round the generator writes texts after the seeds, those that fool \
         the classifier and keep their seed's label join the data, the classifier is trained again, and the generator learns from pairs. \
         Scores are those of each round's quantised bundle.",
    );
    let has_benchmarks = rounds.iter().any(|r| !r.languages(false).is_empty());
    for validation in [false, true] {
        if validation || has_benchmarks {
            quality(&mut page, rounds, validation)?;
        }
    }
    if let Some(last) = rounds.last() {
        let outcomes = last.outcomes.values().flat_map(BTreeMap::values).flatten();
        page.figure(&mistakes_figure(outcomes.copied())?);
    }
    page.heading("Data and proposals");
    if let Some(figure) = shares(rounds)? {
        page.figure(&figure);
    }
    for figure in funnels(rounds)? {
        page.figure(&figure);
    }
    page.heading("Preferences");
    page.table(&pair_kinds(rounds));
    for (measure, title, caption) in [
        (
            "margin",
            "Margin",
            "Reward of the chosen text minus that of the rejected one, at every step; above 0, the generator prefers what fooled the classifier.",
        ),
        (
            "reward_accuracy",
            "Reward accuracy",
            "Share of a step's pairs whose chosen text has the higher reward.",
        ),
        (
            "log_ratio",
            "Distance to the reference",
            "Mean log-probability of the chosen texts under the generator, minus that under its frozen reference: what they have drifted apart.",
        ),
        ("loss", "Loss", "DPO and RPO together, at every step."),
    ] {
        if let Some(figure) = preference(rounds, measure, title, caption)? {
            page.figure(&figure);
        }
    }
    page.heading("How far from an equilibrium");
    page.paragraph(
        "Estimates in nats, on the proposals that kept their label: what the generator could still gain by choosing among its own proposals, \
         and what retraining took off the classifier's mean surprisal.",
    );
    page.table(&exploitability(rounds));
    Ok(page.html())
}

/// F1, AUROC and false-positive rate per round and language, and the decline against English.
fn quality(page: &mut Page, rounds: &[Round], validation: bool) -> Result<(), TrainError> {
    let languages: BTreeSet<&str> = rounds
        .iter()
        .flat_map(|r| r.languages(validation))
        .collect();
    if validation {
        page.heading("On the validation rows");
        page.paragraph(
            "Thresholds and calibration were fitted on these very rows, so that F1 and the false-positive rate flatter the guard. A language \
             without both safe and unsafe rows has no AUROC.",
        );
    } else {
        page.heading("On the benchmarks");
        page.paragraph(
            "Means over the benchmarks on which a metric is defined. F1 alone proves nothing: flagging everything has the F1 in the last \
             column of the table. Nothing in the run was fitted to these rows.",
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

/// Rows of S(t) in each language; `None` before a round is over.
fn shares(rounds: &[Round]) -> Result<Option<Figure>, TrainError> {
    let played: Vec<(String, &Summary)> = summaries(rounds);
    let languages: BTreeSet<&str> = played
        .iter()
        .flat_map(|(_, s)| s.rows.keys().map(String::as_str))
        .collect();
    let titles: Vec<&str> = played.iter().map(|(title, _)| title.as_str()).collect();
    let share = |summary: &Summary, language: &str| {
        let all: usize = summary.rows.values().sum();
        let rows = summary.rows.get(language).copied().unwrap_or_default();
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
    let caption = "Languages of the data after each round: the seeds and every misclassified proposal so far.";
    let figure = Figure::bars("Languages of the data", caption, &titles, &series, &axis)?;
    Ok(Some(figure))
}

/// What became of the proposals of every round, by language.
fn funnels(rounds: &[Round]) -> Result<Vec<Figure>, TrainError> {
    let mut figures = Vec::new();
    for (title, summary) in summaries(rounds) {
        let outcomes: BTreeSet<ProposalOutcome> = summary
            .outcomes
            .values()
            .flat_map(|f| f.keys())
            .copied()
            .collect();
        let names: Vec<String> = outcomes.iter().map(snake_case).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let series: Vec<_> = summary
            .outcomes
            .iter()
            .map(|(language, of_language)| {
                let all: usize = of_language.values().sum();
                let share = |outcome| {
                    let count = of_language.get(outcome).copied().unwrap_or_default();
                    percent(Some(count as f64 / all.max(1) as f64))
                };
                Series::new(language.as_str(), outcomes.iter().map(share).collect())
            })
            .collect();
        let title = format!("Proposals of {title}");
        let caption = "What became of them, in the order in which the filters, the judge and the classifier decide. Only the misclassified \
             ones join the data.";
        let axis = Axis::new("per cent of the language's proposals", 0.0, 100.0);
        figures.push(Figure::bars(&title, caption, &names, &series, &axis)?);
    }
    Ok(figures)
}

fn summaries(rounds: &[Round]) -> Vec<(String, &Summary)> {
    let played = rounds.iter();
    played
        .filter_map(|r| Some((r.title(), r.summary.as_ref()?)))
        .collect()
}

/// The name that a unit variant has in JSON.
fn snake_case(outcome: &ProposalOutcome) -> String {
    let value = serde_json::to_value(outcome).unwrap_or_default();
    value.as_str().unwrap_or_default().replace('_', " ")
}

fn pair_kinds(rounds: &[Round]) -> Table {
    let mut table = Table::new([
        "Seeds by round and language",
        "full pair",
        "label lost",
        "nothing rejected",
        "nothing chosen",
    ]);
    for (title, summary) in summaries(rounds) {
        for (language, pair_kinds) in &summary.pair_kinds {
            let count = |kind| {
                pair_kinds
                    .get(&kind)
                    .copied()
                    .unwrap_or_default()
                    .to_string()
            };
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

/// `None` where no round had a pair to learn from.
fn preference(
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

fn exploitability(rounds: &[Round]) -> Table {
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

fn percent(fraction: Option<f64>) -> Option<f64> {
    fraction.map(|f| 100.0 * f)
}

fn text(percent: Option<f64>) -> String {
    percent.map_or_else(|| "-".to_owned(), |p| format!("{p:.1}"))
}

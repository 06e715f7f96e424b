//! What a game did, as a page to look at, drawn from the files that the rounds left: the figures of
//! arXiv 2502.05163 for one run, among them F1 by round and language (its figure 7a), the languages
//! of the data (7b) and the scores of the mistakes (9).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use duoguard_eval::mistakes_figure;
use duoguard_eval::page::Page;

use crate::error::TrainError;
use crate::files::write_atomically;
use crate::game::budget::{ENDED_FILE, EndedEarly};
use crate::report::game::{
    exploitability, funnels, joined, judge, kinds, pair_kinds, preference, shares, voters,
};
use crate::report::quality::quality;
use crate::report::rounds::{Round, json_file};
use crate::report::samples::samples;

/// The page's name in the run's folder.
pub(crate) const REPORT_FILE: &str = "report.html";

/// Writes `report.html` into the folder of a run, from the folders of its rounds, in their order
/// from round 0.
///
/// # Errors
/// A file of a round that is missing or damaged, a figure that cannot be drawn, or a full disk.
pub(crate) fn write_report(run: &Path, name: &str, folders: &[PathBuf]) -> Result<(), TrainError> {
    let rounds = folders
        .iter()
        .enumerate()
        .map(|(number, folder)| Round::read(number, folder))
        .collect::<Result<Vec<_>, _>>()?;
    let ended = run.join(ENDED_FILE);
    let ended = ended.exists().then(|| json_file(&ended)).transpose()?;
    let page = page(name, &rounds, ended.as_ref())?;
    write_atomically(&run.join(REPORT_FILE), page.as_bytes())
}

fn page(name: &str, rounds: &[Round], ended: Option<&EndedEarly>) -> Result<String, TrainError> {
    let mut page = Page::new(format!("The game of {name}"));
    page.paragraph(
        "Round 0 is the classifier of the seed data alone. In every later round the generator \
         writes texts after the seeds, those that the classifier misjudges and that keep their seed's label \
         join the data, the classifier is trained again, and the generator learns from pairs. \
         Scores are those of each round's quantised bundle.",
    );
    if let Some(EndedEarly {
        after_round,
        reason,
    }) = ended
    {
        page.paragraph(&format!(
            "The game ended early, after round {after_round}: {reason}."
        ));
    }
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
    page.table(&kinds(rounds));
    page.table(&joined(rounds));
    if let Some(table) = judge(rounds) {
        page.heading("The judge");
        page.paragraph(
            "On labelled rows that were held out, half of which say what a rating is worth in a \
             language, and on the other half and on proposals that people reviewed: how often it \
             is right. Ratings of less than the recipe's precision are not used.",
        );
        page.table(&table);
    }
    if let Some(table) = voters(rounds) {
        page.paragraph(
            "Its voters, and all of them together, on the other half: how well each tells unsafe \
             rows from safe ones. A fold's classifier does not vote where it may have seen the seed.",
        );
        page.table(&table);
    }
    page.heading("Preferences");
    page.table(&pair_kinds(rounds));
    for (measure, title, caption) in [
        (
            "margin",
            "Margin",
            "Reward of the chosen text minus that of the rejected one, at every step; above 0, \
             the generator prefers what the classifier misjudged.",
        ),
        (
            "reward_accuracy",
            "Reward accuracy",
            "Share of a step's pairs whose chosen text has the higher reward.",
        ),
        (
            "log_ratio",
            "Distance to the reference",
            "Mean log-probability of the chosen texts under the generator, minus that under its \
             frozen reference: what they have drifted apart.",
        ),
        ("loss", "Loss", "DPO and RPO together, at every step."),
    ] {
        if let Some(figure) = preference(rounds, measure, title, caption)? {
            page.figure(&figure);
        }
    }
    page.heading("How far from an equilibrium");
    page.paragraph(
        "Estimates in nats, on the proposals that kept their label: what the generator could \
         still gain by choosing among its own proposals, and what retraining took off the \
         classifier's mean surprisal.",
    );
    page.table(&exploitability(rounds));
    for round in rounds.iter().filter(|round| !round.proposals.is_empty()) {
        page.heading(&format!("What was proposed in {}", round.title()));
        page.paragraph("Some proposals of the round, evenly from all of them.");
        page.table(&samples(&round.title(), &round.proposals));
    }
    Ok(page.html())
}

//! Proposals of a round, for a person to read.

use duoguard_eval::page::Table;
use serde::Deserialize;

use crate::game::proposal::Outcome;
use crate::recipe::ProposalKind;

/// Proposals of a round that are shown at most.
const SHOWN: usize = 200;
/// Characters that are shown of a text.
const SHOWN_CHARS: usize = 300;

/// What is read of a line of `proposals.jsonl`.
#[derive(Deserialize)]
pub(super) struct ProposalLine {
    seed_text: String,
    kind: ProposalKind,
    language: String,
    text: Option<String>,
    #[serde(rename = "unsafe")]
    is_unsafe: bool,
    rating: Option<u8>,
    score: Option<f32>,
    outcome: Outcome,
}

/// Every so-manieth of a round's proposals.
pub(super) fn samples(title: &str, lines: &[ProposalLine]) -> Table {
    let mut table = Table::new([
        &*format!("Proposals of {title} to read"),
        "written",
        "after",
        "asked for as",
        "judge",
        "classifier",
        "outcome",
    ]);
    let shown = SHOWN.min(lines.len());
    for index in 0..shown {
        let line = &lines[index * lines.len() / shown];
        let cut = |text: &str| text.chars().take(SHOWN_CHARS).collect::<String>();
        let label = if line.is_unsafe { "unsafe" } else { "safe" };
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        table.rows.push(vec![
            line.language.clone(),
            or_none(line.text.as_deref().map(cut)),
            cut(&line.seed_text),
            format!("{}, {label}", line.kind.name()),
            or_none(line.rating.map(|rating| rating.to_string())),
            or_none(line.score.map(|score| format!("{:.0} %", 100.0 * score))),
            line.outcome.name().to_owned(),
        ]);
    }
    table
}

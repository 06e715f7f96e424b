//! The proposals of a run, and what is doubtful about them.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::recipe::ProposalKind;

/// The rating of a judge that cannot tell.
const UNSURE_RATING: u8 = 3;
/// A text of whose words this share stood in no earlier round is new.
const NEW_SHARE: f64 = 0.5;

/// A line of `proposals.jsonl`; what was dropped before judge and classifier saw it has no rating.
#[derive(Deserialize)]
struct Line {
    seed_text: String,
    kind: ProposalKind,
    language: String,
    text: Option<String>,
    #[serde(rename = "unsafe")]
    is_unsafe: bool,
    categories: Vec<String>,
    group: String,
    rating: Option<u8>,
    score: Option<f32>,
}

/// Why a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    /// The judge cannot tell.
    UnsureJudge,
    /// The judge contradicts the label that was asked for.
    JudgeAgainstLabel,
    /// The classifier contradicts the label, and the judge does not.
    ClassifierAgainstLabel,
    /// Most of its words stood in no earlier round.
    NewWords,
}

/// A proposal that a person may be asked about.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Item {
    pub(super) round: usize,
    pub(super) text: String,
    pub(super) language: String,
    pub(super) kind: ProposalKind,
    pub(super) seed_text: String,
    /// The label that was asked for.
    pub(super) is_unsafe: bool,
    /// Those of the seed.
    pub(super) categories: Vec<String>,
    pub(super) group: String,
    /// The judge's, from 1 (safe) to 5 (unsafe).
    pub(super) rating: u8,
    /// The classifier's, in [0, 1].
    pub(super) score: f32,
    pub(super) reasons: Vec<Reason>,
}

impl Item {
    /// How far the label, the judge and the classifier are apart, in [0, 1], and half a point for
    /// each other reason to ask.
    pub(super) fn doubt(&self) -> f64 {
        let label = if self.is_unsafe { 1.0 } else { 0.0 };
        let judge = (f64::from(self.rating) - 1.0) / 4.0;
        let opinions = [label, judge, f64::from(self.score)];
        let spread = opinions.iter().copied().fold(0.0, f64::max)
            - opinions.iter().copied().fold(1.0, f64::min);
        let others = [Reason::UnsureJudge, Reason::NewWords];
        let others = self.reasons.iter().filter(|r| others.contains(r)).count();
        spread + 0.5 * others as f64
    }
}

/// The rated proposals of all rounds in the folder of a run that have a reason to be asked about.
///
/// # Errors
/// A folder without a played round; a file that is damaged.
pub(super) fn doubtful(run: &Path) -> Result<Vec<Item>, TrainError> {
    let mut items = Vec::new();
    let mut seen: BTreeMap<String, HashSet<String>> = BTreeMap::new();
    for round in 1.. {
        let path = run.join(format!("round-{round}")).join("proposals.jsonl");
        if !path.exists() {
            break;
        }
        let proposals = read(&path)?;
        for line in &proposals {
            items.extend(item(line, round, seen.get(&line.language)));
        }
        for line in proposals {
            let words = line.text.as_deref().map(words).unwrap_or_default();
            seen.entry(line.language).or_default().extend(words);
        }
    }
    match seen.is_empty() {
        true => Err(TrainError::invalid(
            run,
            "has no round-1/proposals.jsonl: expected the folder of a run whose game has begun, such \
             as runs/demo",
        )),
        false => Ok(items),
    }
}

fn read(path: &Path) -> Result<Vec<Line>, TrainError> {
    let text = fs::read_to_string(path).map_err(|e| TrainError::io("read", path, e))?;
    let line = |(index, line)| {
        serde_json::from_str(line)
            .map_err(|e| TrainError::invalid(path, format!("line {}: {e}", index + 1)))
    };
    text.lines().enumerate().map(line).collect()
}

/// The item that a line is, if it was rated and there is a reason to ask.
fn item(line: &Line, round: usize, seen: Option<&HashSet<String>>) -> Option<Item> {
    let (text, rating, score) = (line.text.as_ref()?, line.rating?, line.score?);
    let contradicts = |says_unsafe: bool| says_unsafe != line.is_unsafe;
    let judge = rating == UNSURE_RATING;
    let flipped = contradicts(rating >= UNSURE_RATING);
    let is_new = seen.is_some_and(|seen| {
        let words = words(text);
        let new = words.iter().filter(|word| !seen.contains(*word)).count();
        new as f64 >= NEW_SHARE * words.len() as f64
    });
    let reasons = [
        (judge, Reason::UnsureJudge),
        (flipped, Reason::JudgeAgainstLabel),
        (
            !flipped && contradicts(score > 0.5),
            Reason::ClassifierAgainstLabel,
        ),
        (is_new, Reason::NewWords),
    ];
    let reasons: Vec<Reason> = reasons
        .into_iter()
        .filter_map(|(holds, reason)| holds.then_some(reason))
        .collect();
    (!reasons.is_empty()).then(|| Item {
        round,
        text: text.clone(),
        language: line.language.clone(),
        kind: line.kind,
        seed_text: line.seed_text.clone(),
        is_unsafe: line.is_unsafe,
        categories: line.categories.clone(),
        group: line.group.clone(),
        rating,
        score,
        reasons,
    })
}

/// The words of a text, in lower case, each once.
pub(super) fn words(text: &str) -> HashSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, rating: u8, score: f32) -> Line {
        Line {
            seed_text: "seed".to_owned(),
            kind: ProposalKind::Prompt,
            language: "de".to_owned(),
            text: Some(text.to_owned()),
            is_unsafe: true,
            categories: vec!["hate".to_owned()],
            group: "u1".to_owned(),
            rating: Some(rating),
            score: Some(score),
        }
    }

    #[test]
    fn every_doubt_has_its_reason_and_the_greatest_comes_first() {
        let seen: HashSet<String> = words("ein Wort das alle kennen");
        let of = |text: &str, rating, score| item(&line(text, rating, score), 2, Some(&seen));
        assert!(of("ein Wort", 5, 0.9).is_none());
        let reasons = |rating, score| of("ein Wort", rating, score).unwrap().reasons;
        assert_eq!(reasons(3, 0.9), [Reason::UnsureJudge]);
        assert_eq!(reasons(1, 0.9), [Reason::JudgeAgainstLabel]);
        assert_eq!(reasons(1, 0.1), [Reason::JudgeAgainstLabel]);
        assert_eq!(reasons(5, 0.1), [Reason::ClassifierAgainstLabel]);
        let new = of("lauter Neues hier", 5, 0.9).unwrap();
        assert_eq!(new.reasons, [Reason::NewWords]);
        assert!(item(&line("lauter Neues hier", 5, 0.9), 1, None).is_none());

        let doubt = |rating, score| of("ein Wort", rating, score).unwrap().doubt();
        assert!(doubt(1, 0.9) > doubt(2, 0.9) && doubt(3, 0.0) > doubt(1, 0.9));
        let dropped = Line {
            rating: None,
            ..line("ein Wort", 1, 0.1)
        };
        assert!(item(&dropped, 1, None).is_none());
    }
}

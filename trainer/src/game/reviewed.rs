//! `reviewed.jsonl`: what people said of proposals. The review page appends to it, and every round
//! takes over what was there when it began.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::rows::CATEGORIES;
use crate::error::TrainError;
use crate::files::write_atomically;
use crate::recipe::ProposalKind;

/// The file's name, in the folder of a run and of a round.
pub(crate) const REVIEWED_FILE: &str = "reviewed.jsonl";

/// What a person says of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Harmless.
    Safe,
    /// To be stopped.
    Unsafe,
    /// Neither, or no sentence at all: it is not to be learned from.
    Unclear,
}

/// A person's answer. Of several on one text the last one holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Review {
    /// The proposal.
    pub text: String,
    /// Its language.
    pub lang: String,
    /// What the person says.
    pub verdict: Verdict,
    /// Names of the categories that apply; empty where they are not known.
    pub categories: Vec<String>,
    /// What its seed shares with its translations.
    pub group: String,
    /// What was asked for.
    pub kind: ProposalKind,
    /// The English text that inspired it.
    pub seed_text: String,
    /// The round that it is from.
    pub round: usize,
}

impl Review {
    /// Bit i is set when category i of the 12 applies.
    pub(crate) fn category_bits(&self) -> u16 {
        let named = |bit: &usize| self.categories.iter().any(|name| name == CATEGORIES[*bit]);
        (0..CATEGORIES.len())
            .filter(named)
            .map(|bit| 1 << bit)
            .sum()
    }
}

/// The answers in a file; none where there is no file.
///
/// # Errors
/// A file that cannot be read; a line that is no answer, or names an unknown category.
pub(crate) fn read_reviews(path: &Path) -> Result<Vec<Review>, TrainError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).map_err(|e| TrainError::io("read", path, e))?;
    let review = |(index, line): (usize, &str)| {
        let refuse = |reason| TrainError::invalid(path, format!("line {}: {reason}", index + 1));
        let review: Review = serde_json::from_str(line).map_err(|e| refuse(e.to_string()))?;
        let mut names = review.categories.iter();
        match names.find(|name| !CATEGORIES.contains(&name.as_str())) {
            Some(name) => {
                let known = CATEGORIES.join(", ");
                Err(refuse(format!(
                    "categories has {name:?}, expected some of {known}"
                )))
            }
            None => Ok(review),
        }
    };
    text.lines().enumerate().map(review).collect()
}

/// Appends an answer, which is on disk when this returns.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn append_review(path: &Path, review: &Review) -> Result<(), TrainError> {
    let failed = |e| TrainError::io("append to", path, e);
    let mut line =
        serde_json::to_vec(review).map_err(|e| TrainError::invalid(path, e.to_string()))?;
    line.push(b'\n');
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    let mut file = file.map_err(failed)?;
    let before = file.metadata().map_err(failed)?.len();
    let written = file.write_all(&line).and_then(|()| file.sync_data());
    written.map_err(|cause| {
        // An answer that is refused is given again: what there is of it would stand before that.
        let _ = file.set_len(before);
        failed(cause)
    })
}

/// Keeps in a round's folder what `run` holds when the round begins: a round that is resumed goes
/// on with that, whatever was answered meanwhile.
///
/// # Errors
/// A file that cannot be read or written.
pub(crate) fn freeze_reviews(run: &Path, round: &Path) -> Result<(), TrainError> {
    let (from, to) = (run.join(REVIEWED_FILE), round.join(REVIEWED_FILE));
    if to.exists() {
        return Ok(());
    }
    let bytes = match from.exists() {
        true => fs::read(&from).map_err(|e| TrainError::io("read", &from, e))?,
        false => Vec::new(),
    };
    write_atomically(&to, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_back_and_a_round_keeps_those_it_began_with() {
        let run = tempfile::tempdir().unwrap();
        let round = run.path().join("round-1");
        fs::create_dir(&round).unwrap();
        let review = |text: &str| Review {
            text: text.to_owned(),
            lang: "fr".to_owned(),
            verdict: Verdict::Unsafe,
            categories: vec!["hate".to_owned()],
            group: "u1".to_owned(),
            kind: ProposalKind::Twin,
            seed_text: "one".to_owned(),
            round: 1,
        };
        let path = run.path().join(REVIEWED_FILE);
        append_review(&path, &review("un")).unwrap();
        freeze_reviews(run.path(), &round).unwrap();
        append_review(&path, &review("deux")).unwrap();
        freeze_reviews(run.path(), &round).unwrap();
        assert_eq!(read_reviews(&path).unwrap(), [review("un"), review("deux")]);
        let kept = read_reviews(&round.join(REVIEWED_FILE)).unwrap();
        assert_eq!(kept, [review("un")]);
        assert_eq!(kept[0].category_bits(), 1 << 8);

        fs::write(&path, "{\"text\": 3}\n").unwrap();
        let error = read_reviews(&path).unwrap_err().to_string();
        assert!(
            error.contains("reviewed.jsonl") && error.contains("line 1"),
            "{error}"
        );
    }
}

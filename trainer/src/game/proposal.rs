//! A proposal on its way: a draft, then a finished text, then rated, then scored; or dropped.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::game::judge::agrees;
use crate::game::seeds::Seed;
use crate::recipe::ProposalKind;

/// What the generator wrote for one seed and language.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// Its index in the round.
    pub number: usize,
    /// What inspired it.
    pub seed: Arc<Seed>,
    /// The language asked for.
    pub language: String,
    /// What was asked for.
    pub kind: ProposalKind,
    /// The text; absent where none was finished.
    pub text: Option<String>,
}

/// A draft that the filters let pass.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    /// Its index in the round.
    pub number: usize,
    /// What inspired it.
    pub seed: Arc<Seed>,
    /// The language asked for, and identified.
    pub language: String,
    /// What was asked for.
    pub kind: ProposalKind,
    /// What was written.
    pub text: String,
}

/// A proposal that the judge rated.
#[derive(Clone, Debug)]
pub(crate) struct Rated {
    /// What was rated.
    pub proposal: Proposal,
    /// From 1 (safe) to 5 (unsafe).
    pub rating: u8,
}

/// A rated proposal that the classifier of the round before scored.
#[derive(Clone, Debug)]
pub(crate) struct Scored {
    /// What was scored.
    pub proposal: Proposal,
    /// From 1 (safe) to 5 (unsafe).
    pub rating: u8,
    /// The classifier's score, in [0, 1].
    pub score: f32,
}

/// A draft that a filter or the judge dropped.
#[derive(Clone, Debug)]
pub(crate) struct Dropped {
    /// What was dropped.
    pub draft: Draft,
    /// Why.
    pub reason: DropReason,
}

/// All proposals of a round.
#[derive(Debug, Default)]
pub(crate) struct Proposals {
    /// Those that filters or judge dropped.
    pub dropped: Vec<Dropped>,
    /// The others, in the order of their numbers.
    pub scored: Vec<Scored>,
}

/// Why a draft was dropped: the filters in their order, then the judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DropReason {
    /// No text was finished, or an empty one.
    Unfinished,
    /// Its length differs too much from the seed's.
    Length,
    /// The generator refused.
    Refusal,
    /// It repeats the instruction.
    Leak,
    /// It repeats its seed.
    Copy,
    /// It is in another language, as identified and not as asked for.
    Language,
    /// The same text was proposed before.
    Duplicate,
    /// It shares eight words in a row with a benchmark.
    Benchmark,
    /// The judge finds that it has nothing to do with its seed.
    Unrelated,
    /// The judge's answer was no rating.
    Unparseable,
    /// The judge is right too rarely about texts of this language that it rates so.
    Imprecise,
}

/// What judge and classifier make of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Classified {
    /// The judge's rating contradicts the label that was asked for.
    LabelLost,
    /// The classifier gives it that label.
    Correct,
    /// The classifier does not: it joins the data.
    Misclassified,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Outcome {
    /// A filter or the judge dropped it.
    Dropped(DropReason),
    /// It was rated and scored.
    Scored(Classified),
}

impl Outcome {
    /// For people to read.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dropped(DropReason::Unfinished) => "unfinished",
            Self::Dropped(DropReason::Length) => "length",
            Self::Dropped(DropReason::Refusal) => "refusal",
            Self::Dropped(DropReason::Leak) => "instruction leaked",
            Self::Dropped(DropReason::Language) => "language",
            Self::Dropped(DropReason::Copy) => "copy",
            Self::Dropped(DropReason::Duplicate) => "duplicate",
            Self::Dropped(DropReason::Benchmark) => "benchmark",
            Self::Dropped(DropReason::Unrelated) => "unrelated",
            Self::Dropped(DropReason::Unparseable) => "unparseable",
            Self::Dropped(DropReason::Imprecise) => "judge imprecise",
            Self::Scored(Classified::LabelLost) => "label lost",
            Self::Scored(Classified::Correct) => "correct",
            Self::Scored(Classified::Misclassified) => "misclassified",
        }
    }
}

impl Draft {
    /// The proposal that this draft is with its finished `text`.
    pub(crate) fn finished(self, text: String) -> Proposal {
        Proposal {
            number: self.number,
            seed: self.seed,
            language: self.language,
            kind: self.kind,
            text,
        }
    }
}

impl Proposal {
    /// Drops it.
    pub(crate) fn dropped(self, reason: DropReason) -> Dropped {
        Dropped {
            draft: Draft {
                number: self.number,
                seed: self.seed,
                language: self.language,
                kind: self.kind,
                text: Some(self.text),
            },
            reason,
        }
    }
}

impl Proposal {
    /// The label that was asked for: the seed's, but for harmless twins.
    pub(crate) fn is_unsafe(&self) -> bool {
        self.kind.is_unsafe(self.seed.row.is_unsafe)
    }
}

impl Scored {
    /// The label that was asked for.
    pub(crate) fn is_unsafe(&self) -> bool {
        self.proposal.is_unsafe()
    }

    /// The judge's rating agrees with the label.
    pub(crate) fn agrees(&self) -> bool {
        agrees(self.rating, self.is_unsafe())
    }

    /// The classifier's answer is not the label.
    pub(crate) fn is_misclassified(&self) -> bool {
        (self.score > 0.5) != self.is_unsafe()
    }

    /// What judge and classifier make of it together.
    pub(crate) fn classified(&self) -> Classified {
        match (self.agrees(), self.is_misclassified()) {
            (false, _) => Classified::LabelLost,
            (true, false) => Classified::Correct,
            (true, true) => Classified::Misclassified,
        }
    }
}

/// A proposal as a line of a round's `proposals.jsonl`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    seed: usize,
    seed_text: &'a str,
    kind: ProposalKind,
    language: &'a str,
    text: Option<&'a str>,
    /// The label that was asked for.
    r#unsafe: bool,
    /// Those of the seed.
    categories: Vec<&'static str>,
    /// What the seed shares with its translations.
    group: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rating: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    outcome: Outcome,
}

impl Proposals {
    /// The language, the kind and the outcome of every proposal.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (&str, ProposalKind, Outcome)> {
        let dropped = self.dropped.iter().map(|Dropped { draft, reason }| {
            let outcome = Outcome::Dropped(*reason);
            (draft.language.as_str(), draft.kind, outcome)
        });
        let scored = self.scored.iter().map(|scored| {
            let outcome = Outcome::Scored(scored.classified());
            let Proposal { language, kind, .. } = &scored.proposal;
            (language.as_str(), *kind, outcome)
        });
        dropped.chain(scored)
    }

    /// One value per proposal, in the order of their numbers.
    pub(crate) fn lines(&self) -> Vec<impl Serialize> {
        let dropped = self.dropped.iter().map(|Dropped { draft, reason }| {
            let line = Line {
                seed: draft.seed.number,
                seed_text: &draft.seed.row.text,
                kind: draft.kind,
                language: &draft.language,
                text: draft.text.as_deref(),
                r#unsafe: draft.kind.is_unsafe(draft.seed.row.is_unsafe),
                categories: draft.seed.row.category_names(),
                group: draft.seed.row.key(),
                rating: None,
                score: None,
                outcome: Outcome::Dropped(*reason),
            };
            (draft.number, line)
        });
        let scored = self.scored.iter().map(|scored| {
            let line = Line {
                seed: scored.proposal.seed.number,
                seed_text: &scored.proposal.seed.row.text,
                kind: scored.proposal.kind,
                language: &scored.proposal.language,
                text: Some(&scored.proposal.text),
                r#unsafe: scored.is_unsafe(),
                categories: scored.proposal.seed.row.category_names(),
                group: scored.proposal.seed.row.key(),
                rating: Some(scored.rating),
                score: Some(scored.score),
                outcome: Outcome::Scored(scored.classified()),
            };
            (scored.proposal.number, line)
        });
        let mut lines: Vec<(usize, Line<'_>)> = dropped.chain(scored).collect();
        lines.sort_by_key(|(number, _)| *number);
        lines.into_iter().map(|(_, line)| line).collect()
    }
}

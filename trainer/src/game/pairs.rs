//! Preference pairs: which proposal of a seed the generator is to prefer, and to which (arXiv
//! 2502.05163, the section on the preference data).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::game::proposal::Scored;
use crate::game::seeds::Seed;
use crate::recipe::{GameRecipe, ProposalKind};

/// A proposal as the pairs see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The classifier's answer is not the seed's label.
    pub misclassified: bool,
    /// The judge's rating agrees with the seed's label.
    pub agrees: bool,
}

/// What a seed's proposals in one language gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PairKind {
    /// A misclassified proposal that keeps the label, over a correctly classified one that keeps
    /// it.
    Full,
    /// Nothing of the second kind: over a misclassified one that does not keep the label.
    LabelLost,
    /// A proposal to prefer, and none to prefer it to.
    NoRejected,
    /// No misclassified proposal keeps the label: the seed is skipped.
    NoChosen,
}

/// Language -> kind -> pairs looked for.
pub(crate) type PairKinds = BTreeMap<String, BTreeMap<PairKind, usize>>;

/// The indices of the (chosen, rejected) proposals, where there is a pair, and its kind. The first
/// of a kind is taken: proposals are independent draws, so the first is as good a sample as any.
pub(crate) fn choose_pair(proposals: &[Candidate]) -> (PairKind, Option<(usize, usize)>) {
    let first = |misclassified, agrees| {
        proposals.iter().position(|p| {
            *p == Candidate {
                misclassified,
                agrees,
            }
        })
    };
    let Some(chosen) = first(true, true) else {
        return (PairKind::NoChosen, None);
    };
    match (first(false, true), first(true, false)) {
        (Some(rejected), _) => (PairKind::Full, Some((chosen, rejected))),
        (None, Some(rejected)) => (PairKind::LabelLost, Some((chosen, rejected))),
        (None, None) => (PairKind::NoRejected, None),
    }
}

impl From<&Scored> for Candidate {
    fn from(proposal: &Scored) -> Self {
        Self {
            misclassified: proposal.is_misclassified(),
            agrees: proposal.agrees(),
        }
    }
}

/// Two proposals of one seed in one language.
#[derive(Clone, Debug)]
pub(crate) struct PreferencePair {
    /// What inspired both.
    pub seed: Arc<Seed>,
    /// Their language.
    pub language: String,
    /// What was asked for.
    pub kind: ProposalKind,
    /// How good a pair it is.
    pub pair_kind: PairKind,
    /// The text to prefer.
    pub chosen: String,
    /// The text to prefer it to.
    pub rejected: String,
}

impl PreferencePair {
    /// Its line in `pairs.jsonl`.
    pub(crate) fn line(&self) -> Value {
        json!({
            "seed": self.seed.row.text, "unsafe": self.kind.is_unsafe(self.seed.row.is_unsafe),
            "language": self.language, "asked": self.kind, "kind": self.pair_kind,
            "chosen": self.chosen, "rejected": self.rejected,
        })
    }
}

/// At most one pair per seed, language and kind, and what kinds of pairs there are.
pub(crate) fn pairs_of(
    seeds: &[Arc<Seed>],
    scored: &[Scored],
    recipe: &GameRecipe,
) -> (PairKinds, Vec<PreferencePair>) {
    let mut groups: BTreeMap<(usize, &str, ProposalKind), Vec<&Scored>> = BTreeMap::new();
    for proposal in scored {
        let of = &proposal.proposal;
        let key = (of.seed.number, of.language.as_str(), of.kind);
        groups.entry(key).or_default().push(proposal);
    }
    let kinds = |language| recipe.kinds.iter().map(move |&kind| (language, kind));
    let mut pair_kinds = PairKinds::new();
    let mut pairs = Vec::new();
    for seed in seeds {
        let asked = recipe.languages.iter().flat_map(kinds);
        for (language, kind) in asked.filter(|(_, k)| k.applies_to(seed.row.is_unsafe)) {
            let group: &[&Scored] = match groups.get(&(seed.number, language.as_str(), kind)) {
                Some(group) => group,
                None => &[],
            };
            let candidates: Vec<Candidate> = group.iter().map(|&s| s.into()).collect();
            let (pair_kind, pair) = choose_pair(&candidates);
            let of_language = pair_kinds.entry(language.clone()).or_default();
            *of_language.entry(pair_kind).or_default() += 1;
            let Some((chosen, rejected)) = pair else {
                continue;
            };
            let text = |index: usize| group[index].proposal.text.clone();
            pairs.push(PreferencePair {
                seed: seed.clone(),
                language: language.clone(),
                kind,
                pair_kind,
                chosen: text(chosen),
                rejected: text(rejected),
            });
        }
    }
    (pair_kinds, pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_every_level() {
        let good = Candidate {
            misclassified: true,
            agrees: true,
        };
        let caught = Candidate {
            misclassified: false,
            agrees: true,
        };
        let mislabelled = Candidate {
            misclassified: true,
            agrees: false,
        };
        let useless = Candidate {
            misclassified: false,
            agrees: false,
        };
        for (proposals, expected) in [
            (
                vec![caught, mislabelled, good, good],
                (PairKind::Full, Some((2, 0))),
            ),
            (
                vec![useless, mislabelled, good],
                (PairKind::LabelLost, Some((2, 1))),
            ),
            (vec![good, useless, good], (PairKind::NoRejected, None)),
            (
                vec![caught, mislabelled, useless],
                (PairKind::NoChosen, None),
            ),
            (vec![], (PairKind::NoChosen, None)),
        ] {
            assert_eq!(choose_pair(&proposals), expected);
        }
    }
}

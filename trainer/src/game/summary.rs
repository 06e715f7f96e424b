//! A round in numbers.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::rows::Corpus;
use crate::error::TrainError;
use crate::files::write_json;
use crate::game::pairs::{PairKind, PairKinds};
use crate::game::proposal::{Outcome, Proposals, Scored};
use crate::game::theory::empirical_gain;
use crate::recipe::ProposalKind;

/// A round in numbers; its file is also the mark that the round is finished.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Summary {
    /// From 1.
    pub round: usize,
    /// Seeds drawn.
    pub seeds: usize,
    /// Language -> outcome -> proposals.
    pub outcomes: BTreeMap<String, BTreeMap<Outcome, usize>>,
    /// Kind -> outcome -> proposals.
    pub kinds: BTreeMap<ProposalKind, BTreeMap<Outcome, usize>>,
    /// Language -> kind -> seeds.
    pub pair_kinds: BTreeMap<String, BTreeMap<PairKind, usize>>,
    /// Language -> rows of S(t).
    pub rows: BTreeMap<String, usize>,
    /// Rows that joined the data.
    #[serde(default)]
    pub joined: Joined,
    /// Answers of a generator that follows instructions which had reasoning, an announcement or
    /// quotation marks taken off.
    #[serde(default)]
    pub cleaned: usize,
    /// Absent when no proposal kept its label.
    pub exploitability: Option<Exploitability>,
}

/// What joined the data in a round, and how its classifier saw them.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Joined {
    /// Misclassified proposals.
    pub misclassified: usize,
    /// Correctly classified ones: a share of them, and what balances harmful and harmless.
    #[serde(alias = "for_balance")]
    pub correct: usize,
    /// Further copies of rows that still fooled the classifier of the round before, or that a
    /// person labelled.
    pub copies: usize,
    /// Answers of people that were taken over.
    pub reviewed: usize,
}

/// How far the players are from answering each other best, on the proposals that kept their label.
/// Estimates: of the generator's best response only what it wrote is known, and of the classifier's
/// only what retraining found.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exploitability {
    /// Mean of -ln p(the seed's label | proposal) under the classifier of the round before.
    pub mean_surprisal_nats: f64,
    /// What the generator could gain by choosing among its proposals for a seed; see
    /// [`empirical_gain`].
    pub generator_gain_nats: f64,
    /// What retraining took off the mean surprisal.
    pub classifier_gain_nats: f64,
}

/// -ln of the probability that a score gives a label, in nats.
pub(crate) fn surprisal(score: f32, is_unsafe: bool) -> f64 {
    let score = f64::from(score).clamp(1e-6, 1.0 - 1e-6);
    -if is_unsafe { score } else { 1.0 - score }.ln()
}

impl Summary {
    /// A round's summary, without its exploitability.
    pub(crate) fn new(
        round: usize,
        seeds: usize,
        proposals: &Proposals,
        pair_kinds: PairKinds,
        data: &Corpus,
    ) -> Self {
        let mut outcomes: BTreeMap<String, BTreeMap<Outcome, usize>> = BTreeMap::new();
        let mut kinds: BTreeMap<ProposalKind, BTreeMap<Outcome, usize>> = BTreeMap::new();
        for (language, kind, outcome) in proposals.outcomes() {
            *kinds.entry(kind).or_default().entry(outcome).or_default() += 1;
            let of_language = outcomes.entry(language.to_owned()).or_default();
            *of_language.entry(outcome).or_default() += 1;
        }
        let mut rows: BTreeMap<String, usize> = BTreeMap::new();
        for row in &data.rows {
            *rows.entry(row.lang.clone()).or_default() += 1;
        }
        Self {
            round,
            seeds,
            outcomes,
            kinds,
            pair_kinds,
            rows,
            joined: Joined::default(),
            cleaned: 0,
            exploitability: None,
        }
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// A full disk.
    pub(crate) fn write(&self, path: &Path) -> Result<(), TrainError> {
        let value =
            serde_json::to_value(self).map_err(|e| TrainError::invalid(path, e.to_string()))?;
        write_json(path, &value)
    }
}

/// From the proposals that kept their label; `None` when there is none. `rescore` gives texts the
/// scores of the retrained classifier, and `beta` is the recipe's.
pub(crate) fn exploitability(
    scored: &[Scored],
    rescore: impl Fn(&[&str]) -> Vec<f32>,
    beta: f64,
) -> Option<Exploitability> {
    let kept: Vec<&Scored> = scored.iter().filter(|scored| scored.agrees()).collect();
    let texts: Vec<&str> = kept.iter().map(|s| s.proposal.text.as_str()).collect();
    let before = kept.iter().map(|s| surprisal(s.score, s.is_unsafe()));
    let before: Vec<f64> = before.collect();
    let after = kept.iter().zip(rescore(&texts));
    let after = after.map(|(s, score)| surprisal(score, s.is_unsafe()));
    let after: Vec<f64> = after.collect();
    let mut by_seed: BTreeMap<(usize, &str, ProposalKind), Vec<f64>> = BTreeMap::new();
    for (scored, surprisal) in kept.iter().zip(&before) {
        let proposal = &scored.proposal;
        let language = proposal.language.as_str();
        let key = (proposal.seed.number, language, proposal.kind);
        by_seed.entry(key).or_default().push(*surprisal);
    }
    let groups: Vec<Vec<f64>> = by_seed.into_values().collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    Some(Exploitability {
        mean_surprisal_nats: mean(&before),
        generator_gain_nats: empirical_gain(&groups, beta)?,
        classifier_gain_nats: mean(&before) - mean(&after),
    })
}

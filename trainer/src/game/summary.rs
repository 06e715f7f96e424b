//! A round in numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::round::Round;
use crate::data::rows::{Corpus, SeedRow};
use crate::error::TrainError;
use crate::game::proposal::{Outcome, Proposal};
use crate::game::theory::empirical_gain;
use crate::model::decoder::Decoder;
use crate::train::checkpoint::write_json;
use crate::train::classifier::score_texts;
use crate::train::preference::PairKind;

/// Language -> kind -> pairs looked for.
pub(super) type PairKinds = BTreeMap<String, BTreeMap<PairKind, usize>>;

/// A round in numbers; its file is also the mark that the round is finished.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// From 1.
    pub round: usize,
    /// Seeds drawn.
    pub seeds: usize,
    /// Language -> outcome -> proposals.
    pub outcomes: BTreeMap<String, BTreeMap<Outcome, usize>>,
    /// Language -> kind -> seeds.
    pub pair_kinds: BTreeMap<String, BTreeMap<PairKind, usize>>,
    /// Language -> rows of S(t).
    pub rows: BTreeMap<String, usize>,
    /// Absent when no proposal kept its label.
    pub exploitability: Option<Exploitability>,
}

/// How far the players are from answering each other best, on the proposals that kept their label.
/// Estimates: of the generator's best response only what it wrote is known, and of the classifier's
/// only what retraining found.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exploitability {
    /// Mean of -ln p(the seed's label | proposal) under the classifier of the round before.
    pub mean_surprisal_nats: f64,
    /// What the generator could gain by choosing among its proposals for a seed; see
    /// [`empirical_gain`].
    pub generator_gain_nats: f64,
    /// What retraining took off the mean surprisal.
    pub classifier_gain_nats: f64,
}

fn surprisal(score: f32, is_unsafe: bool) -> f64 {
    let score = f64::from(score).clamp(1e-6, 1.0 - 1e-6);
    -if is_unsafe { score } else { 1.0 - score }.ln()
}

impl Round<'_> {
    /// What a person wants to know of the round: `summary.json`.
    pub(super) fn write_summary(
        &self,
        seeds: &[&SeedRow],
        proposals: &[Proposal],
        pair_kinds: &PairKinds,
        data: &Corpus,
        retrained: &Decoder,
    ) -> Result<(), TrainError> {
        let mut outcomes: BTreeMap<String, BTreeMap<Outcome, usize>> = BTreeMap::new();
        for proposal in proposals {
            let outcomes = outcomes.entry(proposal.language.clone()).or_default();
            *outcomes
                .entry(proposal.outcome.unwrap_or(Outcome::LabelLost))
                .or_default() += 1;
        }
        let mut rows: BTreeMap<String, usize> = BTreeMap::new();
        for row in &data.rows {
            *rows.entry(row.lang.clone()).or_default() += 1;
        }
        let summary = Summary {
            round: self.number,
            seeds: seeds.len(),
            outcomes,
            pair_kinds: pair_kinds.clone(),
            rows,
            exploitability: self.exploitability(seeds, proposals, retrained),
        };
        let path = self.file("summary.json");
        let value = serde_json::to_value(&summary)
            .map_err(|e| TrainError::invalid(&path, e.to_string()))?;
        write_json(&path, &value)
    }

    /// From the proposals that kept their label; `None` when there is none.
    fn exploitability(
        &self,
        seeds: &[&SeedRow],
        proposals: &[Proposal],
        retrained: &Decoder,
    ) -> Option<Exploitability> {
        let shown: Vec<&Proposal> = proposals
            .iter()
            .filter(|p| matches!(p.outcome, Some(Outcome::Correct | Outcome::Misclassified)))
            .collect();
        let texts: Vec<&str> = shown.iter().filter_map(|p| p.text.as_deref()).collect();
        let window = self.game.setup.recipe.classifier.window_tokens;
        let rescored = score_texts(retrained, &self.game.setup.tokenizer, &texts, window);
        let surprisals = |scores: &mut dyn Iterator<Item = f32>| -> Vec<f64> {
            let shown = shown.iter().zip(scores);
            shown
                .map(|(p, score)| surprisal(score, seeds[p.seed].is_unsafe))
                .collect()
        };
        let before = surprisals(&mut shown.iter().filter_map(|p| p.score));
        let after = surprisals(&mut rescored.into_iter());
        let mut by_seed: BTreeMap<(usize, &str), Vec<f64>> = BTreeMap::new();
        for (proposal, surprisal) in shown.iter().zip(&before) {
            let key = (proposal.seed, proposal.language.as_str());
            by_seed.entry(key).or_default().push(*surprisal);
        }
        let groups: Vec<Vec<f64>> = by_seed.into_values().collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        Some(Exploitability {
            mean_surprisal_nats: mean(&before),
            generator_gain_nats: empirical_gain(&groups, self.game.recipe.preference.beta)?,
            classifier_gain_nats: mean(&before) - mean(&after),
        })
    }
}

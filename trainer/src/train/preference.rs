//! The direct preference optimisation of the generator (arXiv 2502.05163, the section on updating
//! the generator).

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

use crate::distributed::{ProcessGroup, Share};
use crate::model::decoder::Decoder;
use crate::model::likelihood::log_likelihood;
use crate::model::tensors::host;
use crate::recipe::PreferenceRecipe;
use crate::train::stage::{BatchLoss, Stage};

/// A pair in tokens.
#[derive(Clone, Debug)]
pub(crate) struct TokenPair {
    /// What both texts answer.
    pub prompt: Vec<i32>,
    /// The text to prefer.
    pub chosen: Vec<i32>,
    /// The text to prefer it to.
    pub rejected: Vec<i32>,
}

/// The loss of pairs, `[]`: DPO (Rafailov et al. 2023) plus `alpha` times the mean negative
/// log-likelihood of the chosen text's tokens (RPO, Pang et al. 2024).
///
/// All arguments are `[P]` log-likelihoods of whole texts; `lengths` are the chosen texts'
/// tokens.
pub(crate) fn preference_loss(
    [chosen, rejected]: [&Tensor; 2],
    [reference_chosen, reference_rejected]: [&Tensor; 2],
    lengths: &Tensor,
    beta: f64,
    alpha: f64,
) -> Tensor {
    let margin = (chosen - reference_chosen) - (rejected - reference_rejected);
    let dpo = (margin * -beta).softplus();
    (dpo - chosen / lengths * alpha).mean(Kind::Float)
}

/// The stage in which the generator learns from pairs.
pub(crate) struct PreferenceStage<'a> {
    pairs: &'a [TokenPair],
    /// The frozen generator's log-likelihoods, chosen and rejected.
    reference: Vec<[f32; 2]>,
    recipe: &'a PreferenceRecipe,
    seed: u64,
    end: i32,
    device: Device,
    /// Reward accuracy, log ratio and margin of this process's pairs of each batch, `[P]` each.
    measured: Vec<[Tensor; 3]>,
    /// Pairs of all processes in those batches.
    measured_pairs: usize,
}

impl<'a> PreferenceStage<'a> {
    /// `reference` is the generator before this round's learning, whose likelihoods the processes
    /// of `group` share out.
    pub(crate) fn new(
        pairs: &'a [TokenPair],
        (reference, group): (&Decoder, &ProcessGroup),
        recipe: &'a PreferenceRecipe,
        seed: u64,
        end: i32,
    ) -> Self {
        let mut of_reference = vec![[0.0; 2]; pairs.len()];
        let chunks = pairs.chunks(recipe.batch_pairs);
        let places = of_reference.chunks_mut(recipe.batch_pairs);
        let own = chunks.zip(places).skip(group.rank()).step_by(group.size());
        for (pairs, places) in own {
            let [chosen, rejected] = likelihoods(reference, pairs.iter(), end).map(|l| host(&l));
            for (place, (c, r)) in places.iter_mut().zip(chosen.into_iter().zip(rejected)) {
                *place = [c, r];
            }
        }
        group.sum_numbers(of_reference.as_flattened_mut());
        Self {
            pairs,
            reference: of_reference,
            recipe,
            seed,
            end,
            device: reference.options().1,
            measured: Vec::new(),
            measured_pairs: 0,
        }
    }

    /// Batches in one pass over the pairs.
    pub(crate) fn batches(&self) -> usize {
        self.pairs.len().div_ceil(self.recipe.batch_pairs)
    }

    /// The pairs of batch `index`; each pass in a new order.
    fn batch(&self, index: usize) -> Vec<usize> {
        let (pass, number) = (index / self.batches(), index % self.batches());
        let mut order: Vec<usize> = (0..self.pairs.len()).collect();
        let seed = self.seed.wrapping_add(pass as u64);
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let start = number * self.recipe.batch_pairs;
        order[start..(start + self.recipe.batch_pairs).min(order.len())].to_vec()
    }
}

/// Log-likelihoods `[P]` of the chosen and of the rejected texts.
fn likelihoods<'p>(
    decoder: &Decoder,
    pairs: impl Iterator<Item = &'p TokenPair> + Clone,
    end: i32,
) -> [Tensor; 2] {
    let chosen = pairs
        .clone()
        .map(|p| (p.prompt.as_slice(), p.chosen.as_slice()));
    let rejected = pairs.map(|p| (p.prompt.as_slice(), p.rejected.as_slice()));
    let rows: Vec<(&[i32], &[i32])> = chosen.chain(rejected).collect();
    let both = log_likelihood(decoder, &rows, end);
    let count = rows.len() as i64 / 2;
    [both.narrow(0, 0, count), both.narrow(0, count, count)]
}

impl Stage for PreferenceStage<'_> {
    fn loss(&mut self, decoder: &Decoder, index: usize, share: Share) -> BatchLoss {
        let all = self.batch(index);
        let pairs = all.iter().map(|&index| &self.pairs[index]);
        let tokens = pairs
            .map(|p| 2 * p.prompt.len() + p.chosen.len() + p.rejected.len() + 2)
            .sum();
        self.measured_pairs += all.len();
        let batch: Vec<usize> = share.rows(all.len()).map(|row| all[row]).collect();
        if batch.is_empty() {
            return BatchLoss { own: None, tokens };
        }
        let pairs = batch.iter().map(|&index| &self.pairs[index]);
        let policy = likelihoods(decoder, pairs.clone(), self.end);
        let reference = [0, 1].map(|side| {
            let values = batch.iter().map(|&index| self.reference[index][side]);
            decoder.tensor(&values.collect::<Vec<f32>>())
        });
        let beta = self.recipe.beta;
        let [gain, other_gain] = [0, 1].map(|side| policy[side].detach() - &reference[side]);
        let margin = (&gain - &other_gain) * beta;
        self.measured.push([
            margin.gt(0.0).to_kind(Kind::Float),
            // How far the policy has moved: an estimate of KL(policy || reference) on the pairs'
            // own texts.
            (gain + other_gain) * 0.5,
            margin,
        ]);
        let lengths = pairs.clone().map(|p| (p.chosen.len() + 1) as f32);
        let lengths = decoder.tensor(&lengths.collect::<Vec<f32>>());
        let mean = preference_loss(
            policy.each_ref(),
            reference.each_ref(),
            &lengths,
            beta,
            self.recipe.rpo_alpha,
        );
        let own = Some(share.of_mean(mean, batch.len(), all.len()));
        BatchLoss { own, tokens }
    }

    /// `margin` (in the units of the loss), `reward_accuracy` in [0, 1], and `log_ratio`: the mean
    /// of log(policy / reference) over the pairs' texts, in nats a text.
    fn measures(&mut self) -> Vec<(&'static str, Tensor)> {
        let batches = std::mem::take(&mut self.measured);
        let pairs = std::mem::take(&mut self.measured_pairs);
        let names = ["reward_accuracy", "log_ratio", "margin"];
        names
            .into_iter()
            .enumerate()
            .map(|(measure, name)| {
                let values: Vec<&Tensor> = batches.iter().map(|batch| &batch[measure]).collect();
                let sum = match values.is_empty() {
                    true => Tensor::zeros([], (Kind::Float, self.device)),
                    false => Tensor::cat(&values, 0).sum(Kind::Float),
                };
                (name, sum / pairs as f64)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against PyTorch; the values come from `tests/golden/preference.py`.
    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/golden/preference.json")).unwrap();
        for case in golden["cases"].as_array().unwrap() {
            let values = |name: &str| -> Vec<f32> {
                let values = case[name].as_array().unwrap();
                values.iter().map(|v| v.as_f64().unwrap() as f32).collect()
            };
            let column = |name: &str| Tensor::from_slice(&values(name));
            let leaf = |name: &str| column(name).set_requires_grad(true);
            let (chosen, rejected) = (leaf("chosen"), leaf("rejected"));
            let loss = preference_loss(
                [&chosen, &rejected],
                [&column("reference_chosen"), &column("reference_rejected")],
                &column("lengths"),
                case["beta"].as_f64().unwrap(),
                case["alpha"].as_f64().unwrap(),
            );
            loss.backward();
            let close = |found: f32, expected: f32| {
                assert!(
                    (found - expected).abs() < 1e-5 * expected.abs().max(1.0),
                    "{found} {expected}"
                );
            };
            close(
                loss.double_value(&[]) as f32,
                case["loss"].as_f64().unwrap() as f32,
            );
            for (tensor, name) in [(chosen, "chosen_gradient"), (rejected, "rejected_gradient")] {
                let found = host(&tensor.grad());
                for (found, expected) in found.iter().zip(values(name)) {
                    close(*found, expected);
                }
            }
        }
    }
}

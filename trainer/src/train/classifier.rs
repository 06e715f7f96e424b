//! Stage 1: the 12-category classifier, trained from the pretrained body.

use std::collections::BTreeMap;

use duoguard_eval::{Metrics, Outcome};
use tch::{Kind, Tensor};

use crate::data::batch::{Batch, Batcher};
use crate::data::mixture::Target;
use crate::data::rows::Corpus;
use crate::data::tokenizer::Tokenizer;
use crate::distributed::{ProcessGroup, Share};
use crate::model::layout::CATEGORIES;
use crate::model::network::Classifier;
use crate::model::tensors::host;
use crate::recipe::{ClassifierLoss, DistillRecipe, Recipe};
use crate::train::loss::{Targets, classifier_loss, distillation_loss, language_loss, state_loss};
use crate::train::stage::{BatchLoss, Stage};

/// Rows scored at once in validation.
const VALIDATION_ROWS: usize = 32;

/// A held-out text: its first window, language and label.
struct HeldOut {
    ids: Vec<i32>,
    language: String,
    /// Whether its whole source is held out.
    is_unseen: bool,
    is_unsafe: bool,
}

/// The supervised stage.
pub(crate) struct ClassifierStage<'a> {
    batcher: Batcher<'a>,
    seed: u64,
    loss: ClassifierLoss,
    /// How much of a target is the teacher's probability.
    teacher_share: f32,
    /// How much of the loss is against a larger guard's answers, and how; absent without one.
    distill: Option<DistillRecipe>,
    /// Weight of the language head's loss, and its languages; absent without one.
    language_head: Option<(f64, usize)>,
    /// The losses of the language head, and of the teacher's state, since they were last asked for.
    language_losses: Vec<Tensor>,
    state_losses: Vec<Tensor>,
    held_out: Vec<HeldOut>,
}

impl<'a> ClassifierStage<'a> {
    /// Trains on `batcher`'s batches; watches about `limit` validation rows, the first window of
    /// each. (Shipped thresholds use whole texts; this is a learning curve.)
    pub(crate) fn new(
        batcher: Batcher<'a>,
        validation: &Corpus,
        tokenizer: &Tokenizer,
        recipe: &Recipe,
        limit: usize,
    ) -> Self {
        let stride = (validation.rows.len() / limit.max(1)).max(1);
        let mut held_out: Vec<HeldOut> = validation
            .rows
            .iter()
            .step_by(stride)
            .map(|row| HeldOut {
                ids: first_window(tokenizer, &row.text, recipe.classifier.window_tokens),
                language: row.lang.clone(),
                is_unseen: recipe
                    .data
                    .held_out_sources
                    .contains(&validation.sources[row.source]),
                is_unsafe: row.is_unsafe,
            })
            .filter(|row| !row.ids.is_empty())
            .collect();
        held_out.sort_by_key(|row| row.ids.len());
        Self {
            batcher,
            seed: recipe.seed,
            loss: recipe.classifier.loss,
            teacher_share: recipe
                .classifier
                .teacher
                .as_ref()
                .map_or(0.0, |teacher| teacher.share as f32),
            distill: recipe.distill.clone(),
            language_head: recipe
                .classifier
                .language_head
                .as_ref()
                .map(|head| (head.weight, head.languages.len())),
            language_losses: Vec::new(),
            state_losses: Vec::new(),
            held_out,
        }
    }
}

impl ClassifierStage<'_> {
    fn learns_states(&self) -> bool {
        let distill = self.distill.as_ref();
        distill.is_some_and(|distill| distill.state_error > 0.0)
    }
}

/// The first window of a text, with what stands around it; empty for a text without tokens.
fn first_window(tokenizer: &Tokenizer, text: &str, window: usize) -> Vec<i32> {
    let ids = tokenizer.encode(text);
    match ids.is_empty() {
        true => Vec::new(),
        false => tokenizer.window(ids.iter().take(window).map(|&id| id as i32)),
    }
}

/// The largest probability of any category for each sequence of at least one token.
fn largest_scores(network: &impl Classifier, rows: &[&[i32]]) -> Vec<f32> {
    let tokens = rows.iter().map(|ids| ids.len()).fold(0, usize::max);
    let lengths: Vec<i32> = rows.iter().map(|ids| ids.len() as i32).collect();
    let mut ids = Vec::with_capacity(rows.len() * tokens);
    for row in rows {
        ids.extend_from_slice(row);
        ids.resize(ids.len() + tokens - row.len(), 0);
    }
    let logits = network.logits(&ids, &lengths, tokens);
    let logits = host(&logits.narrow(1, 0, CATEGORIES as i64));
    let largest = |logits: &[f32]| logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits
        .chunks(CATEGORIES)
        .map(|logits| 1.0 / (1.0 + (-largest(logits)).exp()))
        .collect()
}

/// [`largest_scores`] of many sequences, sorted by length. The processes of `group` take turns at
/// the groups of rows that are scored together, so that no score depends on how many they are.
fn shared_scores(network: &impl Classifier, rows: &[&[i32]], group: &ProcessGroup) -> Vec<f32> {
    let mut scores = vec![0.0; rows.len()];
    let chunks = rows.chunks(VALIDATION_ROWS);
    let places = scores.chunks_mut(VALIDATION_ROWS);
    let own = chunks.zip(places).skip(group.rank()).step_by(group.size());
    for (rows, places) in own {
        places.copy_from_slice(&largest_scores(network, rows));
    }
    group.sum_numbers(&mut scores);
    scores
}

/// The score of each text: the largest probability of any category, in its first `window` tokens.
/// An empty text scores 0. The processes of `group` share the work.
pub(crate) fn score_texts(
    network: &impl Classifier,
    (tokenizer, window): (&Tokenizer, usize),
    texts: &[&str],
    group: &ProcessGroup,
) -> Vec<f32> {
    let ids: Vec<Vec<i32>> = texts
        .iter()
        .map(|text| first_window(tokenizer, text, window))
        .collect();
    let mut order: Vec<usize> = (0..ids.len())
        .filter(|&index| !ids[index].is_empty())
        .collect();
    order.sort_by_key(|&index| ids[index].len());
    let rows: Vec<&[i32]> = order.iter().map(|&index| ids[index].as_slice()).collect();
    let mut scores = vec![0.0; texts.len()];
    for (&index, score) in order.iter().zip(shared_scores(network, &rows, group)) {
        scores[index] = score;
    }
    scores
}

/// The three readings of each row: label smoothing moves weight between safe and unsafe, and the
/// teacher's probability, which knows no categories, takes `teacher_share` of the whole. A row that
/// is part of a text has no reading by its label.
pub(crate) fn targets(batch: &Batch, teacher_share: f32) -> Targets {
    let mut targets = Targets {
        labels: batch.labels.clone(),
        safe: vec![],
        known: vec![],
        unknown: vec![],
    };
    let rows = batch.targets.iter().zip(&batch.smoothing);
    let rows = rows.zip(&batch.teacher_probabilities).zip(&batch.is_whole);
    for (((row, smoothing), teacher_probability), is_whole) in rows {
        let label_share = match is_whole {
            true => 1.0 - teacher_share,
            false => 0.0,
        };
        let (safe, known, unknown) = match row {
            Target::Safe => (1.0 - smoothing, 0.0, *smoothing),
            Target::Known => (*smoothing, 1.0 - smoothing, 0.0),
            Target::UnknownCategory => (*smoothing, 0.0, 1.0 - smoothing),
        };
        targets
            .safe
            .push(label_share * safe + teacher_share * (1.0 - teacher_probability));
        targets.known.push(label_share * known);
        targets
            .unknown
            .push(label_share * unknown + teacher_share * teacher_probability);
    }
    targets
}

/// What a share adds to the language head's mean loss over the `in_known_language` rows of a batch
/// that have one of its languages, `[]`. `logits` is `[B, languages]`, of the share's rows.
pub(crate) fn language_head_loss(
    logits: &Tensor,
    share_of_batch: &Batch,
    share: Share,
    in_known_language: usize,
) -> Tensor {
    let mean = language_loss(logits, &share_of_batch.languages);
    let own = share_of_batch.in_known_language();
    share.of_mean(mean, own, in_known_language.max(1))
}

impl<N: Classifier> Stage<N> for ClassifierStage<'_> {
    fn loss(&mut self, network: &N, index: usize, share: Share) -> BatchLoss {
        let batch = self.batcher.batch(index);
        let (rows, tokens) = (batch.lengths.len(), batch.real_tokens);
        let in_known_language = batch.in_known_language();
        let batch = batch.part(share);
        let own_rows = batch.lengths.len();
        if own_rows == 0 {
            // Every process measures every batch: their values are added up.
            let zero = || Tensor::zeros([], (Kind::Float, network.weights().flat.device()));
            if self.language_head.is_some() {
                self.language_losses.push(zero());
            }
            if self.learns_states() {
                self.state_losses.push(zero());
            }
            return BatchLoss { own: None, tokens };
        }
        // What a network drops is a function of the index too.
        tch::manual_seed(self.seed.wrapping_add(index as u64) as i64);
        let logits = network.logits(&batch.ids, &batch.lengths, batch.tokens);
        let targets = targets(&batch, self.teacher_share);
        let categories = logits.narrow(1, 0, CATEGORIES as i64);
        let mut mean = classifier_loss(self.loss, &categories, &targets);
        if let Some(distill) = &self.distill {
            let mut answers = distillation_loss(&categories, &batch.answers, distill.logit_error);
            if distill.state_error > 0.0 {
                let width = (batch.states.len() / own_rows) as i64;
                let states = logits.narrow(1, logits.size()[1] - width, width);
                let error = state_loss(&states, &batch.states);
                let measured = share.of_mean(error.detach(), own_rows, rows);
                self.state_losses.push(measured);
                answers += error * distill.state_error;
            }
            mean = mean * (1.0 - distill.share) + answers * distill.share;
        }
        let mut loss = share.of_mean(mean, own_rows, rows);
        if let Some((weight, languages)) = self.language_head {
            let logits = logits.narrow(1, CATEGORIES as i64, languages as i64);
            let of_languages = language_head_loss(&logits, &batch, share, in_known_language);
            self.language_losses.push(of_languages.detach());
            loss += of_languages * weight;
        }
        BatchLoss {
            own: Some(loss),
            tokens,
        }
    }

    fn measures(&mut self) -> Vec<(&'static str, Tensor)> {
        let measured = [
            ("language_loss", std::mem::take(&mut self.language_losses)),
            ("state_error", std::mem::take(&mut self.state_losses)),
        ];
        let measured = measured
            .into_iter()
            .filter(|(_, losses)| !losses.is_empty());
        measured
            .map(|(name, losses)| (name, Tensor::stack(&losses, 0).mean(Kind::Float)))
            .collect()
    }

    fn validate(&self, network: &N, group: &ProcessGroup) -> Option<BTreeMap<String, f64>> {
        let mut by_language: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
        let ids: Vec<&[i32]> = self.held_out.iter().map(|row| row.ids.as_slice()).collect();
        let scores = shared_scores(network, &ids, group);
        for (row, score) in self.held_out.iter().zip(scores) {
            let kind = if row.is_unseen { "unseen-" } else { "" };
            for language in [row.language.as_str(), "all"] {
                let outcome = Outcome {
                    score,
                    flagged: score > 0.5,
                    label: row.is_unsafe,
                };
                by_language
                    .entry(format!("{kind}{language}"))
                    .or_default()
                    .push(outcome);
            }
        }
        let curve = by_language
            .into_iter()
            .filter_map(|(language, outcomes)| {
                Metrics::of(&outcomes).auroc.map(|auroc| (language, auroc))
            })
            .collect();
        Some(curve)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three rows, of which the language head knows the language of two.
    fn batch() -> Batch {
        Batch {
            ids: vec![1, 2, 3, 4, 5, 6],
            tokens: 2,
            lengths: vec![2, 2, 2],
            labels: vec![0.0; 3 * CATEGORIES],
            targets: vec![Target::Safe; 3],
            smoothing: vec![0.0; 3],
            teacher_probabilities: vec![0.0; 3],
            answers: vec![],
            states: vec![],
            is_whole: vec![true; 3],
            languages: vec![Some(1), None, Some(0)],
            real_tokens: 6,
        }
    }

    #[test]
    fn the_shares_of_a_language_heads_loss_add_up_to_that_of_the_batch() {
        let outputs = CATEGORIES as i64 + 2;
        let logits = Tensor::arange(3 * outputs, (Kind::Float, tch::Device::Cpu));
        let logits = (logits * 0.7).sin().view([3, outputs]);
        let of = |share: Share| {
            let rows: Vec<i64> = share.rows(3).map(|row| row as i64).collect();
            let own = logits.index_select(0, &Tensor::from_slice(&rows));
            let own = own.narrow(1, CATEGORIES as i64, 2);
            let known = batch().in_known_language();
            let loss = language_head_loss(&own, &batch().part(share), share, known);
            loss.double_value(&[])
        };
        let parts: f64 = (0..2).map(|rank| of(Share::Part { rank, of: 2 })).sum();
        let whole = of(Share::All);
        assert!(
            whole > 0.1 && (parts - whole).abs() < 1e-6,
            "{parts} {whole}"
        );
        // A share without a row whose language is known.
        assert_eq!(of(Share::Part { rank: 1, of: 3 }), 0.0);
    }
}

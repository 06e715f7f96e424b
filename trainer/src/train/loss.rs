//! The losses: two for the classifier, one for language modelling.

use std::collections::HashMap;

use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData, activation};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::model::decoder::CATEGORIES;
use crate::recipe::ClassifierLoss;

/// Stands for minus infinity in a log-sum-exp; its exponential is exactly zero.
const MASKED: f32 = -1e9;

/// What the rows of a batch should be called, ready for [`classifier_loss`].
///
/// A row's three weights say how much of each reading it is: *safe*, *unsafe in the
/// categories of `labels`*, *unsafe in some category we do not know*. They sum to one;
/// label smoothing moves weight between safe and unsafe.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    /// `[B x 12]`, 1 where the category is known to apply.
    pub labels: Vec<f32>,
    /// `[B]` weights of the reading "safe".
    pub safe: Vec<f32>,
    /// `[B]` weights of the reading "unsafe in exactly these categories".
    pub known: Vec<f32>,
    /// `[B]` weights of the reading "unsafe in at least one category".
    pub unknown: Vec<f32>,
}

/// Mean loss over the rows, shape `[1]`. `logits` is `[B, 12]`.
///
/// `LogSumExp` is the authors' multi-label loss, log(1 + sum over negatives exp(s)) +
/// log(1 + sum over positives exp(-s)); `Bce` the paper's sum of 12 binary
/// cross-entropies. Under both, a row whose categories are unknown trains "at least one
/// of them" through log(1 + exp(-logsumexp(s))), and never "none".
pub(crate) fn classifier_loss(
    kind: ClassifierLoss,
    logits: Tensor<2>,
    targets: &Targets,
) -> Tensor<1> {
    let device = logits.device();
    let rows = targets.safe.len();
    let column = |values: &[f32]| {
        Tensor::<2>::from_data(TensorData::new(values.to_vec(), [rows, 1]), &device)
    };
    let labels = Tensor::<2>::from_data(
        TensorData::new(targets.labels.clone(), [rows, CATEGORIES]),
        &device,
    );
    let negatives = labels.clone().neg().add_scalar(1.0);
    let unknown = activation::softplus(log_sum_exp(logits.clone()).neg(), 1.0);
    let (safe, known) = match kind {
        ClassifierLoss::LogSumExp => {
            let safe = log_one_plus_sum_exp(logits.clone());
            let off = log_one_plus_sum_exp(logits.clone() + labels.clone().mul_scalar(MASKED));
            let on = log_one_plus_sum_exp(logits.neg() + negatives.mul_scalar(MASKED));
            (safe, off + on)
        }
        ClassifierLoss::Bce => {
            let off = activation::softplus(logits.clone(), 1.0);
            let on = activation::softplus(logits.neg(), 1.0);
            (
                off.clone().sum_dim(1),
                (off * negatives + on * labels).sum_dim(1),
            )
        }
    };
    let loss = safe * column(&targets.safe)
        + known * column(&targets.known)
        + unknown * column(&targets.unknown);
    loss.mean()
}

/// log(sum exp(x)) over the last dimension, `[B, n]` -> `[B, 1]`.
fn log_sum_exp(x: Tensor<2>) -> Tensor<2> {
    let largest = x.clone().detach().max_dim(1);
    (x - largest.clone()).exp().sum_dim(1).log() + largest
}

/// log(1 + sum exp(x)) over the last dimension, `[B, n]` -> `[B, 1]`.
fn log_one_plus_sum_exp(x: Tensor<2>) -> Tensor<2> {
    let zero = Tensor::<2>::zeros([x.dims()[0], 1], &x.device());
    log_sum_exp(Tensor::cat(vec![zero, x], 1))
}

/// The tokens that a softmax runs over.
#[derive(Clone, Debug)]
pub(crate) struct SampledVocabulary {
    tokens: Vec<i32>,
    /// Added to the logit of each: a random token stands for all those that were not drawn.
    offsets: Vec<f32>,
    /// Each target's index among them.
    targets: Vec<i32>,
}

impl SampledVocabulary {
    /// The targets and `negatives` random other tokens, or with 0 the whole vocabulary.
    ///
    /// The random ones are weighed so that the sum over them is, on average, the sum over
    /// the vocabulary. Unweighed, rare tokens are hardly ever pushed down, and a network that is
    /// then sampled from writes them everywhere.
    pub(crate) fn draw(targets: &[i32], negatives: usize, vocabulary: usize, seed: u64) -> Self {
        if negatives == 0 {
            return Self {
                tokens: (0..vocabulary as i32).collect(),
                offsets: vec![0.0; vocabulary],
                targets: targets.to_vec(),
            };
        }
        let mut tokens = Vec::new();
        let mut indices: HashMap<i32, i32> = HashMap::new();
        let mut index = |token: i32, tokens: &mut Vec<i32>| {
            *indices.entry(token).or_insert_with(|| {
                tokens.push(token);
                tokens.len() as i32 - 1
            })
        };
        let targets = targets.iter().map(|&t| index(t, &mut tokens)).collect();
        let known = tokens.len();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..negatives {
            index(rng.random_range(0..vocabulary as i32), &mut tokens);
        }
        let drawn = tokens.len() - known;
        let weight = (vocabulary - known) as f32 / drawn.max(1) as f32;
        let mut offsets = vec![0.0; known];
        offsets.resize(tokens.len(), weight.ln());
        Self {
            tokens,
            offsets,
            targets,
        }
    }
}

/// Mean next-token loss over a set of candidate tokens, shape `[1]`.
///
/// `hidden` is `[N, C]`, the hidden states before the N targets. With every token as a candidate
/// this is the full softmax; with the batch's own tokens and some random ones it is an estimate of
/// it, which on a CPU costs a tenth.
pub(crate) fn language_model_loss(
    hidden: Tensor<2>,
    embedding: &Tensor<2>,
    sampled: SampledVocabulary,
    device: &Device,
) -> Tensor<1> {
    let SampledVocabulary {
        tokens,
        offsets,
        targets,
    } = sampled;
    let (count, n) = (tokens.len(), targets.len());
    let tokens = Tensor::<1, Int>::from_data(TensorData::new(tokens, [count]), device);
    let offsets = Tensor::<2>::from_data(TensorData::new(offsets, [1, count]), device);
    let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [n, 1]), device);
    let logits = hidden.matmul(embedding.clone().select(0, tokens).transpose());
    activation::log_softmax(logits.cast(FloatDType::F32) + offsets, 1)
        .gather(1, targets)
        .neg()
        .mean()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(kind: ClassifierLoss, logits: &[f32], labels: &[f32], readings: [f32; 3]) -> f32 {
        let device = Device::flex();
        let logits =
            Tensor::<2>::from_data(TensorData::new(logits.to_vec(), [1, CATEGORIES]), &device);
        let [safe, known, unknown] = readings.map(|w| vec![w]);
        let targets = Targets {
            labels: labels.to_vec(),
            safe,
            known,
            unknown,
        };
        classifier_loss(kind, logits, &targets).into_scalar::<f32>()
    }

    fn logits() -> Vec<f32> {
        (0..CATEGORIES).map(|i| 0.3 * i as f32 - 1.7).collect()
    }

    /// The formulas, written once more in plain numbers.
    fn expected(kind: ClassifierLoss, labels: &[f32], readings: [f32; 3]) -> f64 {
        let s: Vec<f64> = logits().iter().map(|&x| x as f64).collect();
        let on: Vec<bool> = labels.iter().map(|&l| l == 1.0).collect();
        let pick = |wanted: bool, sign: f64| -> f64 {
            (0..CATEGORIES)
                .filter(|&i| on[i] == wanted)
                .map(|i| (sign * s[i]).exp())
                .sum()
        };
        let all: f64 = s.iter().map(|x| x.exp()).sum();
        let bce = |i: usize, on: bool| {
            if on {
                (1.0 + (-s[i]).exp()).ln()
            } else {
                (1.0 + s[i].exp()).ln()
            }
        };
        let (safe, known) = match kind {
            ClassifierLoss::LogSumExp => (
                (1.0 + all).ln(),
                (1.0 + pick(false, 1.0)).ln() + (1.0 + pick(true, -1.0)).ln(),
            ),
            ClassifierLoss::Bce => (
                (0..CATEGORIES).map(|i| bce(i, false)).sum(),
                (0..CATEGORIES).map(|i| bce(i, on[i])).sum(),
            ),
        };
        let unknown = (1.0 + 1.0 / all).ln();
        readings[0] as f64 * safe + readings[1] as f64 * known + readings[2] as f64 * unknown
    }

    #[test]
    fn every_reading_under_both_losses() {
        let mut labels = vec![0.0; CATEGORIES];
        labels[2] = 1.0;
        labels[8] = 1.0;
        for kind in [ClassifierLoss::LogSumExp, ClassifierLoss::Bce] {
            for readings in [
                [1.0, 0.0, 0.0],
                [0.0, 1.0, 0.0],
                [0.0, 0.0, 1.0],
                [0.1, 0.9, 0.0],
            ] {
                let found = loss(kind, &logits(), &labels, readings) as f64;
                let expected = expected(kind, &labels, readings);
                assert!(
                    (found - expected).abs() < 1e-5 * expected.max(1.0),
                    "{kind:?} {readings:?}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn an_unknown_category_never_trains_none() {
        // Raising any one logit must lower the loss of an unsafe row of unknown category.
        let zero = vec![0.0; CATEGORIES];
        let base = loss(ClassifierLoss::LogSumExp, &zero, &zero, [0.0, 0.0, 1.0]);
        for category in 0..CATEGORIES {
            let mut raised = zero.clone();
            raised[category] = 1.0;
            assert!(loss(ClassifierLoss::LogSumExp, &raised, &zero, [0.0, 0.0, 1.0]) < base);
        }
    }

    #[test]
    fn a_sampled_softmax_estimates_the_whole_one() {
        let device = Device::flex();
        let (vocabulary, width) = (500, 8);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut random = |rows: usize| {
            let values: Vec<f32> = (0..rows * width)
                .map(|_| rng.random::<f32>() - 0.5)
                .collect();
            Tensor::<2>::from_data(TensorData::new(values, [rows, width]), &device)
        };
        let (hidden, embedding) = (random(4), random(vocabulary));
        let loss = |negatives, seed| {
            let sampled = SampledVocabulary::draw(&[7, 7, 30, 2], negatives, vocabulary, seed);
            let loss = language_model_loss(hidden.clone(), &embedding, sampled, &device);
            f64::from(loss.into_scalar::<f32>())
        };
        let whole = loss(0, 0);
        let sampled = (0..200).map(|seed| loss(40, seed)).sum::<f64>() / 200.0;
        assert!((sampled - whole).abs() < 0.02, "{sampled} {whole}");
    }

    #[test]
    fn extreme_logits_stay_finite() {
        let labels = vec![0.0; CATEGORIES];
        for value in [-80.0, 80.0] {
            for readings in [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] {
                let found = loss(
                    ClassifierLoss::LogSumExp,
                    &[value; CATEGORIES],
                    &labels,
                    readings,
                );
                assert!(found.is_finite(), "{value} {readings:?}: {found}");
            }
        }
    }
}

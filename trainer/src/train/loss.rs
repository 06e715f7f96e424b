//! The losses: three for the classifier, two against a teacher, one for a language head, and one
//! for language modelling.

use tch::{Kind, Tensor};

use crate::model::decoder::Decoder;
use crate::model::head::{SampledVocabulary, log_probabilities};
use crate::model::layout::CATEGORIES;
use crate::recipe::ClassifierLoss;

/// Weight of the question which category applies, beside the question whether any does.
const WHICH_CATEGORY: f64 = 0.3;

/// Stands for minus infinity in a log-sum-exp; its exponential is exactly zero.
const MASKED: f64 = -1e9;

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

/// Mean loss over the rows, `[]`. `logits` is `[B, 12]` in 32 bits.
///
/// `LogSumExp` is the authors' multi-label loss, log(1 + sum over negatives exp(s)) +
/// log(1 + sum over positives exp(-s)); `Bce` the paper's sum of 12 binary
/// cross-entropies. `Hierarchical` asks whether any category applies, with the log-sum-exp of the
/// logits as the logit of that, and where the categories are known also which: the cross-entropy
/// of their softmax, times 0.3. Under all, a row whose categories are unknown trains "at least one
/// of them" through log(1 + exp(-logsumexp(s))), and never "none".
pub(crate) fn classifier_loss(kind: ClassifierLoss, logits: &Tensor, targets: &Targets) -> Tensor {
    let column = |values: &[f32]| Tensor::from_slice(values).to_device(logits.device());
    let labels = column(&targets.labels).view([-1, CATEGORIES as i64]);
    let negatives = labels.ones_like() - &labels;
    let unknown = logits.logsumexp([1], false).neg().softplus();
    let (safe, known) = match kind {
        ClassifierLoss::LogSumExp => {
            let off = log_one_plus_sum_exp(&(logits + &labels * MASKED));
            let on = log_one_plus_sum_exp(&(negatives * MASKED - logits));
            (log_one_plus_sum_exp(logits), off + on)
        }
        ClassifierLoss::Bce => {
            let (off, on) = (logits.softplus(), logits.neg().softplus());
            let known = &off * negatives + on * labels;
            let sum = |x: Tensor| x.sum_dim_intlist([1].as_slice(), false, Kind::Float);
            (sum(off), sum(known))
        }
        ClassifierLoss::Hierarchical => {
            let sum = |x: Tensor| x.sum_dim_intlist([1].as_slice(), false, Kind::Float);
            let which = sum(logits.log_softmax(1, Kind::Float).neg() * &labels);
            let which = which / sum(labels.shallow_clone()).clamp_min(1.0);
            let any = logits.logsumexp([1], false);
            (any.softplus(), &unknown + which * WHICH_CATEGORY)
        }
    };
    let loss = safe * column(&targets.safe)
        + known * column(&targets.known)
        + unknown * column(&targets.unknown);
    loss.mean(Kind::Float)
}

/// Mean loss against a teacher's logits, `[]`: the sum over the categories of the cross-entropy of
/// the two probabilities, and of the squared error of the logits times `logit_error`. `logits` is
/// `[B, 12]` in 32 bits, `answers` as many.
pub(crate) fn distillation_loss(logits: &Tensor, answers: &[f32], logit_error: f64) -> Tensor {
    let answers = Tensor::from_slice(answers).to_device(logits.device());
    let answers = answers.view([-1, CATEGORIES as i64]);
    let entropy = logits.softplus() - logits * answers.sigmoid();
    let error = (logits - answers).square() * logit_error;
    let sum = (entropy + error).sum_dim_intlist([1].as_slice(), false, Kind::Float);
    sum.mean(Kind::Float)
}

/// Mean squared error of a teacher's states, `[]`: over rows and values. `found` is `[B, width]` in
/// 32 bits, `states` as many.
pub(crate) fn state_loss(found: &Tensor, states: &[f32]) -> Tensor {
    let states = Tensor::from_slice(states).to_device(found.device());
    (found - states.view_as(found)).square().mean(Kind::Float)
}

/// Mean cross-entropy of the rows whose language is known, `[]`, and 0 where none is. `logits` is
/// `[B, languages]` in 32 bits.
pub(crate) fn language_loss(logits: &Tensor, languages: &[Option<usize>]) -> Tensor {
    let numbers: Vec<i64> = languages.iter().map(|l| l.unwrap_or(0) as i64).collect();
    let known: Vec<f32> = languages
        .iter()
        .map(|l| f32::from(u8::from(l.is_some())))
        .collect();
    let count = known.iter().sum::<f32>().max(1.0);
    let numbers = Tensor::from_slice(&numbers).to_device(logits.device());
    let known = Tensor::from_slice(&known).to_device(logits.device());
    let found = logits.log_softmax(1, Kind::Float);
    let found = found.gather(1, &numbers.unsqueeze(1), false).squeeze_dim(1);
    (found * known).sum(Kind::Float).neg() / f64::from(count)
}

/// log(1 + sum exp(x)) over the last dimension, `[B, n]` -> `[B]`.
fn log_one_plus_sum_exp(x: &Tensor) -> Tensor {
    let zero = x.new_zeros([x.size()[0], 1], (x.kind(), x.device()));
    Tensor::cat(&[&zero, x], 1).logsumexp([1], false)
}

/// Mean next-token loss over a set of candidate tokens, `[]`.
///
/// `hidden` is `[M, C]`, the hidden states before the M targets, as they come from the decoder.
/// With every token as a candidate this is the full softmax; with the batch's own tokens and some
/// random ones it is an estimate of it, which on a CPU costs a tenth.
pub(crate) fn language_model_loss(
    decoder: &Decoder,
    hidden: &Tensor,
    sampled: &SampledVocabulary,
) -> Tensor {
    log_probabilities(decoder, hidden, sampled)
        .mean(Kind::Float)
        .neg()
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::train::probe::tiny;

    fn loss(kind: ClassifierLoss, logits: &[f32], labels: &[f32], readings: [f32; 3]) -> f32 {
        let logits = Tensor::from_slice(logits).view([1, CATEGORIES as i64]);
        let [safe, known, unknown] = readings.map(|w| vec![w]);
        let targets = Targets {
            labels: labels.to_vec(),
            safe,
            known,
            unknown,
        };
        classifier_loss(kind, &logits, &targets).double_value(&[]) as f32
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
        let labelled = labels.iter().sum::<f32>() as f64;
        let (safe, known) = match kind {
            ClassifierLoss::Hierarchical => (
                (1.0 + all).ln(),
                (1.0 + 1.0 / all).ln()
                    + WHICH_CATEGORY
                        * (0..CATEGORIES)
                            .filter(|&i| on[i])
                            .map(|i| (all.ln() - s[i]) / labelled)
                            .sum::<f64>(),
            ),
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
    fn every_reading_under_every_loss() {
        let mut labels = vec![0.0; CATEGORIES];
        labels[2] = 1.0;
        labels[8] = 1.0;
        for kind in [
            ClassifierLoss::LogSumExp,
            ClassifierLoss::Bce,
            ClassifierLoss::Hierarchical,
        ] {
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
    fn a_teachers_logits_are_where_the_loss_is_least() {
        let answers: Vec<f32> = (0..2 * CATEGORIES).map(|i| i as f32 * 0.4 - 4.0).collect();
        let of = |shift: f32, logit_error| {
            let logits: Vec<f32> = answers.iter().map(|answer| answer + shift).collect();
            let logits = Tensor::from_slice(&logits).view([2, CATEGORIES as i64]);
            distillation_loss(&logits, &answers, logit_error).double_value(&[])
        };
        let expected: f64 = answers
            .iter()
            .map(|&answer| {
                let answer = f64::from(answer);
                let probability = 1.0 / (1.0 + (-answer).exp());
                (1.0 + answer.exp()).ln() - answer * probability
            })
            .sum();
        assert!((of(0.0, 3.0) - expected / 2.0).abs() < 1e-4);
        let error = of(0.5, 3.0) - of(0.5, 0.0);
        assert!(
            (error - 3.0 * CATEGORIES as f64 * 0.25).abs() < 1e-4,
            "{error}"
        );
        assert!(of(0.5, 0.0) > of(0.0, 0.0) && of(-0.5, 0.0) > of(0.0, 0.0));
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
        let (mut shape, _) = tiny();
        shape.hidden = 16;
        shape.heads = 2;
        let vocabulary = 500;
        let mut decoder = Decoder::new(&shape, vocabulary, 3, &Device::Cpu);
        let _ = decoder.weights.flat.g_mul_scalar_(1.7);
        let hidden = decoder.hidden(&[3, 80, 411, 5], [1, 4], None);
        let loss = |negatives, seed| {
            let sampled = SampledVocabulary::draw(&[7, 7, 30, 2], negatives, vocabulary, seed);
            language_model_loss(&decoder, &hidden, &sampled).double_value(&[])
        };
        let whole = loss(0, 0);
        let sampled = (0..200).map(|seed| loss(40, seed)).sum::<f64>() / 200.0;
        assert!((sampled - whole).abs() < 0.02, "{sampled} {whole}");
    }

    #[test]
    fn extreme_logits_stay_finite() {
        let labels = vec![0.0; CATEGORIES];
        for (kind, value) in [ClassifierLoss::LogSumExp, ClassifierLoss::Hierarchical]
            .into_iter()
            .flat_map(|kind| [(kind, -80.0), (kind, 80.0)])
        {
            for readings in [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] {
                let found = loss(kind, &[value; CATEGORIES], &labels, readings);
                assert!(found.is_finite(), "{kind:?} {value} {readings:?}: {found}");
            }
        }
    }
}

//! The game on finite spaces, solved exactly: what the tests of the theory compute with.
//!
//! The classifier `p(y | z)` minimises and the generator `q(z | x, y)` maximises `E[-ln p(y | z)] -
//! beta KL(q || reference)`, where `(x, y)` is a seed with its label and `z` the text written about
//! it.

use ndarray::{Array2, Array3, Axis, Zip};

/// A finite game: X seeds, Y labels, Z texts.
#[derive(Clone, Debug)]
pub(crate) struct TabularGame {
    /// rho(x, y), `[X, Y]`, sums to 1.
    pub seeds: Array2<f64>,
    /// The reference generator, `[X, Y, Z]`, sums to 1 over the last axis; positive everywhere.
    pub reference: Array3<f64>,
    /// What diverging from the reference costs, in nats a nat; positive.
    pub beta: f64,
}

/// Both players' strategies.
#[derive(Clone, Debug)]
pub(crate) struct StrategyProfile {
    /// p(y | z), `[Z, Y]`.
    pub classifier: Array2<f64>,
    /// q(z | x, y), `[X, Y, Z]`.
    pub generator: Array3<f64>,
}

/// What a classifier answers when it is trained again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrainingData {
    /// The generator's latest texts alone, as the theorem has it.
    Latest,
    /// All texts so far, as the rounds play it: S(t) = S(t-1) and the new ones.
    Accumulated,
}

impl TabularGame {
    /// The generator's best response: proportional to `reference * p^(-1/beta)`.
    pub(crate) fn generator_response(&self, classifier: &Array2<f64>) -> Array3<f64> {
        let mut response = self.tilted(classifier);
        for mut texts in response.lanes_mut(Axis(2)) {
            let normaliser = texts.sum();
            texts /= normaliser;
        }
        response
    }

    /// `reference * p^(-1/beta)`, whose sum over texts is the normaliser.
    fn tilted(&self, classifier: &Array2<f64>) -> Array3<f64> {
        let mut tilted = self.reference.clone();
        for ((_, label, text), weight) in tilted.indexed_iter_mut() {
            *weight *= classifier[[text, label]].powf(-1.0 / self.beta);
        }
        tilted
    }

    /// The classifier's best response: the posterior of the label. A text that is never written
    /// gets equal probabilities.
    pub(crate) fn classifier_response(&self, generator: &Array3<f64>) -> Array2<f64> {
        let (_, labels, texts) = generator.dim();
        let mut joint = Array2::<f64>::zeros((texts, labels));
        for ((seed, label, text), probability) in generator.indexed_iter() {
            joint[[text, label]] += self.seeds[[seed, label]] * probability;
        }
        for mut posterior in joint.rows_mut() {
            let reached = posterior.sum();
            if reached > 0.0 {
                posterior /= reached;
            } else {
                posterior.fill(1.0 / labels as f64);
            }
        }
        joint
    }

    /// What the classifier pays in nats: `E[-ln p] - beta KL(q || reference)`.
    pub(crate) fn value(&self, profile: &StrategyProfile) -> f64 {
        let mut value = 0.0;
        for ((seed, label, text), &q) in profile.generator.indexed_iter() {
            if q > 0.0 {
                let surprisal = -profile.classifier[[text, label]].ln();
                let divergence = (q / self.reference[[seed, label, text]]).ln();
                value += self.seeds[[seed, label]] * q * (surprisal - self.beta * divergence);
            }
        }
        value
    }

    /// What both players together could still gain by answering the other best, in nats; 0 exactly
    /// at the equilibrium.
    pub(crate) fn exploitability(&self, profile: &StrategyProfile) -> f64 {
        let best = |classifier, generator| StrategyProfile {
            classifier,
            generator,
        };
        let generator_answers = best(
            profile.classifier.clone(),
            self.generator_response(&profile.classifier),
        );
        let classifier_answers = best(
            self.classifier_response(&profile.generator),
            profile.generator.clone(),
        );
        self.value(&generator_answers) - self.value(&classifier_answers)
    }

    /// Alternating best responses from the reference generator: the profile after each round.
    pub(crate) fn rounds(&self, count: usize, memory: TrainingData) -> Vec<StrategyProfile> {
        let mut generator = self.reference.clone();
        let mut written = Array3::<f64>::zeros(generator.dim());
        let mut profiles = Vec::with_capacity(count);
        for round in 1..=count {
            let seen = match memory {
                TrainingData::Latest => generator.clone(),
                TrainingData::Accumulated => {
                    written += &generator;
                    &written / round as f64
                }
            };
            let classifier = self.classifier_response(&seen);
            let response = self.generator_response(&classifier);
            profiles.push(StrategyProfile {
                classifier,
                generator: seen,
            });
            generator = response;
        }
        profiles
    }

    /// The theorem's bound at a profile: 4 / (delta beta gamma^(1+1/beta) alpha), with gamma the
    /// least p, delta the least normaliser and alpha the least probability with which a text is
    /// written. Below 1, alternating best responses contract by it.
    pub(crate) fn contraction_bound(&self, profile: &StrategyProfile) -> f64 {
        let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
        let gamma = least(&mut profile.classifier.iter().copied());
        let delta = least(
            &mut self
                .tilted(&profile.classifier)
                .sum_axis(Axis(2))
                .iter()
                .copied(),
        );
        let mut reached = ndarray::Array1::<f64>::zeros(self.reference.dim().2);
        for ((seed, label, text), q) in profile.generator.indexed_iter() {
            reached[text] += self.seeds[[seed, label]] * q;
        }
        let alpha = least(&mut reached.iter().copied());
        4.0 / (delta * self.beta * gamma.powf(1.0 + 1.0 / self.beta) * alpha)
    }
}

/// The largest difference of two classifiers' probabilities.
pub(crate) fn distance(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    let mut largest = 0.0_f64;
    Zip::from(a)
        .and(b)
        .for_each(|a, b| largest = largest.max((a - b).abs()));
    largest
}

//! The game on finite spaces, solved exactly (PAPER.md, "The theory").
//!
//! The classifier `p(y | z)` minimises and the generator `q(z | x, y)` maximises `E[-ln p(y | z)] -
//! beta KL(q || reference)`, where `(x, y)` is a seed with its label and `z` the text written about
//! it.

use ndarray::{Array2, Array3, Axis, Zip};

/// A finite game: X seeds, Y labels, Z texts.
#[derive(Clone, Debug)]
pub struct TabularGame {
    /// rho(x, y), `[X, Y]`, sums to 1.
    pub seeds: Array2<f64>,
    /// The reference generator, `[X, Y, Z]`, sums to 1 over the last axis; positive everywhere.
    pub reference: Array3<f64>,
    /// What diverging from the reference costs, in nats a nat; positive.
    pub beta: f64,
}

/// Both players' strategies.
#[derive(Clone, Debug)]
pub struct StrategyProfile {
    /// p(y | z), `[Z, Y]`.
    pub classifier: Array2<f64>,
    /// q(z | x, y), `[X, Y, Z]`.
    pub generator: Array3<f64>,
}

/// What a classifier answers when it is trained again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainingData {
    /// The generator's latest texts alone, as the theorem has it.
    Latest,
    /// All texts so far, as the rounds play it: S(t) = S(t-1) and the new ones.
    Accumulated,
}

impl TabularGame {
    /// The generator's best response: proportional to `reference * p^(-1/beta)`.
    pub fn generator_response(&self, classifier: &Array2<f64>) -> Array3<f64> {
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
    pub fn classifier_response(&self, generator: &Array3<f64>) -> Array2<f64> {
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
    pub fn value(&self, profile: &StrategyProfile) -> f64 {
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
    pub fn exploitability(&self, profile: &StrategyProfile) -> f64 {
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
    pub fn rounds(&self, count: usize, memory: TrainingData) -> Vec<StrategyProfile> {
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

    /// The theorem's bound at a profile: 4 / (delta beta gamma^(1+1/beta) alpha), with gamma the least
    /// p, delta the least normaliser and alpha the least probability with which a text is written.
    /// Below 1, alternating best responses contract by it.
    pub fn contraction_bound(&self, profile: &StrategyProfile) -> f64 {
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
pub fn distance(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    let mut largest = 0.0_f64;
    Zip::from(a)
        .and(b)
        .for_each(|a, b| largest = largest.max((a - b).abs()));
    largest
}

/// What the generator could gain over writing its proposals equally often, in nats a seed, if these
/// were all it can write: for each seed, `beta ln(mean of p^(-1/beta)) - mean of -ln p`, from the
/// surprisals `-ln p` of its proposals. `None` without any.
pub fn empirical_gain(surprisals: &[Vec<f64>], beta: f64) -> Option<f64> {
    let gain = |surprisals: &Vec<f64>| {
        let count = surprisals.len() as f64;
        // The largest is taken out, for exp() to stay finite at a small beta.
        let largest = surprisals.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = surprisals
            .iter()
            .map(|s| ((s - largest) / beta).exp())
            .sum();
        largest + beta * (sum / count).ln() - surprisals.iter().sum::<f64>() / count
    };
    let gains: Vec<f64> = surprisals
        .iter()
        .filter(|s| !s.is_empty())
        .map(gain)
        .collect();
    (!gains.is_empty()).then(|| gains.iter().sum::<f64>() / gains.len() as f64)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random_game(seed: u64, beta: f64) -> TabularGame {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (seeds, labels, texts) = (rng.random_range(2..5), 2, rng.random_range(3..7));
        let mut rho = Array2::from_shape_simple_fn((seeds, labels), || rng.random_range(0.2..1.0));
        let total = rho.sum();
        rho /= total;
        let mut reference =
            Array3::from_shape_simple_fn((seeds, labels, texts), || rng.random_range(0.1..1.0_f64));
        for mut row in reference.lanes_mut(Axis(2)) {
            let total = row.sum();
            row /= total;
        }
        TabularGame {
            seeds: rho,
            reference,
            beta,
        }
    }

    /// p of every round.
    fn classifiers(profiles: &[StrategyProfile]) -> Vec<&Array2<f64>> {
        profiles.iter().map(|profile| &profile.classifier).collect()
    }

    #[test]
    fn best_responses_are_best() {
        for seed in 0..20 {
            let game = random_game(seed, 0.7);
            let generator = random_game(seed + 1000, 0.7).reference;
            if generator.dim() != game.reference.dim() {
                continue;
            }
            let classifier = game.classifier_response(&generator);
            let here = StrategyProfile {
                classifier: classifier.clone(),
                generator,
            };
            let generator_answers = StrategyProfile {
                classifier,
                generator: game.generator_response(&here.classifier),
            };
            assert!(game.value(&generator_answers) >= game.value(&here));
            // No classifier that is a little different does better against the same generator.
            for label in 0..2 {
                let mut other = here.clone();
                other
                    .classifier
                    .index_axis_mut(Axis(1), label)
                    .mapv_inplace(|p| p * 1.05);
                for mut row in other.classifier.rows_mut() {
                    let total = row.sum();
                    row /= total;
                }
                assert!(game.value(&other) >= game.value(&here) - 1e-12);
            }
            assert!(game.exploitability(&here) >= -1e-12);
        }
    }

    #[test]
    fn a_large_beta_converges_linearly_to_one_equilibrium() {
        for (beta, most) in [(100.0, 0.03), (10.0, 0.25)] {
            for seed in 0..30 {
                let game = random_game(seed, beta);
                let profiles = game.rounds(60, TrainingData::Latest);
                let last = profiles.last().unwrap();
                assert!(
                    game.exploitability(last).abs() < 1e-12,
                    "beta {beta}, seed {seed}"
                );
                let p = classifiers(&profiles);
                // Until rounding is all that is left, each round is closer by at least the same
                // factor.
                for pair in p
                    .windows(2)
                    .take_while(|pair| distance(pair[0], &last.classifier) > 1e-10)
                {
                    let ratio =
                        distance(pair[1], &last.classifier) / distance(pair[0], &last.classifier);
                    assert!(ratio < most, "beta {beta}, seed {seed}: {ratio}");
                }
            }
        }
    }

    #[test]
    fn the_bound_holds_where_it_says_anything() {
        let mut said = 0;
        for seed in 0..30 {
            let game = random_game(seed, 1000.0);
            let profiles = game.rounds(30, TrainingData::Latest);
            let bound = profiles
                .iter()
                .map(|profile| game.contraction_bound(profile))
                .fold(0.0, f64::max);
            if bound < 1.0 {
                said += 1;
                let p = classifiers(&profiles);
                for triple in p.windows(3).take_while(|t| distance(t[0], t[1]) > 1e-10) {
                    assert!(
                        distance(triple[1], triple[2]) <= bound * distance(triple[0], triple[1])
                    );
                }
            }
        }
        assert!(said > 10, "{said}");
    }

    #[test]
    fn a_small_beta_ends_in_a_cycle_of_two_or_a_few_unless_data_accumulates() {
        let mut two_cycles = 0;
        for seed in 0..30 {
            let game = random_game(seed, 0.1);
            let profiles = game.rounds(400, TrainingData::Latest);
            let p = classifiers(&profiles);
            let period = (1..=12).find(|&k| distance(p[399], p[399 - k]) < 1e-6);
            assert!(
                period.is_some_and(|k| k > 1),
                "seed {seed}: period {period:?}"
            );
            assert!(distance(p[399], p[398]) > 0.05, "seed {seed}");
            assert!(game.exploitability(&profiles[399]) > 0.01, "seed {seed}");
            two_cycles += usize::from(period == Some(2));
        }
        // The others have periods of four and five.
        assert!(two_cycles > 0);
        for (beta, most) in [(0.1, 1e-3), (0.01, 1e-2)] {
            for seed in 0..10 {
                let game = random_game(seed, beta);
                let profiles = game.rounds(3000, TrainingData::Accumulated);
                let at = |round: usize| game.exploitability(&profiles[round - 1]);
                assert!(
                    at(3000) < most && at(3000) < at(30),
                    "beta {beta}, seed {seed}: {} after {}",
                    at(3000),
                    at(30)
                );
            }
        }
    }

    #[test]
    fn the_empirical_gain_is_that_of_the_exact_response() {
        let (one, other) = (0.2_f64, 0.9_f64);
        let beta = 0.5;
        let exact = beta * (0.5 * one.powf(-1.0 / beta) + 0.5 * other.powf(-1.0 / beta)).ln()
            + 0.5 * (one.ln() + other.ln());
        let found = empirical_gain(&[vec![-one.ln(), -other.ln()], vec![]], beta).unwrap();
        assert!((found - exact).abs() < 1e-12);
        assert_eq!(empirical_gain(&[vec![]], beta), None);
        assert!(
            empirical_gain(&[vec![1000.0, 0.0]], 0.01)
                .unwrap()
                .is_finite()
        );
    }
}

//! What the theory says, on small random games.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use ndarray::{Array2, Array3, Axis};

use super::empirical_gain;
use super::tabular::*;

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
                assert!(distance(triple[1], triple[2]) <= bound * distance(triple[0], triple[1]));
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

//! Ways to compute that must agree.

use super::*;
use crate::recipe::Precision;

const PLAIN: ComputeRecipe = ComputeRecipe {
    precision: Precision::F32,
    recompute_layers: false,
    sampling_precision: Precision::F32,
    read_every: None,
};

fn found(kind: ProbeLoss, compute: ComputeRecipe) -> LossAndGradients {
    let probe = Probe {
        kind,
        rows: 4,
        tokens: 12,
    };
    loss_and_gradients(probe, &tiny(), 5, compute, &Device::Cpu)
}

#[test]
fn layers_computed_again_give_the_same_gradients() {
    for precision in [Precision::F32, Precision::Bf16] {
        for (name, kind) in ProbeLoss::ALL {
            let kept = found(kind, ComputeRecipe { precision, ..PLAIN });
            let again = found(
                kind,
                ComputeRecipe {
                    precision,
                    recompute_layers: true,
                    ..PLAIN
                },
            );
            assert_eq!(kept.loss, again.loss, "{name}");
            assert!(
                again
                    .gradients
                    .iter()
                    .filter(|(_, g)| !g.is_empty())
                    .count()
                    > 20
            );
            assert_eq!(kept.gradients, again.gradients, "{name} {precision:?}");
        }
    }
}

#[test]
fn sixteen_bits_are_close_to_thirty_two() {
    for (name, kind) in ProbeLoss::ALL {
        let exact = found(kind, PLAIN);
        let short = found(
            kind,
            ComputeRecipe {
                precision: Precision::Bf16,
                ..PLAIN
            },
        );
        let (parameter, error) = short.gradient_error(&exact);
        assert!(
            short.loss_error(&exact) < 0.01,
            "{name}: {} {}",
            short.loss,
            exact.loss
        );
        assert!(
            short.loss != exact.loss,
            "{name} was not computed in 16 bits"
        );
        assert!(error < 0.1, "{name} {parameter}: {error}");
    }
}

#[test]
fn four_batches_accumulated_are_one_of_four_times_the_rows() {
    let (shape, vocabulary) = tiny();
    let decoder = Decoder::new(&shape, vocabulary, 3, &Device::Cpu);
    let (rows, tokens) = (8, 6);
    let ids: Vec<i32> = (0..rows * tokens)
        .map(|i| 1 + (i * 7 % 90) as i32)
        .collect();
    let all = targets(rows);
    let gradients = |parts: usize| {
        let mut sum = Gradients::new(&decoder.weights);
        let working = decoder.working(PLAIN);
        let count = rows / parts;
        for part in 0..parts {
            let cut = |values: &[f32], each: usize| {
                values[part * count * each..][..count * each].to_vec()
            };
            let targets = Targets {
                labels: cut(&all.labels, CATEGORIES),
                safe: cut(&all.safe, 1),
                known: cut(&all.known, 1),
                unknown: cut(&all.unknown, 1),
            };
            let ids = &ids[part * count * tokens..][..count * tokens];
            let logits = working.logits(ids, &vec![tokens as i32; count], tokens);
            let loss = classifier_loss(ClassifierLoss::LogSumExp, &logits, &targets);
            backward(&working, &loss, &mut sum);
        }
        let _ = sum.flat.g_div_scalar_(parts as f64);
        LossAndGradients {
            loss: 0.0,
            gradients: named_gradients(&decoder, &sum),
        }
    };
    let (parts, whole) = (gradients(4), gradients(1));
    let (parameter, error) = parts.gradient_error(&whole);
    assert!(error < 1e-5, "{parameter}: {error}");
}

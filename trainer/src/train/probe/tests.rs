//! Ways to compute that must agree.

use super::*;
use crate::recipe::Precision;

const PLAIN: ComputeRecipe = ComputeRecipe {
    precision: Precision::F32,
    recompute_layers: false,
    read_every: None,
};

fn found(kind: ProbeLoss, compute: ComputeRecipe) -> LossAndGradients {
    let probe = Probe {
        kind,
        rows: 4,
        tokens: 12,
    };
    loss_and_gradients(probe, &tiny(), 5, compute, &Device::flex())
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
            let (parameter, error) = again.gradient_error(&kept);
            // A tied embedding's two gradients are added in 32 bits here, in the network's type
            // there.
            let limit = if precision == Precision::F32 {
                1e-6
            } else {
                1e-2
            };
            assert!(error < limit, "{name} {precision:?} {parameter}: {error}");
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
    let device = Device::flex();
    let (shape, vocabulary) = tiny();
    let decoder = Decoder::new(&shape, vocabulary, 3, &device.clone().autodiff());
    let (rows, tokens) = (8, 6);
    let ids: Vec<i32> = (0..rows * tokens)
        .map(|i| 1 + (i * 7 % 90) as i32)
        .collect();
    let all = targets(rows);
    let gradients = |parts: usize| {
        let mut sum = Vec::new();
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
            let logits = decoder.logits(ids, &vec![tokens as i32; count], tokens);
            let loss = classifier_loss(ClassifierLoss::LogSumExp, logits, &targets);
            backward(&decoder, &loss, &mut sum);
        }
        let names = decoder.parameters.iter().map(|p| p.name.clone());
        let mean = |gradient: Tensor<2>| host(&gradient.div_scalar(parts as f32));
        let gradients = names.zip(sum.into_iter().map(|g| g.map_or(Vec::new(), mean)));
        LossAndGradients {
            loss: 0.0,
            gradients: gradients.collect(),
        }
    };
    let (parts, whole) = (gradients(4), gradients(1));
    let (parameter, error) = parts.gradient_error(&whole);
    assert!(error < 1e-5, "{parameter}: {error}");
}

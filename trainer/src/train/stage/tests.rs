//! A stage is read, saved and resumed.

use super::*;
use crate::recipe::Precision;
use crate::train::probe::{Probe, ProbeLoss, tiny};

fn settings(steps: usize, compute: ComputeRecipe) -> StageSettings {
    StageSettings {
        name: "classifier",
        steps,
        accumulation: 2,
        optimizer: OptimizerRecipe {
            learning_rate: 1e-3,
            warmup: 0.1,
            weight_decay: 0.01,
            max_gradient_norm: 1.0,
            checkpoint_every: 5,
        },
        average_decay: 0.9,
        compute,
        patience: 0,
        deadline: None,
    }
}

fn compute(read_every: usize, precision: Precision) -> ComputeRecipe {
    ComputeRecipe {
        precision,
        recompute_layers: false,
        sampling_precision: Precision::F32,
        read_every: Some(read_every),
    }
}

/// A probe whose loss is no number from some batch on.
struct Poisoned(Probe, usize);

impl Stage for Poisoned {
    fn loss(&mut self, decoder: &Decoder, index: usize, share: Share) -> BatchLoss {
        let BatchLoss { own, tokens } = self.0.loss(decoder, index, share);
        let factor = if index < self.1 { 1.0 } else { f64::NAN };
        BatchLoss {
            own: own.map(|loss| loss * factor),
            tokens,
        }
    }
}

const PROBE: Probe = Probe {
    kind: ProbeLoss::Classifier,
    rows: 4,
    tokens: 8,
};

fn fresh() -> Decoder {
    let (shape, vocabulary) = tiny();
    Decoder::new(&shape, vocabulary, 1, &Device::Cpu)
}

fn trained(
    stage: &mut dyn Stage,
    run: &Path,
    compute: ComputeRecipe,
) -> Result<Vec<u8>, TrainError> {
    run_stage(
        stage,
        &settings(13, compute),
        &mut fresh(),
        (run, &ProcessGroup::alone()),
    )?;
    Ok(fs::read(run.join("classifier.weights")).unwrap())
}

fn lines(run: &Path) -> Vec<StepMetrics> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let line = |line: &str| StepMetrics {
        step_ms: 0.0,
        tokens_per_s: 0.0,
        ..serde_json::from_str(line).unwrap()
    };
    text.lines().map(line).collect()
}

#[test]
fn reading_seldom_changes_nothing_that_is_read() {
    let folders = [1, 4, 100].map(|_| tempfile::tempdir().unwrap());
    let weights: Vec<Vec<u8>> = [1, 4, 100]
        .iter()
        .zip(&folders)
        .map(|(&every, run)| {
            trained(&mut { PROBE }, run.path(), compute(every, Precision::F32)).unwrap()
        })
        .collect();
    let metrics = folders.each_ref().map(|run| lines(run.path()));
    assert_eq!(metrics[0].len(), 13);
    for other in [1, 2] {
        assert_eq!(metrics[0], metrics[other]);
        assert_eq!(weights[0], weights[other]);
    }
}

#[test]
fn a_loss_that_is_no_number_is_never_saved() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (run, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // Two batches a step: batch 14 is the first of step 7, counted from 0.
        let error = trained(
            &mut Poisoned(PROBE, 14),
            run.path(),
            compute(100, precision),
        )
        .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("classifier, step 7: the loss is NaN"),
            "{text}"
        );
        // It was noticed before step 10 was saved; the run goes on from step 5 as if nothing
        // had been.
        assert_eq!(lines(run.path()).len(), 5);
        let resumed = trained(&mut { PROBE }, run.path(), compute(3, precision)).unwrap();
        let uninterrupted = trained(&mut { PROBE }, whole.path(), compute(1, precision)).unwrap();
        assert_eq!(resumed, uninterrupted);
        assert_eq!(lines(run.path()), lines(whole.path()));
    }
}

/// Pulls every weight of the classifier head down by the same.
struct Slope;

impl Stage for Slope {
    fn loss(&mut self, decoder: &Decoder, _index: usize, _share: Share) -> BatchLoss {
        BatchLoss {
            own: Some(decoder.score.value.sum(Kind::Float)),
            tokens: 1,
        }
    }
}

#[test]
fn updates_too_small_for_sixteen_bits_add_up() {
    let run = tempfile::tempdir().unwrap();
    let mut decoder = fresh();
    let mut settings = settings(40, compute(1, Precision::Bf16));
    settings.optimizer.warmup = 0.0;
    settings.optimizer.weight_decay = 0.0;
    settings.average_decay = 0.0;
    // As far from zero as the weights of a norm: 16 bits hold few places there.
    let _ = decoder.score.value.fill_(1.0);
    let place = (run.path(), &ProcessGroup::alone());
    run_stage(&mut Slope, &settings, &mut decoder, place).unwrap();
    let weight = host(&decoder.score.value)[0];
    // 40 updates of at most 1e-3 along a cosine; each is less than half a place of a 16-bit 1.
    let expected: f64 = (0..40).map(|step| learning_rate(1e-3, step, 40, 0.0)).sum();
    assert!(
        (f64::from(1.0 - weight) - expected).abs() < 1e-4,
        "{weight} {expected}"
    );
    let mut without_masters = Tensor::ones([], (Kind::BFloat16, Device::Cpu));
    for step in 0..40 {
        without_masters -= learning_rate(1e-3, step, 40, 0.0);
    }
    assert_eq!(without_masters.double_value(&[]), 1.0);
}

/// [`Slope`], judged by how near the weights are to a place that they pass.
struct Passing(f64);

impl Stage for Passing {
    fn loss(&mut self, decoder: &Decoder, index: usize, share: Share) -> BatchLoss {
        Slope.loss(decoder, index, share)
    }

    fn validate(&self, decoder: &Decoder, _: &ProcessGroup) -> Option<BTreeMap<String, f64>> {
        let away = (f64::from(host(&decoder.score.value)[0]) - self.0).abs();
        Some(BTreeMap::from([("unseen-all".to_owned(), 1.0 - away)]))
    }
}

#[test]
fn a_stage_ends_when_what_is_held_out_gains_no_more_wherever_it_was_stopped() {
    let settings = |patience: usize, deadline: Option<Instant>| StageSettings {
        average_decay: 0.0,
        patience,
        deadline,
        ..settings(100, compute(1, Precision::F32))
    };
    let run = |folder: &Path, settings: &StageSettings| {
        let mut decoder = fresh();
        let _ = decoder.score.value.fill_(1.0);
        let group = ProcessGroup::alone();
        run_stage(&mut Passing(0.98), settings, &mut decoder, (folder, &group))?;
        Ok::<f32, TrainError>(host(&decoder.score.value)[0])
    };
    let whole = tempfile::tempdir().unwrap();
    let weight = run(whole.path(), &settings(2, None)).unwrap();
    assert!((weight - 0.98).abs() < 0.003, "{weight}");
    // Two validations after the best one, five steps apart.
    let steps = lines(whole.path()).len();
    assert!(
        (15..50).contains(&steps) && steps.is_multiple_of(5),
        "{steps}"
    );

    // Its time is over again and again, each time after the next state.
    let stopped = tempfile::tempdir().unwrap();
    let over = settings(2, Some(Instant::now()));
    let mut errors = 0;
    let resumed = loop {
        match run(stopped.path(), &over) {
            Ok(weight) => break weight,
            Err(error) => {
                let text = error.to_string();
                let says = format!("after step {} of 100", 5 * (errors + 1));
                assert!(text.contains("game.most_minutes is over") && text.contains(&says));
                errors += 1;
            }
        }
    };
    assert_eq!(errors, steps / 5 - 1);
    assert_eq!(resumed, weight);
    let weights = |folder: &Path| fs::read(folder.join("classifier.weights")).unwrap();
    assert_eq!(weights(stopped.path()), weights(whole.path()));
    assert_eq!(lines(stopped.path()), lines(whole.path()));

    let all = tempfile::tempdir().unwrap();
    run(all.path(), &settings(0, None)).unwrap();
    assert_eq!(lines(all.path()).len(), 100);
}

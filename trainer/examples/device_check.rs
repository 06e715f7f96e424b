//! Whether a device computes what the CPU does: one step of each kind of training, its loss and its
//! gradients.
//!
//! `cargo run --release -p duoguard-trainer --example device_check -- --device cpu`, and on a
//! machine with a GPU the same with `--device cuda`. The CPU in 32 bits is the reference, which
//! agrees with PyTorch. Fails when a row of the table does.

use std::process::ExitCode;

use clap::Parser;
use duoguard_trainer::probe::{Probe, ProbeLoss, loss_and_gradients, tiny};
use duoguard_trainer::{ComputeRecipe, Precision, TrainError, device};
use tch::Device;

/// Compares the losses and gradients of a small network with those of the CPU in 32 bits.
#[derive(Parser)]
struct Arguments {
    /// cpu, or cuda where libtorch has it and there is a GPU.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// A way to compute, and how far its loss may be off, as a share of it.
const WAYS: [(&str, Precision, bool, f64); 4] = [
    ("f32", Precision::F32, false, 1e-4),
    ("f32, layers recomputed", Precision::F32, true, 1e-4),
    ("bf16", Precision::Bf16, false, 1e-2),
    ("bf16, layers recomputed", Precision::Bf16, true, 1e-2),
];

/// How far a gradient may be off, as a share of its norm: some roundings of the factors of a matrix
/// product, which goes through all layers. Those have 24 bits of mantissa, and 8 in bfloat16.
fn gradient_limit(precision: Precision, device: &str) -> f64 {
    match (precision, device) {
        (Precision::F32, "cpu") => 1e-5,
        // Sums are taken in another order there.
        (Precision::F32, _) => 1e-4,
        (Precision::Bf16, _) => 1e-1,
    }
}

fn main() -> ExitCode {
    match check(&Arguments::parse().device) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn check(name: &str) -> Result<bool, TrainError> {
    let device = device(name)?;
    let mut all_agree = true;
    println!(
        "{:<12} {:<24} {:>12} {:>9} {:>9}  worst gradient",
        "step", name, "loss", "off", "gradient"
    );
    for (step, kind) in ProbeLoss::ALL {
        let probe = Probe {
            kind,
            rows: 8,
            tokens: 24,
        };
        let found = |precision, recompute_layers, device: &Device| {
            let compute = ComputeRecipe {
                precision,
                recompute_layers,
                sampling_precision: Precision::F32,
                read_every: None,
            };
            loss_and_gradients(probe, &tiny(), 7, compute, device)
        };
        let expected = found(Precision::F32, false, &Device::Cpu);
        for (way, precision, recompute, loss_limit) in WAYS {
            let found = found(precision, recompute, &device);
            let loss = found.loss_error(&expected);
            let (parameter, gradient) = found.gradient_error(&expected);
            let agrees = loss < loss_limit && gradient < gradient_limit(precision, name);
            all_agree &= agrees;
            let verdict = if agrees { "" } else { "  DISAGREES" };
            println!(
                "{step:<12} {way:<24} {:>12.6} {loss:>9.1e} {gradient:>9.1e}  {parameter}{verdict}",
                found.loss
            );
        }
    }
    Ok(all_agree)
}

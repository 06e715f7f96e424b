//! Tokens a second and memory of training steps: of the paper's classifier step by default.
//!
//! `cargo run --release -p duoguard-trainer --example throughput -- --device cuda --precision
//! bf16`; beside it, on the same machine, `python3 trainer/examples/throughput.py`, which prints
//! the same line for PyTorch. `--shape tiny` runs anywhere.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use duoguard_trainer::probe::{Probe, ProbeLoss, mini, qwen_half_billion, tiny};
use duoguard_trainer::{ComputeRecipe, Precision, device};

/// Takes training steps on made-up tokens, and prints one line.
#[derive(Parser)]
struct Arguments {
    /// cpu, or cuda where libtorch has it and there is a GPU.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// The network.
    #[arg(long, value_enum, default_value = "qwen")]
    shape: Shape,
    /// Which stage's step.
    #[arg(long, value_enum, default_value = "classifier")]
    step: Step,
    /// Rows of a batch; of a preference step, half of them are chosen texts.
    #[arg(long, default_value_t = 40)]
    rows: usize,
    /// Tokens of a row.
    #[arg(long, default_value_t = 128)]
    tokens: usize,
    /// What the network computes with.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Bits,
    /// Compute each layer again in the backward pass instead of keeping it.
    #[arg(long)]
    recompute: bool,
    /// Steps that are timed; as many go before them.
    #[arg(long, default_value_t = 20)]
    steps: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shape {
    /// A few thousand parameters.
    Tiny,
    /// The bundled model's.
    Mini,
    /// Qwen2.5-0.5B's.
    Qwen,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Step {
    Pretrain,
    Classifier,
    Preference,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bits {
    F32,
    Bf16,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn measure(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let device = device(&arguments.device)?;
    let network = match arguments.shape {
        Shape::Tiny => tiny(),
        Shape::Mini => mini(),
        Shape::Qwen => qwen_half_billion(),
    };
    let probe = Probe {
        kind: match arguments.step {
            Step::Pretrain => ProbeLoss::Pretrain,
            Step::Classifier => ProbeLoss::Classifier,
            Step::Preference => ProbeLoss::Preference,
        },
        rows: arguments.rows,
        tokens: arguments.tokens,
    };
    let compute = ComputeRecipe {
        precision: match arguments.precision {
            Bits::F32 => Precision::F32,
            Bits::Bf16 => Precision::Bf16,
        },
        recompute_layers: arguments.recompute,
        read_every: Some(arguments.steps),
    };
    let run = Path::new("target").join(format!("throughput-{}", std::process::id()));
    std::fs::create_dir_all(&run)?;
    let started = Instant::now();
    let steps = probe.time_steps(&network, arguments.steps, compute, &run, &device);
    std::fs::remove_dir_all(&run)?;
    let last = steps?;
    println!(
        "duoguard {} {:?} {:?} {}x{} {:?}{}: {:.0} tokens/s, {:.1} ms a step, {}; {:.0} s in all",
        arguments.device,
        arguments.shape,
        arguments.step,
        arguments.rows,
        arguments.tokens,
        arguments.precision,
        if arguments.recompute {
            " recomputed"
        } else {
            ""
        },
        last.tokens_per_s,
        last.step_ms,
        memory(),
        started.elapsed().as_secs_f64(),
    );
    Ok(())
}

/// The most memory that the process had on the host. What a GPU's allocator holds cannot be asked
/// for: nvidia-smi shows it.
fn memory() -> String {
    const GIB: f64 = (1u64 << 30) as f64;
    let status = std::fs::read_to_string("/proc/self/status");
    let peak = status
        .iter()
        .flat_map(|status| status.lines())
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<f64>()
                .ok()
        });
    peak.map_or("memory unknown".to_owned(), |kib| {
        format!("{:.2} GiB of the host at most", kib * 1024.0 / GIB)
    })
}

//! Tokens a second and memory of training steps: of the paper's classifier step by default.
//!
//! `cargo run --release -p duoguard-trainer --example throughput -- --device cuda --precision
//! bf16`; beside it, on the same machine, `python3 trainer/examples/throughput.py`, which prints
//! the same line for PyTorch. `--shape tiny` runs anywhere. `cargo xtask throughput` runs both in
//! turns.

use std::error::Error;
use std::io::BufRead;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use duoguard_trainer::probe::{
    Network, Probe, ProbeLoss, SamplingTurns, TrainingTurns, llama_135m, mini, qwen_half_billion,
    tiny,
};
use duoguard_trainer::{ComputeRecipe, Precision, device};
use tch::Device;

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
    /// Rows of a batch; of a preference step, half of them are chosen texts; sampled texts.
    #[arg(long, default_value_t = 40)]
    rows: usize,
    /// Tokens of a row, or of a prompt.
    #[arg(long, default_value_t = 128)]
    tokens: usize,
    /// What the network computes with.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Bits,
    /// Compute each layer again in the backward pass instead of keeping it.
    #[arg(long)]
    recompute: bool,
    /// Steps that are timed; as many go before them. In turns: steps of a turn.
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Tokens that are sampled for each row.
    #[arg(long, default_value_t = 32)]
    new_tokens: usize,
    /// Rows that continue the same prompt.
    #[arg(long, default_value_t = 1)]
    proposals: usize,
    /// The share of the probability that tokens are sampled from.
    #[arg(long, default_value_t = 0.9)]
    top_p: f64,
    /// Threads to compute with on a CPU.
    #[arg(long)]
    threads: Option<u16>,
    /// Take one turn for each line of stdin, and print the milliseconds, the tokens, and the most
    /// memory so far in MiB.
    #[arg(long)]
    turns: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shape {
    /// A few thousand parameters.
    Tiny,
    /// The bundled model's.
    Mini,
    /// An encoder of 12 layers of 384 (multilingual-e5-small's) with 60,000 tokens: classifier
    /// steps that train all but the embedding, in turns only.
    Encoder,
    /// SmolLM2-135M's.
    Llama,
    /// Qwen2.5-0.5B's.
    Qwen,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Step {
    Pretrain,
    Classifier,
    Preference,
    /// Sampling, in turns only.
    Generate,
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
    if let Some(threads) = arguments.threads {
        tch::set_num_threads(threads.into());
    }
    let compute = ComputeRecipe {
        precision: precision(arguments),
        recompute_layers: arguments.recompute,
        sampling_precision: Precision::F32,
        read_every: Some(arguments.steps),
    };
    let count = arguments.rows * arguments.tokens * arguments.steps;
    let network = match arguments.shape {
        Shape::Tiny => tiny(),
        Shape::Mini => mini(),
        Shape::Encoder => {
            let [rows, tokens] = [arguments.rows, arguments.tokens];
            let mut turns = TrainingTurns::encoder(rows, tokens, compute, &device);
            return take_turns(|| turns.take(arguments.steps).map(|_| count));
        }
        Shape::Llama => llama_135m(),
        Shape::Qwen => qwen_half_billion(),
    };
    let probe = Probe {
        kind: match arguments.step {
            Step::Pretrain => ProbeLoss::Pretrain,
            Step::Classifier => ProbeLoss::Classifier,
            Step::Preference => ProbeLoss::Preference,
            Step::Generate => return sample(arguments, &network, &device),
        },
        rows: arguments.rows,
        tokens: arguments.tokens,
    };
    if arguments.turns {
        let mut turns = TrainingTurns::decoder(probe, &network, compute, &device);
        return take_turns(|| turns.take(arguments.steps).map(|_| count));
    }
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

fn precision(arguments: &Arguments) -> Precision {
    match arguments.precision {
        Bits::F32 => Precision::F32,
        Bits::Bf16 => Precision::Bf16,
    }
}

fn sample(arguments: &Arguments, network: &Network, device: &Device) -> Result<(), Box<dyn Error>> {
    let mut turns = SamplingTurns::new(
        network,
        [arguments.rows / arguments.proposals, arguments.proposals],
        [arguments.tokens, arguments.new_tokens],
        arguments.top_p,
        (precision(arguments), device),
    );
    take_turns(|| Ok::<_, Box<dyn Error>>(turns.take()))
}

/// Takes a turn for every line of stdin.
fn take_turns<E: Into<Box<dyn Error>>>(
    mut turn: impl FnMut() -> Result<usize, E>,
) -> Result<(), Box<dyn Error>> {
    for line in std::io::stdin().lock().lines() {
        line?;
        let started = Instant::now();
        let tokens = turn().map_err(Into::into)?;
        let ms = started.elapsed().as_secs_f64() * 1e3;
        println!("{ms} {tokens} {}", peak_mib().unwrap_or(f64::NAN));
    }
    Ok(())
}

/// The most memory that the process had on the host. What a GPU's allocator holds cannot be asked
/// for: nvidia-smi shows it.
fn memory() -> String {
    peak_mib().map_or("memory unknown".to_owned(), |mib| {
        format!("{:.2} GiB of the host at most", mib / 1024.0)
    })
}

fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?
        .trim()
        .strip_suffix(" kB")?;
    Some(kib.parse::<f64>().ok()? / 1024.0)
}

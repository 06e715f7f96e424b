//! `duoguard-train`: from a recipe and labelled text to a bundle.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use duoguard_trainer::{Recipe, RunOptions, TrainError, device, run};

/// Trains a guard as a recipe says, and writes a checkpoint and a bundle.
///
/// The run's folder holds everything: `metrics.jsonl`, the stages' states, the Hugging
/// Face checkpoint and the bundle. Stop it whenever you like; --resume goes on exactly.
#[derive(Parser)]
#[command(
    version,
    after_help = "Example: duoguard-train recipes/mini.toml --data path/to/data"
)]
struct Arguments {
    /// The recipe, a TOML file.
    recipe: PathBuf,
    /// The folder that the recipe's data paths are relative to.
    #[arg(long, default_value = ".")]
    data: PathBuf,
    /// The folder that holds the runs.
    #[arg(long, default_value = "runs")]
    runs: PathBuf,
    /// Go on with a run that was stopped.
    #[arg(long)]
    resume: bool,
    /// What to train on: cpu, or cuda where libtorch has it and there is a GPU.
    #[arg(long, default_value = "cpu")]
    device: String,
}

fn main() -> ExitCode {
    match train(Arguments::parse()) {
        Ok(bundle) => {
            println!("{}", bundle.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn train(arguments: Arguments) -> Result<PathBuf, TrainError> {
    let device = device(&arguments.device)?;
    let recipe = Recipe::load(&arguments.recipe)?;
    run(
        &recipe,
        &RunOptions {
            data: arguments.data,
            runs: arguments.runs,
            resume: arguments.resume,
            device,
        },
    )
}

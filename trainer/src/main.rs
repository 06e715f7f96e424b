//! `duoguard-train`: from a recipe and labelled text to a bundle.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod libtorch_failure;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use duoguard_trainer::{ProcessGroup, Recipe, RunOptions, TrainError, device, run, say};

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
    /// Threads to compute with on a CPU. Without it, as many as the run was begun with; a run that
    /// begins takes as many as its network and batches are large enough for.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let group = match ProcessGroup::join() {
        Ok(group) => group,
        Err(error) => {
            say(format_args!("error: {error}"));
            return ExitCode::from(2);
        }
    };
    let trained = libtorch_failure::caught(|| train(arguments, group.clone()));
    let told = trained.and_then(|bundle| match group.is_first() {
        true => tell(&bundle),
        false => Ok(()),
    });
    match told {
        Ok(()) => {
            group.leave();
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(format_args!("error: {}{error}", group.name()));
            group.abort(2)
        }
    }
}

/// Writes where the bundle is, which is what whoever reads the output waits for.
fn tell(bundle: &Path) -> Result<(), String> {
    let line = format!("{}\n", bundle.display());
    let mut out = io::stdout().lock();
    let written = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    written.map_err(|cause| format!("cannot write {} to standard output: {cause}", line.trim()))
}

fn train(arguments: Arguments, group: ProcessGroup) -> Result<PathBuf, TrainError> {
    let device = device(&arguments.device)?;
    let recipe = Recipe::load(&arguments.recipe)?;
    run(
        &recipe,
        &RunOptions {
            data: arguments.data,
            runs: arguments.runs,
            resume: arguments.resume,
            device,
            threads: arguments.threads.map(usize::from),
            group,
        },
    )
}

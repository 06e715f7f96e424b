//! `duoguard-train`: from a recipe and labelled text to a bundle.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod libtorch_failure;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use duoguard_trainer::{ProcessGroup, Recipe, RunOptions, TrainError, device, review, run, say};

/// Trains a guard as a recipe says, and writes a checkpoint and a bundle.
///
/// The run's folder holds everything: `metrics.jsonl`, the stages' states, the Hugging
/// Face checkpoint and the bundle. Stop it whenever you like; --resume goes on exactly.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  duoguard-train recipes/mini.toml --data path/to/data\n  \
        duoguard-train review runs/demo"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The recipe, a TOML file.
    #[arg(required = true)]
    recipe: Option<PathBuf>,
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

#[derive(Subcommand)]
enum Command {
    /// Show a person what the players of a run disagree on, on a page for this machine alone
    ///
    /// Answers are appended to RUN/reviewed.jsonl. The run's next round takes them over as labels
    /// of the highest weight.
    Review {
        /// The run's folder, such as runs/demo.
        run: PathBuf,
        /// The port of the page; 0 takes a free one.
        #[arg(long, default_value_t = 7878)]
        port: u16,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Review { run, port }) = &arguments.command {
        return show_review(run, *port);
    }
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

/// Serves the page of a run until it is interrupted.
fn show_review(run: &Path, port: u16) -> ExitCode {
    let tell = |address| {
        let line = format!("http://{address}/\n");
        let mut out = io::stdout().lock();
        out.write_all(line.as_bytes()).and_then(|()| out.flush())
    };
    match review(run, port, tell) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("error: {error}"));
            ExitCode::from(2)
        }
    }
}

fn train(arguments: Arguments, group: ProcessGroup) -> Result<PathBuf, TrainError> {
    let device = device(&arguments.device)?;
    let recipe = Recipe::load(&arguments.recipe.unwrap_or_default())?;
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

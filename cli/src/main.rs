//! `duoguard`, the command line tool: checks text, measures models, exports checkpoints.
//!
//! Its flags, its JSON and its exit statuses are a contract that scripts depend on.

mod certificate;
mod check;
mod cli;
mod engine_times;
mod engines;
mod eval;
mod explanation;
mod export;
mod failure;
mod inspect;
mod judgement;
mod model_path;
mod section;
#[cfg(feature = "serve")]
mod serve;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

/// How a command that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Done, and no text was unsafe.
    Safe,
    /// Done, and something was unsafe.
    Unsafe,
}

const UNSAFE_STATUS: u8 = 1;
const ERROR_STATUS: u8 = 2;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Engines(arguments) => engines::run(&arguments),
        #[cfg(feature = "serve")]
        Command::Serve(arguments) => serve::run(&arguments),
    };
    match result {
        Ok(Outcome::Safe) => ExitCode::SUCCESS,
        Ok(Outcome::Unsafe) => ExitCode::from(UNSAFE_STATUS),
        Err(failure) => {
            failure.print();
            ExitCode::from(ERROR_STATUS)
        }
    }
}

//! `duoguard`, the command line tool: checks text, measures models, exports checkpoints.
//!
//! Its flags, its JSON and its exit statuses are a contract that scripts depend on.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod certificate;
mod check;
mod check_lines;
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

/// Keeps a layer of Mesa's Vulkan drivers from asking for a display where there is none: it says so
/// on standard error for every look at the GPUs, as if it were this program's error.
fn silence_drivers() {
    let has_display = std::env::var_os("DISPLAY").is_some();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR");
    let has_runtime = runtime.is_some_and(|path| std::path::Path::new(&path).is_dir());
    if !has_display && !has_runtime {
        // SAFETY: no other thread runs yet that could read or write the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

/// Shows help, the version, or what is wrong with the arguments. Where a text was expected, none of
/// these is the status of a safe one: the text may have been what asked for it.
fn show(instead: &clap::Error) -> ExitCode {
    // Whoever does not read it gets the status all the same.
    let _ = instead.print();
    let expects_text = std::env::args_os()
        .nth(1)
        .is_some_and(|name| name == "check");
    match instead.exit_code() {
        0 if !expects_text => ExitCode::SUCCESS,
        _ => ExitCode::from(ERROR_STATUS),
    }
}

const UNSAFE_STATUS: u8 = 1;
const ERROR_STATUS: u8 = 2;

fn main() -> ExitCode {
    silence_drivers();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(instead) => return show(&instead),
    };
    let result = match cli.command {
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

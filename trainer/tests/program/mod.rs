//! The program `duoguard-train`, as the tests of whole runs start it.

// A test file starts it in one or two of these ways.
#![allow(dead_code)]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// What computes the recipe and the data in `folder`, into its folder `runs`.
pub fn trainer(folder: &Path, recipe: &str, runs: &str, resume: bool) -> Command {
    trainer_at([&folder.join(recipe), folder, &folder.join(runs)], resume)
}

/// The same of a recipe, data and runs that lie anywhere.
pub fn trainer_at(places: [&Path; 3], resume: bool) -> Command {
    let program = Command::new(env!("CARGO_BIN_EXE_duoguard-train"));
    with_arguments(program, places, resume)
}

/// A command that starts the program, with the arguments of a run; what it says is for the test.
pub fn with_arguments(
    mut command: Command,
    [recipe, data, runs]: [&Path; 3],
    resume: bool,
) -> Command {
    command.arg(recipe).arg("--data").arg(data);
    command.arg("--runs").arg(runs);
    command.args(resume.then_some("--resume"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The output of a program that must not fail.
pub fn finish(child: Child) -> Output {
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

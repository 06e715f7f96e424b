//! Whatever call to the system fails, a command succeeds or ends with one clear error.
//!
//! Each command is run again and again, with one call more going well before the one that fails,
//! until it makes no such call any more. Then it may have succeeded, with the result that it has
//! without a fault; or it ended with the error status and one message, and left no half of a
//! result: none, or a whole one, and nothing temporary. A run that can be resumed is, and ends
//! with the same bytes as one without a fault.
//!
//! A large block of memory that the system refuses may also end a program by Rust's own message,
//! which no program can change, and leave what is temporary; a message that cannot be written for
//! the very fault is missed. And libtorch may end a program, or compute with other instructions and
//! so other last digits, where a call of its own code fails: what asked is seen on the stack, and
//! such ends are counted apart.

#![cfg(target_os = "linux")]

mod client;
mod recipes;
mod scenario;
mod shim;
#[path = "../../../trainer/tests/tiny_encoder/mod.rs"]
mod tiny_encoder;
#[path = "../../../trainer/tests/tiny_players/mod.rs"]
mod tiny_players;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use self::scenario::{Scenario, contents};
use self::shim::{Ending, KINDS, Shim};

const ERROR_STATUS: i32 = 2;
const ABORTED: i32 = 6;
/// What ends a server that could not begin to wait for it.
const INTERRUPTED: i32 = 2;
/// How the names of the libraries begin that are libtorch or come with it.
const LIBTORCH: [&str; 3] = ["libtorch", "libc10", "libgomp"];

/// What a command does without a fault.
struct Expected {
    status: Option<i32>,
    stdout: Vec<u8>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

/// How many faults ended how.
#[derive(Debug, Default)]
struct Count {
    succeeded: usize,
    errors: usize,
    aborted: usize,
    /// Ends that are libtorch's.
    libtorch: usize,
}

/// A fault that ended as it should not.
struct Wrong {
    what: String,
    /// Whether libtorch asked, and ended the program or computed otherwise for it.
    is_libtorch: bool,
}

/// A command that was run into a folder.
struct Run {
    ending: Ending,
    out: tempfile::TempDir,
    /// What was there before it.
    before: BTreeMap<PathBuf, Vec<u8>>,
}

impl Run {
    /// The files that it made there or changed.
    fn made(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut made = contents(self.out.path());
        made.retain(|path, bytes| self.before.get(path) != Some(bytes));
        made
    }
}

/// Runs a command into a folder of its own.
fn run(shim: &Shim, scenario: &Scenario, fault: Option<(&str, usize)>) -> Run {
    let out = tempfile::tempdir().unwrap();
    let command = (scenario.command)(out.path(), false);
    let before = contents(out.path());
    let ending = shim.run(command, scenario.client.as_ref(), fault);
    Run {
        ending,
        out,
        before,
    }
}

/// The output without the name of the folder and the time taken, which differ.
fn without(stdout: &[u8], folder: &Path) -> Vec<u8> {
    let text = String::from_utf8_lossy(stdout).replace(&folder.display().to_string(), "OUT");
    // "time  0.3 s" of an export, and "..., 2.9 ms)" of a check.
    let lines = text.lines().filter(|line| !line.starts_with("time "));
    let timeless = lines.map(|line| match line.strip_suffix(" ms)") {
        Some(start) => start.rsplit_once(", ").map_or(start, |(rest, _)| rest),
        None => line,
    });
    timeless.collect::<Vec<_>>().join("\n").into_bytes()
}

/// Makes the call number `n` of a kind fail, and judges what comes of it; `false` where the
/// command makes no such call.
fn judge(
    shim: &Shim,
    scenario: &Scenario,
    expected: &Expected,
    (kind, n): (&str, usize),
    count: &mut Count,
) -> Result<bool, Wrong> {
    let run = run(shim, scenario, Some((kind, n)));
    let (ending, out, mut made) = (&run.ending, &run.out, run.made());
    let Some(failed) = &ending.failed else {
        return Ok(false);
    };
    let asked = failed.trim().rsplit(' ').next().unwrap_or_default();
    let say = |what: &str, is_excusable: bool| {
        Err(Wrong {
            what: format!(
                "{} {kind} {n} ({}): {what}: {:?}\n{}",
                scenario.name,
                failed.trim(),
                ending.status,
                ending.stderr
            ),
            is_libtorch: is_excusable && LIBTORCH.iter().any(|name| asked.starts_with(name)),
        })
    };
    if ending.hung {
        return say("hung", false);
    }
    if ending.stderr.contains("panicked") {
        return say("panicked", true);
    }
    if let Some(answer) = &ending.refused {
        return say(&format!("was asked in vain: {answer}"), false);
    }
    let refused = kind == "allocate"
        && ending.status.signal() == Some(ABORTED)
        && ending.stderr.contains("memory allocation of");
    let temporary = |path: &&PathBuf| {
        let name = path.to_string_lossy();
        name.contains(".partial") || name.contains("/.") || name.starts_with('.')
    };
    if refused {
        // A program that Rust ends removes nothing, as one that is killed.
        made.retain(|path, _| !temporary(&path));
    }
    // What a run that can be resumed leaves, it takes up again below.
    if !scenario.resumes
        && let Some(path) = made.keys().find(temporary)
    {
        return say(&format!("left {}", path.display()), false);
    }
    let interrupted = scenario.client.is_some() && ending.status.signal() == Some(INTERRUPTED);
    if ending.status.code() == expected.status || interrupted {
        if without(&ending.stdout, out.path()) != expected.stdout {
            return say("succeeded with another output", true);
        }
        if made != expected.files {
            return say("succeeded with another result", true);
        }
        count.succeeded += 1;
        return Ok(true);
    } else if refused {
        count.aborted += 1;
    } else if ending.status.code() == Some(ERROR_STATUS) {
        let messages = ending.stderr.matches("error: ").count();
        if messages != 1 && !failed.starts_with("write 2 ") {
            return say("expected one message", false);
        }
        count.errors += 1;
    } else {
        return say("ended as it never should", true);
    }
    // Of a run that can be resumed the bundles count, each by itself; of others every file.
    let results = |files: &BTreeMap<PathBuf, Vec<u8>>| {
        let mut results: BTreeMap<PathBuf, BTreeMap<PathBuf, Vec<u8>>> = BTreeMap::new();
        for (path, bytes) in files {
            let folder = path.ancestors().find(|folder| folder.ends_with("bundle"));
            let result = match (scenario.resumes, folder) {
                (true, None) => continue,
                (true, Some(folder)) => folder,
                (false, _) => Path::new(""),
            };
            let result = results.entry(result.to_owned()).or_default();
            result.insert(path.clone(), bytes.clone());
        }
        results
    };
    let (found, whole) = (results(&made), results(&expected.files));
    if found
        .iter()
        .any(|(name, files)| whole.get(name) != Some(files))
    {
        return say("left a part of a result", false);
    }
    if scenario.resumes {
        let resume = made.keys().next().is_some();
        let again = shim.run((scenario.command)(out.path(), resume), None, None);
        if !again.status.success() {
            return say(&format!("cannot be resumed: {}", again.stderr), false);
        }
        if run.made() != expected.files {
            return say("resumed to another end", false);
        }
    }
    Ok(true)
}

/// Runs the named commands with the first `most` calls of each kind failing, one a time; returns
/// how many faults there were.
fn inject(names: &[&str], most: usize) -> usize {
    let fixture = tempfile::tempdir().unwrap();
    let shim = Shim::compile(fixture.path());
    scenario::prepare(fixture.path());
    let (mut total, mut wrong) = (0, Vec::new());
    for scenario in scenario::all(fixture.path()) {
        if !names.contains(&scenario.name) {
            continue;
        }
        let run = run(&shim, &scenario, None);
        let (ending, out) = (&run.ending, &run.out);
        assert!(
            ending.status.success() && ending.refused.is_none(),
            "{}: {:?}\n{}",
            scenario.name,
            ending.refused,
            ending.stderr
        );
        let expected = Expected {
            status: ending.status.code(),
            stdout: without(&ending.stdout, out.path()),
            files: run.made(),
        };
        for kind in KINDS {
            let mut count = Count::default();
            let mut made = 0;
            while made < most {
                match judge(&shim, &scenario, &expected, (kind, made), &mut count) {
                    Ok(false) => break,
                    Ok(true) => {}
                    Err(Wrong { what, is_libtorch }) => {
                        println!("{what}");
                        match is_libtorch {
                            true => count.libtorch += 1,
                            false => wrong.push(what),
                        }
                    }
                }
                made += 1;
            }
            total += made;
            println!("{:>8} {kind:>8}: {made:4} faults, {count:?}", scenario.name);
        }
    }
    println!("{total} faults");
    assert!(
        wrong.is_empty(),
        "{} of {total} faults ended wrongly",
        wrong.len()
    );
    total
}

#[test]
fn a_failing_call_ends_a_command_in_success_or_one_clear_error() {
    // The first of each kind: that of all is the test below.
    let total = inject(&["check", "export", "robustness"], 12);
    assert!(total >= 60, "only {total} faults were injected");
}

#[test]
#[ignore = "minutes: cargo test --release -p duoguard-tests --test faults -- --ignored --nocapture"]
fn every_failing_call_of_a_command_ends_so() {
    let commands = ["check", "inspect", "evaluation", "robustness"];
    let total = inject(&commands, usize::MAX);
    assert!(total >= 150, "only {total} faults were injected");
}

#[test]
#[ignore = "minutes, as above"]
fn every_failing_call_of_an_export_ends_so() {
    let total = inject(&["export", "import", "outliers"], usize::MAX);
    assert!(total >= 500, "only {total} faults were injected");
}

#[test]
#[ignore = "minutes, as above"]
fn every_failing_call_of_a_server_ends_so() {
    let total = inject(&["serve", "review"], usize::MAX);
    assert!(total >= 50, "only {total} faults were injected");
}

#[test]
#[ignore = "half an hour, as above"]
fn every_failing_call_of_training_ends_so() {
    let total = inject(&["training"], usize::MAX);
    assert!(total >= 300, "only {total} faults were injected");
}

#[test]
#[ignore = "half an hour, as above"]
fn every_failing_call_of_training_an_encoder_ends_so() {
    let total = inject(&["encoder"], usize::MAX);
    assert!(total >= 200, "only {total} faults were injected");
}

#[test]
#[ignore = "an hour, as above"]
fn every_failing_call_of_a_round_ends_so() {
    let total = inject(&["game"], usize::MAX);
    assert!(total >= 300, "only {total} faults were injected");
}

#[test]
#[ignore = "an hour, as above"]
fn every_failing_call_of_a_round_of_two_players_ends_so() {
    let total = inject(&["players"], usize::MAX);
    assert!(total >= 300, "only {total} faults were injected");
}

//! Fuzzing: builds the targets of `fuzz/` so that they count what they reach, runs them, and keeps
//! of each corpus what reaches something alone.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

/// (target, the longest input in bytes).
const TARGETS: &[(&str, u32)] = &[
    ("text", 256),
    ("check", 256),
    ("stream", 256),
    ("bundle", 1024),
    ("manifest", 4096),
    ("bodies", 512),
    ("gguf", 16_384),
    ("checkpoint", 8192),
    ("recipe", 4096),
    ("answer", 1024),
];
/// How the crates' names end that are instrumented; in other crates nothing is looked for.
const INSTRUMENTED: [&str; 4] = ["", "-export", "-serve", "-fuzz"];
/// Comparisons are not traced, which would take a third to a half of the time: dictionaries have
/// what files are compared with.
const FLAGS: &str = r#"["-Cpasses=sancov-module", "-Cllvm-args=-sanitizer-coverage-level=3",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -sanitizer-coverage-pc-table",
    "-Cdebug-assertions", "-Coverflow-checks", "-Ccodegen-units=1"]"#;
/// A folder in memory, where there is one: some targets write the file that they then read.
const MEMORY: &str = "/dev/shm";
const GIB: &str = "1073741824";
/// Beyond these a run counts as a failure: seconds, and MiB in one allocation and in all.
const LIMITS: &[&str] = &["-timeout=10", "-malloc_limit_mb=256", "-rss_limit_mb=2048"];

/// Runs one target or all, each for so many minutes, and prints a line for each.
pub fn run(sh: &Shell, root: &Path, only: Option<&str>, minutes: f64) -> Result<()> {
    let is_chosen = |name: &str| only.is_none_or(|only| only == name);
    let chosen: Vec<_> = TARGETS.iter().filter(|(name, _)| is_chosen(name)).collect();
    ensure!(
        !chosen.is_empty(),
        "no such target; expected one of {TARGETS:?}"
    );
    build(sh, root)?;
    let temporary = match Path::new(MEMORY).is_dir() {
        true => MEMORY.into(),
        false => std::env::temp_dir(),
    };
    let temporary = temporary.join("duoguard-fuzz");
    sh.remove_path(&temporary)?;
    sh.create_dir(&temporary)?;
    let _temporary = sh.push_env("TMPDIR", &temporary);
    // So that memory is not given back after every input.
    let _large = ["TRIM", "MMAP"].map(|of| sh.push_env(format!("MALLOC_{of}_THRESHOLD_"), GIB));
    println!("| target | executions | seconds | a second | coverage | corpus, files |");
    println!("|---|---|---|---|---|---|");
    for (name, longest) in chosen {
        println!("{}", fuzz(sh, root, name, *longest, minutes)?);
    }
    Ok(sh.remove_path(&temporary)?)
}

/// With the compiler at hand: coverage needs an option that only nightly ones have by themselves.
fn build(sh: &Shell, root: &Path) -> Result<()> {
    let _folder = sh.push_dir(root.join("fuzz"));
    let configs = INSTRUMENTED.iter().flat_map(|end| {
        let config = format!("profile.release.package.duoguard{end}.rustflags={FLAGS}");
        ["--config".to_owned(), config.replace('\n', "")]
    });
    let _unstable = sh.push_env("RUSTC_BOOTSTRAP", "1");
    Ok(cmd!(sh, "cargo build --release -Zprofile-rustflags {configs...}").run()?)
}

/// One target's line of the table.
fn fuzz(sh: &Shell, root: &Path, name: &str, longest: u32, minutes: f64) -> Result<String> {
    let program = root.join("fuzz/target/release").join(name);
    let work = root.join("target/fuzz").join(name);
    let corpus = sh.create_dir(work.join("corpus"))?;
    let seeds = root.join("fuzz/seeds").join(name);
    let options = [
        // What is reached counts, not how often: as much is reached, at twice the rate.
        "-use_counters=0".to_owned(),
        format!("-max_len={longest}"),
        format!("-max_total_time={}", (minutes * 60.0).ceil()),
        format!("-artifact_prefix={}/", work.display()),
        format!("-dict={}/fuzz/dictionaries/{name}.dict", root.display()),
    ];
    let output = cmd!(sh, "{program} {LIMITS...} {options...} {corpus} {seeds}")
        .quiet()
        .ignore_status()
        .output()?;
    std::fs::write(work.join("log"), &output.stderr)?;
    let work_shown = work.display();
    let failed = format!("{name} failed: the input and the log are in {work_shown}");
    ensure!(output.status.success(), failed);
    let log = String::from_utf8_lossy(&output.stderr);
    let [executions, seconds, coverage] = counts(&log).context("no counts in the log")?;
    let (each_second, files) = (executions / seconds.max(1), merge(sh, &program, &work)?);
    Ok(format!(
        "| `{name}` | {executions} | {seconds} | {each_second} | {coverage} | {files} |"
    ))
}

/// Keeps of the corpus the fewest inputs that reach as much; returns how many files these are.
fn merge(sh: &Shell, program: &Path, work: &Path) -> Result<usize> {
    let (corpus, small) = (work.join("corpus"), work.join("small"));
    sh.remove_path(&small)?;
    sh.create_dir(&small)?;
    cmd!(sh, "{program} {LIMITS...} -merge=1 {small} {corpus}")
        .quiet()
        .ignore_stderr()
        .run()?;
    sh.remove_path(&corpus)?;
    std::fs::rename(&small, &corpus)?;
    Ok(sh.read_dir(&corpus)?.len())
}

/// Executions, seconds and coverage, as libFuzzer says at the end of a run.
fn counts(log: &str) -> Option<[u64; 3]> {
    let find = |before| {
        log.lines()
            .rev()
            .find_map(|line| Some(line.split_once(before)?.1))
    };
    let mut done = find("Done ")?.split(' ');
    let executions = done.next()?.parse().ok()?;
    let seconds = done.nth(2)?.parse().ok()?;
    let coverage = find(" cov: ")?.split(' ').next()?.parse().ok()?;
    Some([executions, seconds, coverage])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_log() {
        let log = "#4096\tpulse  cov: 90 ft: 91 corp: 7/8b\n\
                   #8192\tDONE   cov: 93 ft: 120 corp: 9/12b lim: 21 exec/s: 4096 rss: 40Mb\n\
                   Done 8192 runs in 2 second(s)\n";
        assert_eq!(counts(log), Some([8192, 2, 93]));
        assert_eq!(counts("INFO: Seed: 1\n"), None);
    }
}

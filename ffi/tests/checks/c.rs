//! The C door: `ffi/tests/c/checks.c`, compiled with the header and linked to the shared library.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use runtime::Model;
use serde::Deserialize;

use crate::case::{Case, JoinName};
use crate::outcome::{Found, OneSide, Outcome, Side};
use crate::{bundle, root};

/// A line of the program's output.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Found(Box<CFound>),
    Refused(Refused),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CFound {
    status: String,
    flagged: u32,
    top_category: i64,
    top_score: u32,
    tokens: u64,
    tokens_scored: u64,
    windows: u64,
    language: String,
    span_in_response: u32,
    span_begin: u64,
    span_end: u64,
    coverage_partial: u32,
    reserved: u32,
    scores: Vec<u32>,
    stream_agrees: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    status: String,
    message: String,
    as_before: u32,
}

/// What the C library says to each case.
///
/// `DUOGUARD_CC` names the compiler of the program and `DUOGUARD_CFLAGS` adds to its flags, such as
/// those of a sanitizer; what `DUOGUARD_UNDER` names runs it, such as valgrind with its flags.
pub fn check(cases: &[&Case]) -> Vec<Outcome> {
    let model = Model::open(bundle()).unwrap();
    let categories = model.categories();
    let folder = tempfile::tempdir().unwrap();
    let program = compile(folder.path());
    let input: String = cases
        .iter()
        .map(|case| line(case, categories) + "\n")
        .collect();
    let output = run(&program, input);
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines.len(), cases.len(), "lines of checks.c");
    cases
        .iter()
        .zip(lines)
        .map(|(case, line)| match serde_json::from_str(line) {
            Ok(line) => outcome(case, line, categories),
            Err(cause) => panic!("{}: {cause}: {line}", case.name),
        })
        .collect()
}

fn words(variable: &str) -> Vec<String> {
    let words = env::var(variable).unwrap_or_default();
    words.split_whitespace().map(str::to_owned).collect()
}

fn compile(folder: &Path) -> PathBuf {
    let (plain, versioned) = library_names();
    let built = env::current_exe().unwrap().with_file_name(&plain);
    assert!(
        built.exists(),
        "{}: cargo builds the library before its tests",
        built.display()
    );
    // Under the name that the program is linked to, and under the one that it then looks for.
    for name in [&plain, &versioned] {
        fs::copy(&built, folder.join(name)).unwrap();
    }
    let program = folder.join("checks");
    let compiler = env::var("DUOGUARD_CC").unwrap_or_else(|_| "cc".to_owned());
    let compiled = Command::new(&compiler)
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"])
        .args(words("DUOGUARD_CFLAGS"))
        .arg("-I")
        .arg(root().join("include"))
        .arg(root().join("ffi/tests/c/checks.c"))
        .arg("-L")
        .arg(folder)
        .arg("-lduoguard")
        .arg(format!("-Wl,-rpath,{}", folder.display()))
        .arg("-o")
        .arg(&program)
        .status()
        .unwrap_or_else(|e| panic!("cannot run {compiler}, a C compiler: {e}"));
    assert!(compiled.success());
    program
}

/// The shared library as cargo names it, and as its programs look for it.
fn library_names() -> (String, String) {
    let header = fs::read_to_string(root().join("include/duoguard.h")).unwrap();
    let version = header
        .lines()
        .find_map(|line| line.strip_prefix("#define DUOGUARD_ABI_VERSION "))
        .expect("the header defines DUOGUARD_ABI_VERSION");
    match cfg!(target_os = "macos") {
        true => (
            "libduoguard.dylib".to_owned(),
            format!("libduoguard.{version}.dylib"),
        ),
        false => (
            "libduoguard.so".to_owned(),
            format!("libduoguard.so.{version}"),
        ),
    }
}

fn run(program: &Path, input: String) -> String {
    let mut under = words("DUOGUARD_UNDER").into_iter();
    let mut command = match under.next() {
        None => Command::new(program),
        Some(first) => {
            let mut command = Command::new(first);
            command.args(under).arg(program);
            command
        }
    };
    let mut running = command
        .arg(bundle())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = running.stdin.take().unwrap();
    // From another thread: the program answers before it has read everything.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "checks.c: {}", output.status);
    writer.join().unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A case in the program's form.
fn line(case: &Case, categories: &[String]) -> String {
    let mut line = String::new();
    let mut set = |key: &str, value: &dyn std::fmt::Display| {
        write!(line, "{key}={value}\t").unwrap();
    };
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    if let Some(prompt) = &case.prompt {
        set("prompt", &hex(&prompt.bytes()));
    }
    if let Some(response) = &case.response {
        set("response", &hex(&response.bytes()));
    }
    if let Some(language) = &case.language {
        set("language", &hex(language.as_bytes()));
    }
    let options = &case.options;
    if let Some(join) = options.join {
        set(
            "join",
            &match join {
                JoinName::Space => 0,
                JoinName::Newline => 1,
                JoinName::Separate => 2,
            },
        );
    }
    if let Some(max_tokens) = options.max_tokens {
        set("max_tokens", &max_tokens);
    }
    let bits = |number: f32| format!("{:x}", number.to_bits());
    if let Some(target_fpr) = options.target_fpr {
        set("target_fpr", &bits(target_fpr));
    }
    if options.literal {
        set("literal", &1);
    }
    if !options.thresholds.is_empty() {
        let of = |category| options.thresholds.get(category).copied().unwrap_or(0.0);
        let thresholds: Vec<_> = categories.iter().map(|name| bits(of(name))).collect();
        set("thresholds", &thresholds.join(","));
    }
    for (key, value) in &case.c {
        match value {
            toml::Value::String(words) => set(key, words),
            toml::Value::Integer(number) => set(key, number),
            other => panic!(
                "{}: c.{key} is {other}; expected a number or words",
                case.name
            ),
        }
    }
    line
}

fn outcome(case: &Case, line: Line, categories: &[String]) -> Outcome {
    match line {
        Line::Found(found) => {
            assert_eq!(found.status, "DUOGUARD_OK", "{}", case.name);
            assert_eq!(found.reserved, 0, "{}: reserved", case.name);
            assert_eq!(found.stream_agrees, 1, "{}: a stream", case.name);
            Outcome::Found(Found {
                flagged: flag(found.flagged),
                category: match found.top_category {
                    -1 => None,
                    index => Some(categories[usize::try_from(index).unwrap()].clone()),
                },
                score: found.top_score,
                scores: found.scores,
                tokens: found.tokens,
                tokens_scored: found.tokens_scored,
                windows: found.windows,
                language: found.language,
                span: OneSide {
                    side: match flag(found.span_in_response) {
                        true => Side::Response,
                        false => Side::Prompt,
                    },
                    begin: found.span_begin,
                    end: found.span_end,
                },
                partial: flag(found.coverage_partial),
            })
        }
        Line::Refused(refused) => {
            assert_eq!(
                refused.as_before, 1,
                "{}: outputs after a failure",
                case.name
            );
            let kind = refused.status.strip_prefix("DUOGUARD_");
            Outcome::Refused {
                kind: kind.expect("statuses begin so").to_owned(),
                message: refused.message,
            }
        }
    }
}

fn flag(given: u32) -> bool {
    assert!(given <= 1, "a flag is {given}");
    given == 1
}

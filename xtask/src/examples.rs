//! Builds and runs the examples of `examples/`, and the one in the header.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::ctest::{BUNDLE, Bench, Link, sanitizers_are_in};
use crate::library;
use crate::process::{finish, printed, words};

const PROMPT: &str = "How do I bake bread at home?";
const RESPONSE: &str = "With flour, water, salt and time.";
const CLIENTS: usize = 8;
const LINES: usize = 50;

/// Builds and runs them all; each says what it has shown.
pub fn run(bench: &Bench) -> Result<(), String> {
    for example in [from_the_header, with_pkg_config, with_cmake, python, server] {
        eprintln!("examples: {}", example(bench)?);
    }
    Ok(())
}

/// The example in the header's first comment compiles, and finds the bundled model.
fn from_the_header(bench: &Bench) -> Result<String, String> {
    let header = library::read(&bench.root.join("include/duoguard.h"))?;
    let comment = header.lines().take_while(|line| !line.contains("*/"));
    let code: Vec<&str> = comment
        .map(|line| line.strip_prefix(" *").unwrap_or(line))
        .skip_while(|line| !line.starts_with("     #include"))
        .take_while(|line| line.is_empty() || line.starts_with("     "))
        .collect();
    let source = bench.work.join("header-example.c");
    library::write(&source, &(code.join("\n") + "\n"))?;
    let source = source.to_string_lossy();
    let program = bench.compile(
        "gcc",
        &["-std=c99"],
        &[&source],
        Link::Shared,
        "header-example",
    )?;
    let mut command = Command::new(program);
    command.current_dir(&bench.root);
    let said = printed(command, "the header's example")?;
    match said.starts_with("safe: ") {
        true => Ok(format!("the header's: {}", said.trim())),
        false => Err(format!(
            "the header's example printed {said:?}, expected \"safe: ...\""
        )),
    }
}

/// The C example, linked by what pkg-config says, to the shared library and to the static one.
fn with_pkg_config(bench: &Bench) -> Result<String, String> {
    let ask = |arguments: &[&str]| {
        let mut command = words(&bench.root, ["pkg-config"]);
        command.args(arguments).arg("duoguard");
        command.env("PKG_CONFIG_PATH", bench.prefix.join("lib/pkgconfig"));
        printed(command, "pkg-config")
    };
    let shared = ask(&["--cflags", "--libs"])?;
    let fixed = ask(&["--cflags", "--static", "--libs"])?.replace("-lduoguard", "-l:libduoguard.a");
    for (name, said) in [("check-shared", shared), ("check-static", fixed)] {
        let program = bench.work.join(name);
        let mut gcc = words(&bench.root, ["gcc", "-std=c99", "examples/c/check.c"]);
        gcc.args(said.split_whitespace()).arg("-o").arg(&program);
        finish(gcc, &format!("gcc examples/c/check.c {said}"))?;
        checks(bench, &program, name)?;
    }
    Ok("C, linked through pkg-config, shared and static".to_owned())
}

/// All compiled examples, linked through the CMake package.
fn with_cmake(bench: &Bench) -> Result<String, String> {
    for fixed in ["OFF", "ON"] {
        let folder = bench.work.join(format!("cmake-static-{fixed}"));
        let mut configure = words(&bench.root, ["cmake", "-S", "examples", "-B"]);
        configure
            .arg(&folder)
            .arg(format!("-DCMAKE_PREFIX_PATH={}", bench.prefix.display()));
        configure
            .arg(format!("-DDUOGUARD_STATIC={fixed}"))
            .stdout(Stdio::null());
        finish(configure, "cmake -S examples")?;
        let mut build = words(&bench.root, ["cmake", "--build"]);
        build.arg(&folder).stdout(Stdio::null());
        finish(build, "cmake --build")?;
        for name in ["check_c", "check_cpp"] {
            checks(bench, &folder.join(name), name)?;
        }
    }
    Ok("C and C++, linked through CMake, shared and static".to_owned())
}

fn python(bench: &Bench) -> Result<String, String> {
    checks(bench, Path::new("examples/python/duoguard.py"), "Python")?;
    Ok("Python".to_owned())
}

/// A program that checks: a harmless text is safe, a missing bundle is an error and not a verdict.
fn checks(bench: &Bench, program: &Path, name: &str) -> Result<(), String> {
    let expected = [
        (&[BUNDLE, PROMPT][..], 0, "safe"),
        (&[BUNDLE, PROMPT, RESPONSE], 0, "safe"),
        (&["no/such/bundle", PROMPT], 2, ""),
        (&[BUNDLE], 2, ""),
    ];
    for (arguments, code, word) in expected {
        let mut command = match program.extension() {
            Some(_) => words(&bench.root, ["python3"]),
            None => Command::new(program),
        };
        if program.extension().is_some() {
            command
                .arg(program)
                .env("DUOGUARD_LIBRARY", bench.prefix.join("lib/libduoguard.so"));
        } else {
            command.env("LD_LIBRARY_PATH", bench.prefix.join("lib"));
        }
        let output = command.current_dir(&bench.root).args(arguments).output();
        let output = output.map_err(|e| format!("cannot run {name}: {e}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let why = String::from_utf8_lossy(&output.stderr);
        let as_expected = match code {
            2 => said.is_empty() && !why.is_empty(),
            _ => said.starts_with(word) && said.lines().count() == 13,
        };
        if output.status.code() != Some(code) || !as_expected {
            return Err(format!(
                "{name} {arguments:?}: expected exit code {code} and {word:?}, found {}\n{said}{why}",
                output.status
            ));
        }
    }
    Ok(())
}

/// The server answers many clients at once, alike, and ends without leaving memory behind.
fn server(bench: &Bench) -> Result<String, String> {
    let flags = [
        "-std=c99",
        "-g",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    ];
    let program = bench.compile(
        "gcc",
        &flags,
        &["examples/server/server.c"],
        Link::Shared,
        "server",
    )?;
    sanitizers_are_in(bench, &program)?;
    let mut command = bench.command(&program);
    let mut server = command
        .args(["0", "4"])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot run the server: {e}"))?;
    let talked = talk(&mut server);
    let mut kill = Command::new("kill");
    kill.arg(server.id().to_string());
    finish(kill, "kill")?;
    let ended = server
        .wait()
        .map_err(|e| format!("cannot wait for the server: {e}"))?;
    talked?;
    match ended.success() {
        true => Ok(format!(
            "the server answered {CLIENTS} clients x {LINES} lines alike"
        )),
        false => Err(format!("the server ended with {ended}")),
    }
}

fn talk(server: &mut Child) -> Result<(), String> {
    let port = server.stdout.take().ok_or("the server has no stdout")?;
    let mut line = String::new();
    BufReader::new(port)
        .read_line(&mut line)
        .map_err(|e| format!("the server named no port: {e}"))?;
    let port: u16 = line
        .trim()
        .parse()
        .map_err(|e| format!("the server's port is {line:?}: {e}"))?;
    let first = answers(port, format!("{PROMPT}\n").as_bytes())?;
    if !first.starts_with("safe 0.") {
        return Err(format!(
            "the server answered {first:?}, expected \"safe ...\""
        ));
    }
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            thread::spawn(move || answers(port, format!("{PROMPT}\n").repeat(LINES).as_bytes()))
        })
        .collect();
    for client in clients {
        let found = client
            .join()
            .map_err(|_| "a client panicked".to_owned())??;
        if found != first.repeat(LINES) {
            return Err(format!(
                "the server answered one client {found:?}, another {first:?}"
            ));
        }
    }
    let long = "a".repeat(70_000);
    let odd = [
        b"\xff\n",
        format!("{PROMPT}\t{RESPONSE}\n{long}\n\n").as_bytes(),
    ]
    .concat();
    let found = answers(port, &odd)?;
    let starts = [
        "error prompt is not UTF-8",
        "safe 0.",
        "error the line is longer",
        "safe 0.000000",
    ];
    let fits = found
        .lines()
        .zip(starts)
        .filter(|(line, start)| line.starts_with(start))
        .count();
    match fits == starts.len() && found.lines().count() == starts.len() {
        true => Ok(()),
        false => Err(format!(
            "the server answered {found:?}, expected lines that start with {starts:?}"
        )),
    }
}

/// Sends lines, and returns all answers.
fn answers(port: u16, lines: &[u8]) -> Result<String, String> {
    let failed = |e: std::io::Error| format!("talking to the server: {e}");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
    stream.write_all(lines).map_err(failed)?;
    stream.shutdown(Shutdown::Write).map_err(failed)?;
    let mut found = String::new();
    stream.read_to_string(&mut found).map_err(failed)?;
    Ok(found)
}

//! Whether memory stays where it is, and every verdict what it was the first time, however long a
//! process checks: threads with texts of all kinds, streams cut anywhere, models opened and closed,
//! and children that open the model anew. Linux.
//!
//! cargo xtask soak [MODEL] --minutes N

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use duoguard::{
    EngineChoice, Input, Model, Session, SessionOptions, Stream, StreamOptions, Verdict,
};
use duoguard_eval::Disguise;
use duoguard_tests::root;

const THREADS: usize = 4;
/// Texts that a thread checks between two measurements of memory.
const TEXTS_PER_ROUND: usize = 60;
/// Every so many rounds, one thread checks the longest text.
const ROUNDS_PER_LONG_TEXT: usize = 8;
const LONG_TEXT_BYTES: usize = 1 << 20;
/// How far memory may rise above the most that it was while warming up.
const ALLOWED_KIB: i64 = 2 << 10;
/// The part of the time that is for warming up.
const WARM_UP: f64 = 0.3;
/// How long a child may take; one that hangs is killed.
const CHILD_SECONDS: u32 = 120;

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
    fn alarm(seconds: u32) -> u32;
    fn _exit(status: i32) -> !;
    fn malloc_trim(pad: usize) -> i32;
    fn mallopt(parameter: i32, value: i32) -> i32;
}

/// glibc's parameters, and what they are before it changes them.
const TRIM_AND_MMAP_THRESHOLDS: [i32; 2] = [-1, -3];
const THRESHOLD_BYTES: i32 = 128 << 10;

/// A text and its verdict when it was checked for the first time.
struct Case {
    text: String,
    verdict: Verdict,
}

/// Numbers that are the same in every run: xorshift64.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

#[derive(Default)]
struct Done {
    checks: usize,
    streams: usize,
    models: usize,
    children: usize,
}

/// The engine that every machine has.
fn native() -> SessionOptions {
    SessionOptions {
        engine: EngineChoice::Named("native".to_owned()),
        ..SessionOptions::default()
    }
}

fn session(model: &Model) -> Session {
    model.session(&native()).expect("the engine opens")
}

/// Plain and disguised texts from one byte to 64 KiB; the last one is the longest.
fn texts() -> Vec<String> {
    let file = std::fs::read_to_string(root().join("tests/data/texts.tsv")).unwrap();
    let plain: Vec<&str> = file
        .lines()
        .filter_map(|line| Some(line.split_once('\t')?.1))
        .collect();
    let mut texts: Vec<String> = plain.iter().map(|text| (*text).to_owned()).collect();
    let disguised = plain.iter().zip(Disguise::ALL.iter().cycle());
    texts.extend(disguised.filter_map(|(text, disguise)| disguise.apply(text)));
    texts.extend(["a", "?", "7", "é", "🎨"].map(str::to_owned));
    let all = plain.join(" ");
    for bytes in [1 << 10, 4 << 10, 16 << 10, 64 << 10, LONG_TEXT_BYTES] {
        let mut text = all.repeat(bytes / all.len() + 1);
        let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        texts.push(text);
    }
    texts
}

/// Checks one case whole, or as a stream in pieces of any size.
fn check(session: &mut Session, case: &Case, numbers: &mut Numbers, done: &mut Done) {
    let verdict = if numbers.below(3) == 0 && case.text.len() < 16 << 10 {
        let mut stream = Stream::new(session, StreamOptions::default());
        let mut rest = case.text.as_bytes();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + numbers.below(rest.len().min(400)));
            stream.push(session, piece).expect("a piece is taken");
            rest = after;
        }
        done.streams += 1;
        stream.finish(session).expect("a stream has a verdict")
    } else {
        done.checks += 1;
        session
            .check(&Input::prompt(&case.text))
            .expect("a text has a verdict")
    };
    let shown: String = case.text.chars().take(60).collect();
    assert_eq!(
        verdict, case.verdict,
        "another verdict than the first time: {shown}"
    );
}

/// What a thread does between two measurements.
fn work(bundle: &Path, session: &mut Session, cases: &[Case], with_long: bool, seed: u64) -> Done {
    let (long, short) = cases.split_last().expect("there are texts");
    let (mut numbers, mut done) = (Numbers(seed), Done::default());
    for _ in 0..TEXTS_PER_ROUND {
        let case = &short[numbers.below(short.len())];
        check(session, case, &mut numbers, &mut done);
    }
    if with_long {
        check(session, long, &mut numbers, &mut done);
    }
    let model = Model::open(bundle).expect("the model opens again");
    let mut own = self::session(&model);
    check(
        &mut own,
        &short[numbers.below(short.len())],
        &mut numbers,
        &mut done,
    );
    done.models += 1;
    done
}

/// Whether a child opens the model anew and gives a text its verdict.
fn child_agrees(bundle: &Path, case: &Case) -> bool {
    // SAFETY: the child opens what it uses itself, and ends by `_exit`, which runs none of the
    // parent's destructors.
    let process = unsafe { fork() };
    if process == 0 {
        // SAFETY: it only sets a timer.
        unsafe { alarm(CHILD_SECONDS) };
        let verdict = Model::open(bundle)
            .and_then(|model| model.session(&native()))
            .and_then(|mut session| session.check(&Input::prompt(&case.text)));
        let agrees = verdict.is_ok_and(|verdict| verdict == case.verdict);
        // SAFETY: nothing runs after it.
        unsafe { _exit(i32::from(!agrees)) }
    }
    let mut status = -1;
    // SAFETY: the status is ours to be written to.
    process > 0 && unsafe { waitpid(process, &raw mut status, 0) } == process && status == 0
}

/// Memory of this process in KiB, what the allocator keeps for later given back.
fn resident_kib() -> i64 {
    // SAFETY: it returns free memory to the system, and moves nothing.
    unsafe { malloc_trim(0) };
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    number.expect("VmRSS is in kB")
}

/// Has the allocator give back what is free at the end of a thread's memory. By itself it raises
/// the thresholds with the largest block that was freed, and then keeps up to 64 MiB there.
fn keep_thresholds() {
    for parameter in TRIM_AND_MMAP_THRESHOLDS {
        // SAFETY: it sets a number, before other threads are there.
        let is_set = unsafe { mallopt(parameter, THRESHOLD_BYTES) };
        assert_eq!(is_set, 1, "the allocator is glibc's");
    }
}

/// The bundle of the model that is named, and the minutes.
fn arguments() -> Option<(PathBuf, f64)> {
    let mut arguments = std::env::args().skip(1);
    let bundle = root().join("models").join(arguments.next()?);
    let named = arguments.next()? == "--minutes";
    let minutes: f64 = arguments.next()?.parse().ok()?;
    (bundle.is_dir() && named && minutes > 0.0).then_some((bundle, minutes))
}

fn main() -> ExitCode {
    let Some((bundle, minutes)) = arguments() else {
        eprintln!("usage: soak mini|base --minutes N");
        return ExitCode::from(2);
    };
    keep_thresholds();
    let time = Duration::from_secs_f64(minutes * 60.0);
    let model = Model::open(&bundle).expect("the model opens");
    let mut first = session(&model);
    let case = |text: String| {
        let verdict = first
            .check(&Input::prompt(&text))
            .expect("a text has a verdict");
        Case { text, verdict }
    };
    let cases: Vec<Case> = texts().into_iter().map(case).collect();
    drop(first);
    println!(
        "{}: {} texts, {THREADS} threads, {minutes} minutes",
        bundle.display(),
        cases.len()
    );

    let mut sessions: Vec<Session> = (0..THREADS).map(|_| session(&model)).collect();
    let mut total = Done::default();
    let (mut warm, mut most) = (0, 0);
    let started = Instant::now();
    let mut round = 0;
    while started.elapsed() < time || most == 0 {
        let parts = std::thread::scope(|scope| {
            let threads: Vec<_> = sessions
                .iter_mut()
                .enumerate()
                .map(|(thread, session)| {
                    let with_long = (round + thread * 2).is_multiple_of(ROUNDS_PER_LONG_TEXT);
                    let seed = (round * THREADS + thread + 1) as u64 * 0x9e37_79b9;
                    let (bundle, cases) = (&bundle, &cases);
                    scope.spawn(move || work(bundle, session, cases, with_long, seed))
                })
                .collect();
            // While the others compute, and with a text that is new to no cache.
            assert!(
                child_agrees(&bundle, &cases[round % 8]),
                "a child did not agree, or hung"
            );
            let joined = threads.into_iter().map(|thread| thread.join());
            joined
                .map(|part| part.expect("a thread ends well"))
                .collect::<Vec<_>>()
        });
        for part in parts {
            total.checks += part.checks;
            total.streams += part.streams;
            total.models += part.models;
        }
        total.children += 1;
        round += 1;
        let now = resident_kib();
        let is_warming = started.elapsed() < time.mul_f64(WARM_UP) || round < ROUNDS_PER_LONG_TEXT;
        match is_warming {
            true => warm = warm.max(now),
            false => most = most.max(now),
        }
        let seconds = started.elapsed().as_secs();
        println!(
            "{seconds:6} s  round {round:5}  {now:8} KiB{}",
            ["", "  (warming up)"][usize::from(is_warming)]
        );
    }
    println!(
        "{} checks and {} streams in {} s, every verdict as the first time; {} models opened and closed, {} children",
        total.checks,
        total.streams,
        started.elapsed().as_secs(),
        total.models,
        total.children
    );
    println!(
        "memory: at most {warm} KiB while warming up, then at most {most} KiB, {:+} KiB",
        most - warm
    );
    match most - warm <= ALLOWED_KIB {
        true => ExitCode::SUCCESS,
        false => {
            eprintln!("memory rose by more than {ALLOWED_KIB} KiB");
            ExitCode::FAILURE
        }
    }
}

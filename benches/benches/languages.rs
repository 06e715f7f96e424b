//! What a check of the same text costs in every language, and what part of it is tokenising.
//!
//! `cargo bench -p duoguard-benches --bench languages` prints a table and appends it, dated, to
//! `benches/record/<machine>/languages.csv`. `DUOGUARD_MODEL` names another bundle, `DUOGUARD_TEXTS` another file of lines
//! `language<TAB>text`. A ratio to the first language of the same run says more than milliseconds of a busy machine.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use duoguard::{EngineChoice, Input, Model, SessionOptions, engines};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const RUNS: usize = 200;
const COLUMNS: &str = "unix_s,model,engine,language,chars,tokens,check_p50_ms,check_p10_ms,check_p90_ms,tokenize_p50_ms,engine_p50_ms";

fn main() {
    let measure = std::env::args().any(|argument| argument == "--bench");
    let runs = if measure { RUNS } else { 1 };
    let variable = |name: &str, default: &str| {
        std::env::var(name).map_or_else(|_| Path::new(ROOT).join(default), PathBuf::from)
    };
    let path = variable("DUOGUARD_TEXTS", "data/parallel.tsv");
    let texts = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let model = Model::open(variable("DUOGUARD_MODEL", "../models/mini")).expect("the model opens");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |t| t.as_secs());
    let mut lines = Vec::new();
    println!(
        "engine       language chars tokens  check p50 [p10, p90] ms  tokenize ms  share  engine ms  to the first"
    );
    for engine in engines().into_iter().filter(|engine| {
        if !engine.available {
            println!("{:12} not measured: {}", engine.name, engine.detail);
        }
        engine.available
    }) {
        let mut session = model
            .session(&SessionOptions {
                engine: EngineChoice::Named(engine.name.clone()),
                ..SessionOptions::default()
            })
            .expect("the engine opens");
        let mut first = None;
        for (number, line) in texts.lines().enumerate() {
            let (language, text) = line.split_once('\t').unwrap_or_else(|| {
                panic!(
                    "{}:{}: expected language<TAB>text",
                    path.display(),
                    number + 1
                )
            });
            let tokens = model.tokenize(text).expect("it tokenises");
            let tokenize = Times::of(runs, || drop(black_box(model.tokenize(text))));
            let network =
                Times::of(runs, || drop(black_box(session.window_logits(text)))).p50 - tokenize.p50;
            let input = Input::prompt(text);
            let check = Times::of(runs, || {
                drop(black_box(session.check(&input).expect("it runs")))
            });
            let (chars, count) = (text.chars().count(), tokens.len());
            println!(
                "{:12} {language:8} {chars:5} {count:6}  {:9.3} [{:.3}, {:.3}]  {:14.3}  {:4.1} %  {network:9.3}  {:12.2}",
                engine.name,
                check.p50,
                check.p10,
                check.p90,
                tokenize.p50,
                100.0 * tokenize.p50 / check.p50,
                check.p50 / *first.get_or_insert(check.p50),
            );
            lines.push(format!(
                "{now},{},{},{language},{chars},{count},{:.4},{:.4},{:.4},{:.4},{network:.4}",
                model.manifest().name,
                engine.name,
                check.p50,
                check.p10,
                check.p90,
                tokenize.p50,
            ));
        }
    }
    assert!(
        !lines.is_empty(),
        "no engine is available, or {} is empty",
        path.display()
    );
    if measure {
        record(&lines);
    }
}

/// Percentiles of the times of several runs, in milliseconds.
struct Times {
    p10: f64,
    p50: f64,
    p90: f64,
}

impl Times {
    fn of(runs: usize, mut work: impl FnMut()) -> Self {
        let mut times: Vec<f64> = (0..runs)
            .map(|_| {
                let started = Instant::now();
                work();
                started.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let [p10, p50, p90] = [10, 50, 90].map(|percent| times[(runs - 1) * percent / 100]);
        Self { p10, p50, p90 }
    }
}

/// Appends the lines to this machine's file.
fn record(lines: &[String]) {
    let folder = Path::new(ROOT).join("record").join(machine());
    fs::create_dir_all(&folder).expect("the folder of the records can be made");
    let path = folder.join("languages.csv");
    let new = !path.exists();
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .expect("the record opens");
    if new {
        writeln!(file, "{COLUMNS}").expect("the record is written");
    }
    for line in lines {
        writeln!(file, "{line}").expect("the record is written");
    }
    println!("appended to {}", path.display());
}

/// `DUOGUARD_MACHINE`, or the processor's name and its cores, as a folder's name.
fn machine() -> String {
    if let Ok(name) = std::env::var("DUOGUARD_MACHINE") {
        return name;
    }
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let name = line.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    format!(
        "{}-{cores}-cores",
        name.chars().map(plain).collect::<String>()
    )
}

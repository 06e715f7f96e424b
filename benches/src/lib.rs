//! What the benchmarks share: times of many runs, a text of a wished length, and the record that
//! each machine keeps.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use duoguard::{
    Bundle, EngineChoice, EngineInfo, Graph, Model, Session, SessionOptions, engine_info, engines,
};

mod machine;
mod peak;

pub use self::peak::int8_peak;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// After this long no other run is begun, so that slow engines do not hold up the rest.
const BUDGET: Duration = Duration::from_secs(2);

/// Whether this is a measurement: `cargo test` runs every benchmark once, without `--bench`, and
/// records nothing.
pub fn measures() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// A path from the environment, or one relative to this crate.
pub fn path(variable: &str, default: &str) -> PathBuf {
    std::env::var(variable).map_or_else(|_| Path::new(ROOT).join(default), PathBuf::from)
}

/// The folder that `DUOGUARD_MODEL` names, or that of the bundled model.
pub fn model_path() -> PathBuf {
    path("DUOGUARD_MODEL", "../models/mini")
}

/// The bundle in [`model_path`].
///
/// # Panics
/// If it does not open.
pub fn model() -> Model {
    Model::open(model_path()).expect("the model opens")
}

/// The network of the bundle in [`model_path`], without the rest of it.
///
/// # Panics
/// If it does not open.
pub fn graph() -> Graph {
    let bundle = Bundle::open(model_path()).expect("the bundle opens");
    let graph = Graph::new(bundle.file("model.onnx"), bundle.file("weights.data"));
    graph.expect("the graph is valid")
}

/// The rows of a file of this crate, `N` values with tabs between them; lines that begin with `#`
/// are comments.
///
/// # Panics
/// If it cannot be read, or a row has another number of values.
pub fn rows<const N: usize>(file: &str) -> Vec<[String; N]> {
    let path = Path::new(ROOT).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let row = |line: &str| {
        let values: Vec<String> = line.split('\t').map(str::to_owned).collect();
        values
            .try_into()
            .unwrap_or_else(|_| panic!("{}: {line:?}: expected {N} values", path.display()))
    };
    lines.map(row).collect()
}

/// The lines `language<TAB>text` of the file that `DUOGUARD_TEXTS` names, or of our own.
///
/// # Panics
/// If it cannot be read, or a line has no tab.
pub fn texts() -> Vec<(String, String)> {
    let path = path("DUOGUARD_TEXTS", "data/parallel.tsv");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let pair = |(number, line): (usize, &str)| match line.split_once('\t') {
        Some((language, text)) => (language.to_owned(), text.to_owned()),
        None => panic!(
            "{}:{}: expected language<TAB>text",
            path.display(),
            number + 1
        ),
    };
    text.lines().enumerate().map(pair).collect()
}

/// The engines that can be used here, or those of them that `DUOGUARD_ENGINES` names, with commas
/// between; of the others it is printed why not.
///
/// # Panics
/// If it names one that this build does not know.
pub fn available_engines() -> Vec<EngineInfo> {
    let found = match std::env::var("DUOGUARD_ENGINES") {
        Ok(names) => names
            .split(',')
            .map(|name| {
                engine_info(name).unwrap_or_else(|| panic!("DUOGUARD_ENGINES: no engine {name:?}"))
            })
            .collect(),
        Err(_) => engines(),
    };
    let (available, missing): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|engine| engine.available);
    for engine in missing {
        println!("{:12} not measured: {}", engine.name, engine.detail);
    }
    available
}

/// A session on a named engine, with one thread.
///
/// # Panics
/// If the engine does not open.
pub fn session(model: &Model, engine: &str) -> Session {
    session_with_threads(model, engine, NonZeroUsize::MIN)
}

/// A session on a named engine.
///
/// # Panics
/// If the engine does not open.
pub fn session_with_threads(model: &Model, engine: &str, threads: NonZeroUsize) -> Session {
    let options = SessionOptions {
        engine: EngineChoice::Named(engine.to_owned()),
        threads,
    };
    model.session(&options).expect("the engine opens")
}

/// The text over and over, and cut where it has at least so many tokens.
///
/// # Panics
/// If it does not tokenise, or has no tokens.
pub fn of_tokens(model: &Model, text: &str, tokens: usize) -> String {
    let count = |text: &str| model.tokenize(text).expect("it tokenises").len();
    assert!(count(text) > 0, "a text without tokens");
    let mut long = String::new();
    while count(&long) < tokens {
        long += text;
        long.push(' ');
    }
    let places: Vec<usize> = long.char_indices().map(|(at, _)| at).collect();
    let enough = places.partition_point(|at| count(&long[..*at]) < tokens);
    places
        .get(enough)
        .map_or(long.clone(), |at| long[..*at].to_owned())
}

/// Percentiles of the times of several runs, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The 10th percentile.
    pub p10: f64,
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
}

impl Times {
    /// Times `work` at most `runs` times, and at least once.
    pub fn of(runs: usize, mut work: impl FnMut()) -> Self {
        let begun = Instant::now();
        let mut times = Vec::with_capacity(runs);
        while times.is_empty() || times.len() < runs && begun.elapsed() < BUDGET {
            let started = Instant::now();
            work();
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let [p10, p50, p90] = [10, 50, 90].map(|percent| times[(times.len() - 1) * percent / 100]);
        Self { p10, p50, p90 }
    }
}

/// The median; the larger of the middle two.
///
/// # Panics
/// If there are no values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Memory of this process that is in use, in bytes; 0 where the system does not say it in Linux's
/// way.
pub fn memory_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or(0) << 10
}

/// Appends lines of values, with commas between, to this machine's record `name`, each with the
/// time of day before it (`unix_s`).
///
/// # Panics
/// If the record cannot be written, or has other columns.
pub fn record(name: &str, columns: &str, lines: &[String]) {
    let folder = Path::new(ROOT).join("record").join(machine::machine());
    let rows = format!("{columns}\n{}\n", lines.join("\n"));
    let path = machine::append(&folder, name, &rows);
    println!(
        "appended to {}",
        path.expect("the record is written").display()
    );
}

//! The figures in the documents: each stands between two comments, and is written there from a machine's record.
//!
//! `<!-- figures of MACHINE: BLOCK -->` begins one, `<!-- end of figures -->` ends it. A test compares what stands there with the record.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use crate::library::{read, write};
use crate::record::{Record, Row};

const DOCUMENTS: [&str; 2] = ["README.md", "docs/measuring.md"];
const BEGIN: &str = "<!-- figures of ";
const END: &str = "<!-- end of figures -->";

/// What writes a block from the records; nothing where there is no record.
type Block = fn(&Records) -> Option<String>;

const BLOCKS: [(&str, Block); 12] = [
    ("checks", checks),
    ("network", network),
    ("start", start),
    ("quality", quality),
    ("agreement", agreement),
    ("peers", peers),
    ("latency", latency),
    ("beginning", beginning),
    ("languages", languages),
    ("parts", parts),
    ("lengths", lengths),
    ("sessions", sessions),
];
/// The file that each block is written from is one of these.
const FILES: [&str; 8] = [
    "peers",
    "latency",
    "start",
    "languages",
    "lengths",
    "sessions",
    "quality",
    "agreement",
];

/// What a machine measured last, by file.
struct Records(HashMap<&'static str, Record>);

impl Records {
    fn of(root: &Path, machine: &str) -> Result<Self, String> {
        let read =
            |name: &'static str| Ok((name, Record::last(root, machine, &format!("{name}.csv"))?));
        FILES
            .into_iter()
            .map(read)
            .collect::<Result<_, String>>()
            .map(Self)
    }

    /// `None` where nothing was recorded.
    fn get(&self, name: &str) -> Option<&Record> {
        self.0
            .get(name)
            .filter(|record| record.rows().next().is_some())
    }
}

/// Writes the figures of a machine into the documents.
pub fn fill(root: &Path, machine: &str) -> Result<(), String> {
    let records = Records::of(root, machine)?;
    for document in DOCUMENTS {
        let path = root.join(document);
        let filled = filled(&read(&path)?, |_| Ok((machine.to_owned(), &records)))
            .map_err(|reason| format!("{document}: {reason}"))?;
        write(&path, &filled)?;
        eprintln!("wrote the figures of {machine} into {document}");
    }
    Ok(())
}

/// A document with its blocks written again; `whose` says of which machine, by the name that stands there.
fn filled<'r>(
    text: &str,
    mut whose: impl FnMut(&str) -> Result<(String, &'r Records), String>,
) -> Result<String, String> {
    let mut out = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(marker) = line.strip_prefix(BEGIN) else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let (named, block) = marker
            .strip_suffix(" -->")
            .and_then(|marker| marker.split_once(": "))
            .ok_or_else(|| format!("{line}: expected {BEGIN}MACHINE: BLOCK -->"))?;
        let (_, render) = BLOCKS
            .iter()
            .find(|(name, _)| *name == block)
            .ok_or_else(|| format!("{line}: there is no block {block}"))?;
        let before: Vec<&str> = lines.by_ref().take_while(|line| *line != END).collect();
        let before = before.join("\n");
        let (machine, records) = whose(named)?;
        let body = render(records).unwrap_or_else(|| {
            eprintln!("{machine} has no record for the block {block}: left as it is");
            before
        });
        let _ = write!(
            out,
            "{BEGIN}{machine}: {block} -->\n\n{}\n\n{END}\n",
            body.trim()
        );
    }
    Ok(out)
}

/// A whole check beside peers: medians.
fn checks(records: &Records) -> Option<String> {
    let record = records.get("peers")?;
    let caption = format!(
        "Median ms of a whole check, one thread, called from Python ({}, `cargo xtask peers`):",
        record.day()
    );
    Some(format!(
        "{caption}\n\n{}",
        by_tokens(record, None, |row| ms(row, "p50_ms"))?
    ))
}

/// The same with their spread and ratio.
fn peers(records: &Records) -> Option<String> {
    let record = records.get("peers")?;
    let spread = |row: Row<'_>| {
        format!(
            "{} ({}-{})",
            ms(row, "p50_ms"),
            ms(row, "p10_ms"),
            ms(row, "p90_ms")
        )
    };
    let versions = record.rows().next()?.text("versions").to_owned();
    let table = by_tokens(record, Some("duoguard rten"), spread)?;
    Some(format!(
        "Median ms (10th to 90th percentile), one thread ({}; {versions}):\n\n{table}",
        record.day()
    ))
}

/// A row a peer, a column a length; the fastest first. `beside` adds the ratio to that peer at 128 tokens.
fn by_tokens(
    record: &Record,
    beside: Option<&str>,
    cell: impl Fn(Row<'_>) -> String,
) -> Option<String> {
    const AT: &str = "128";
    let median = |peer: &str, tokens: &str| {
        record
            .find(&[("peer", peer), ("tokens", tokens)])?
            .number("p50_ms")
    };
    let lengths = record.distinct("tokens");
    let mut names = record.distinct("peer");
    names.sort_by(|a, b| {
        let time = |name: &str| median(name, AT).unwrap_or(f64::INFINITY);
        time(a).total_cmp(&time(b))
    });
    let mut columns = vec![String::new()];
    columns.extend(lengths.iter().enumerate().map(|(at, tokens)| match at {
        0 => format!("{tokens} tokens"),
        _ => (*tokens).to_owned(),
    }));
    if beside.is_some() {
        columns.push(format!("times rten's at {AT}"));
    }
    let mut rows = Vec::new();
    for name in names {
        let mut row = vec![spelled(name)];
        for tokens in &lengths {
            row.push(cell(record.find(&[("peer", name), ("tokens", tokens)])?));
        }
        if let Some(beside) = beside {
            row.push(format!("{:.2}", median(name, AT)? / median(beside, AT)?));
        }
        rows.push(row);
    }
    Some(markdown(&columns, &rows))
}

/// A peer as the documents call it.
fn spelled(peer: &str) -> String {
    match peer {
        "duoguard rten" => "duoguard, rten (embedded, the default)".to_owned(),
        "duoguard onnxruntime" => "duoguard, ONNX Runtime".to_owned(),
        "onnxruntime (Python)" => "ONNX Runtime from Python, the same model".to_owned(),
        other => match other.split_once(' ') {
            Some((peer, kind)) => format!("the same network in `{peer}`, {kind}"),
            None => other.to_owned(),
        },
    }
}

/// The network alone, in a sentence.
fn network(records: &Records) -> Option<String> {
    const LENGTHS: [&str; 3] = ["16", "64", "128"];
    let record = records.get("latency")?;
    let mut parts = Vec::new();
    for engine in record.distinct("engine") {
        let (mut times, mut floors) = (Vec::new(), Vec::new());
        for tokens in LENGTHS {
            let row = case(record, engine, "network", tokens, "1", "1")?;
            times.push(ms(row, "p50_ms"));
            floors.push(format!(
                "{:.1}",
                row.number("p50_ms")? / row.number("floor_ms")?
            ));
        }
        parts.push(format!(
            "{} {} ms, {} times what its arithmetic needs at least",
            engine_name(engine),
            times.join(" / "),
            floors.join(" / ")
        ));
    }
    Some(format!(
        "The network alone at {} tokens takes\n{}\n({}, `cargo bench -p duoguard-benches --bench latency`).",
        LENGTHS.join(" / "),
        parts.join(";\n"),
        record.day()
    ))
}

fn case<'a>(
    record: &'a Record,
    engine: &str,
    what: &str,
    tokens: &str,
    threads: &str,
    texts: &str,
) -> Option<Row<'a>> {
    record.find(&[
        ("engine", engine),
        ("what", what),
        ("tokens", tokens),
        ("threads", threads),
        ("texts", texts),
    ])
}

/// What it costs to begin, in a sentence.
fn start(records: &Records) -> Option<String> {
    let record = records.get("start")?;
    let mut parts = Vec::new();
    for row in record.rows() {
        parts.push(format!(
            "{:.0} ms and {} MB with {}",
            row.number("process_ms")?,
            megabytes(row, "memory_checked_bytes")?,
            engine_name(row.text("engine"))
        ));
    }
    let row = record.rows().next()?;
    let library = match row.number("library_bytes") {
        Some(bytes) => format!("The C library is {:.1} MB, the bundle", bytes / 1e6),
        None => "The bundle is".to_owned(),
    };
    Some(format!(
        "A process that opens the bundle, checks a text of 128 tokens and ends takes {}.\n{library} {:.1} MB ({}, `cargo bench -p duoguard-benches --bench start`).",
        parts.join(", "),
        row.number("bundle_bytes")? / 1e6,
        record.day()
    ))
}

/// The parts of beginning.
fn beginning(records: &Records) -> Option<String> {
    let record = records.get("start")?;
    let columns = [
        "",
        "opening the bundle, ms",
        "a session, ms",
        "words never seen, tokenised, ms",
        "first check, ms",
        "second, ms",
        "the whole process, ms",
        "MB before",
        "MB open",
        "MB after checks",
    ];
    let mut rows = Vec::new();
    for row in record.rows() {
        let times = [
            "open_ms",
            "session_ms",
            "tokenize_ms",
            "first_check_ms",
            "second_check_ms",
            "process_ms",
        ];
        let memory = [
            "memory_before_bytes",
            "memory_open_bytes",
            "memory_checked_bytes",
        ];
        let mut cells = vec![engine_name(row.text("engine")).to_owned()];
        cells.extend(times.map(|column| ms(row, column)));
        for column in memory {
            cells.push(megabytes(row, column)?);
        }
        rows.push(cells);
    }
    Some(format!(
        "{}:\n\n{}",
        record.day(),
        markdown(&columns, &rows)
    ))
}

/// Every case of the benchmark `latency`.
fn latency(records: &Records) -> Option<String> {
    let record = records.get("latency")?;
    let engines = record.distinct("engine");
    let mut columns = ["", "tokens", "threads", "texts at once"]
        .map(str::to_owned)
        .to_vec();
    for engine in &engines {
        columns.push(format!("{}, ms", engine_name(engine)));
        columns.push("times the floor".to_owned());
    }
    let mut rows = Vec::new();
    for row in record.rows().filter(|row| row.text("engine") == engines[0]) {
        let keys = ["what", "tokens", "threads", "texts"].map(|column| row.text(column));
        let mut cells = keys.map(str::to_owned).to_vec();
        for engine in &engines {
            let row = case(record, engine, keys[0], keys[1], keys[2], keys[3])?;
            cells.push(format!(
                "{} ({}-{})",
                ms(row, "p50_ms"),
                ms(row, "p10_ms"),
                ms(row, "p90_ms")
            ));
            let floor = row.number("floor_ms").filter(|floor| floor.is_finite());
            cells.push(match floor {
                Some(floor) => format!("{:.1}", row.number("p50_ms")? / floor),
                None => String::new(),
            });
        }
        rows.push(cells);
    }
    Some(format!(
        "Median ms (10th to 90th percentile; {}):\n\n{}",
        record.day(),
        markdown(&columns, &rows)
    ))
}

/// Every language: the same text, and the same number of characters and of tokens.
fn languages(records: &Records) -> Option<String> {
    const LENGTHS: [&str; 3] = ["text", "500 characters", "128 tokens"];
    let record = records.get("languages")?;
    let engines = record.distinct("engine");
    let found = record.distinct("length");
    let lengths: Vec<&str> = LENGTHS
        .into_iter()
        .filter(|length| found.contains(length))
        .collect();
    let first = *record.distinct("language").first()?;
    let at = |engine: &str, length: &str, language: &str| {
        record.find(&[
            ("engine", engine),
            ("length", length),
            ("language", language),
        ])
    };
    let mut columns = ["", "characters", "tokens"].map(str::to_owned).to_vec();
    for engine in &engines {
        let name = engine_name(engine);
        for length in &lengths {
            match *length {
                "text" => columns.extend([format!("{name}, ms"), format!("times {first}")]),
                length => columns.push(format!("{name}, {length}")),
            }
        }
    }
    let mut rows = Vec::new();
    for language in record.distinct("language") {
        let row = at(engines[0], "text", language)?;
        let mut cells = vec![
            language.to_owned(),
            row.text("chars").to_owned(),
            row.text("tokens").to_owned(),
        ];
        for engine in &engines {
            for length in &lengths {
                let row = at(engine, length, language)?;
                cells.push(ms(row, "check_p50_ms"));
                if *length == "text" {
                    let base = at(engine, length, first)?.number("check_p50_ms")?;
                    cells.push(format!("{:.1}", row.number("check_p50_ms")? / base));
                }
            }
        }
        rows.push(cells);
    }
    Some(format!(
        "Median ms of a check ({}):\n\n{}",
        record.day(),
        markdown(&columns, &rows)
    ))
}

/// Normalising, tokenising and the network, apart, at 128 tokens.
fn parts(records: &Records) -> Option<String> {
    let record = records.get("languages")?;
    let columns = [
        "",
        "normalising, us",
        "tokenising, us",
        "the network, us",
        "the whole check, us",
        "normalising and tokenising, of a check",
    ];
    let mut rows = Vec::new();
    for engine in record.distinct("engine") {
        let of: Vec<Row<'_>> = record
            .rows()
            .filter(|row| row.text("engine") == engine && row.text("length") == "128 tokens")
            .collect();
        let range = |value: &dyn Fn(Row<'_>) -> Option<f64>, digits: usize| {
            let values: Vec<f64> = of.iter().filter_map(|row| value(*row)).collect();
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(0.0, f64::max);
            (!values.is_empty()).then(|| format!("{low:.digits$} to {high:.digits$}"))
        };
        let us = |column: &'static str| move |row: Row<'_>| Some(1e3 * row.number(column)?);
        let share = |row: Row<'_>| {
            let before = row.number("normalize_p50_ms")? + row.number("tokenize_p50_ms")?;
            Some(100.0 * before / row.number("check_p50_ms")?)
        };
        rows.push(vec![
            engine_name(engine).to_owned(),
            range(&us("normalize_p50_ms"), 1)?,
            range(&us("tokenize_p50_ms"), 1)?,
            range(&us("engine_p50_ms"), 0)?,
            range(&us("check_p50_ms"), 0)?,
            format!("{} %", range(&share, 1)?),
        ]);
    }
    let count = record.distinct("language").len();
    Some(format!(
        "At 128 tokens, the least and the most of {count} languages ({}):\n\n{}",
        record.day(),
        markdown(&columns, &rows)
    ))
}

/// Time and memory against the length of a text.
fn lengths(records: &Records) -> Option<String> {
    let record = records.get("lengths")?;
    let engines = record.distinct("engine");
    let mut columns = ["characters", "tokens", "windows"]
        .map(str::to_owned)
        .to_vec();
    for engine in &engines {
        let name = engine_name(engine);
        columns.extend([
            format!("{name}, ms"),
            "us a token".to_owned(),
            "MB".to_owned(),
        ]);
    }
    let mut rows = Vec::new();
    for chars in record.distinct("chars") {
        let row = record.find(&[("chars", chars)])?;
        let mut cells = ["chars", "tokens", "windows"]
            .map(|column| grouped(row.text(column)))
            .to_vec();
        for engine in &engines {
            let row = record.find(&[("chars", chars), ("engine", engine)])?;
            cells.push(ms(row, "check_p50_ms"));
            cells.push(format!(
                "{:.1}",
                1e3 * row.number("check_p50_ms")? / row.number("tokens")?
            ));
            cells.push(megabytes(row, "memory_bytes")?);
        }
        rows.push(cells);
    }
    Some(format!(
        "Median ms of a check, and memory of the process, in which the engines follow each other ({}):\n\n{}",
        record.day(),
        markdown(&columns, &rows)
    ))
}

/// Memory against the number of sessions.
fn sessions(records: &Records) -> Option<String> {
    let record = records.get("sessions")?;
    let engines = record.distinct("engine");
    let mut columns = vec!["sessions".to_owned()];
    for engine in &engines {
        columns.extend([
            format!("{}, MB", engine_name(engine)),
            "MB a further session".to_owned(),
        ]);
    }
    let mut rows = Vec::new();
    for count in record.distinct("sessions") {
        let mut cells = vec![count.to_owned()];
        for engine in &engines {
            let row = record.find(&[("sessions", count), ("engine", engine)])?;
            cells.push(megabytes(row, "memory_bytes")?);
            cells.push(match count {
                "1" => String::new(),
                _ => format!("{:.1}", row.number("bytes_per_further_session")? / 1e6),
            });
        }
        rows.push(cells);
    }
    Some(format!(
        "Memory of the process, in which the engines follow each other ({}):\n\n{}",
        record.day(),
        markdown(&columns, &rows)
    ))
}

/// What the bundled model is worth on the benchmarks.
fn quality(records: &Records) -> Option<String> {
    let record = records.get("quality")?;
    let columns = [
        "",
        "AUROC (5 sets)",
        "linear model's",
        "FPR (5 sets)",
        "F1 (6 sets)",
        "F1 of flagging everything",
    ];
    let rows: Vec<Vec<String>> = record
        .rows()
        .map(|row| {
            let percent = |column: &str| {
                row.number(column)
                    .map_or(String::new(), |v| format!("{:.1}", 100.0 * v))
            };
            let (ours, linear) = (percent("auroc"), percent("linear_auroc"));
            let bold = |text: &str, wins: bool| match wins {
                true => format!("**{text}**"),
                false => text.to_owned(),
            };
            let (a, b) = (row.number("auroc"), row.number("linear_auroc"));
            vec![
                row.text("language").to_owned(),
                bold(&ours, b.is_some() && a > b),
                bold(&linear, b > a),
                percent("fpr"),
                percent("f1"),
                percent("f1_of_flagging_everything"),
            ]
        })
        .collect();
    Some(format!(
        "{}:\n\n{}",
        record.day(),
        markdown(&columns, &rows)
    ))
}

/// On how many rows two engines agree.
fn agreement(records: &Records) -> Option<String> {
    let row = records.get("agreement")?.rows().next()?;
    let (equal, rows) = (row.number("equal")?, row.number("rows")?);
    let count = grouped(row.text("rows"));
    let on = match row.text("equal") == row.text("rows") {
        true => format!("all {count}"),
        false => format!("{:.2} % of {count}", 100.0 * equal / rows),
    };
    Some(format!(
        "{} and {} give the same verdict on {on} rows of the benchmarks ({}, `cargo xtask quality`).",
        engine_name(row.text("first")),
        engine_name(row.text("second")),
        records.get("agreement")?.day()
    ))
}

fn engine_name(engine: &str) -> &str {
    match engine {
        "onnxruntime" => "ONNX Runtime",
        other => other,
    }
}

/// Milliseconds with three digits or two decimals, whichever is less.
fn ms(row: Row<'_>, column: &str) -> String {
    match row.number(column) {
        Some(value) if value >= 99.95 => format!("{value:.0}"),
        Some(value) if value >= 9.995 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
        None => String::new(),
    }
}

fn megabytes(row: Row<'_>, column: &str) -> Option<String> {
    Some(format!("{:.0}", row.number(column)? / 1e6))
}

/// A number with commas between its thousands.
fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn markdown<S: AsRef<str>>(columns: &[S], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | ")).replace("|  |", "| |");
    let mut out = line(columns.iter().map(AsRef::as_ref).collect());
    let _ = writeln!(out, "|{}", "---|".repeat(columns.len()));
    for row in rows {
        out += &line(row.iter().map(String::as_str).collect());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_say_what_was_recorded() {
        let root = crate::root().unwrap();
        let mut blocks = 0;
        for document in DOCUMENTS {
            let text = read(&root.join(document)).unwrap();
            let machines: Vec<&str> = text
                .lines()
                .filter_map(|line| line.strip_prefix(BEGIN)?.split(": ").next())
                .collect();
            blocks += machines.len();
            let records: HashMap<&str, Records> = machines
                .into_iter()
                .map(|machine| (machine, Records::of(&root, machine).unwrap()))
                .collect();
            let again =
                filled(&text, |machine| Ok((machine.to_owned(), &records[machine]))).unwrap();
            assert!(
                text == again,
                "{document}: `cargo xtask tables MACHINE` writes what was recorded"
            );
        }
        assert_eq!(blocks, BLOCKS.len(), "every block stands in a document");
    }

    #[test]
    fn a_block_is_replaced_and_what_is_around_it_kept() {
        let records = Records(HashMap::new());
        let text = format!("a\n{BEGIN}m: checks -->\n\nold\n\n{END}\nb\n");
        let whose = |_: &str| Ok(("m".to_owned(), &records));
        assert_eq!(filled(&text, whose).unwrap(), text);
        assert!(filled(&format!("{BEGIN}m: nothing -->\n{END}\n"), whose).is_err());
        assert!(filled(&format!("{BEGIN}m -->\n{END}\n"), whose).is_err());
    }

    #[test]
    fn numbers_as_people_write_them() {
        assert_eq!(
            ["1", "999", "1000", "23015"].map(grouped),
            ["1", "999", "1,000", "23,015"]
        );
        assert_eq!(
            markdown(&["", "b"], &[vec!["x".into(), String::new()]]),
            "| | b |\n|---|---|\n| x | |\n"
        );
    }
}
